"""Machines of the Manager. No I/O, no clock, no thread."""
