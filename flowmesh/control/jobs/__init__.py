"""Machines for tasks: the Manager's queue, a worker's slots, the numbered sessions between them. No I/O."""
