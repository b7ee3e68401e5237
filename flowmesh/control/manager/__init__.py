"""Machines of the Manager's process. No I/O, no clock, no thread."""
