"""Between the processes of one host: packets, shared slots, the counters' page, and the worker's pipe to a node."""
