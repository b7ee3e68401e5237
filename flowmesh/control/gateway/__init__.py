"""Machines of the gateway. No I/O, no clock, no thread."""
