"""Both ends of an edge, for node processes and the gateway."""
