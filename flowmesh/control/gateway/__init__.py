"""Machines of a gateway's process. No I/O, no clock, no thread."""
