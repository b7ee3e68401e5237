"""Machines of restart and replay: chunks kept until settled. No process uses them yet."""
