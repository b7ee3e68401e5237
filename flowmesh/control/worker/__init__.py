"""Machines of a worker's daemon. No I/O, no clock, no thread."""
