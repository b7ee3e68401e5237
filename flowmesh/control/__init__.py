"""Machines: the decisions of each process, as effects. No socket, no clock, no thread."""
