"""Machines of a node's process. No I/O, no clock, no thread."""
