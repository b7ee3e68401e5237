"""The graph that users build: nodes, edges, their rules, guarantees and drawings."""
