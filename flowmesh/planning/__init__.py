"""From a checked graph to its plan: which worker runs each node, how each edge goes, what is shipped."""
