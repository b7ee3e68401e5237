"""Planning of a checked graph: the worker of each node, the transport of each edge, the shipped code."""
