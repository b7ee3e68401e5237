"""Whole graphs in real processes, as a user runs them."""
