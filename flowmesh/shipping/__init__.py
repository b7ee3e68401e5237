"""The user's code, from the Manager to the nodes' processes: packed, explained where it can't be, served."""
