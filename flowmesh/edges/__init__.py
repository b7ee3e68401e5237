"""Both ends of an edge, as node processes and the gateway use them."""
