"""Shipping of the user's code from the Manager to the node processes: packing, errors, importing."""
