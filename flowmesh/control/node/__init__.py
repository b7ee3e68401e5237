"""Machines of a node process. No I/O, no clock, no thread."""
