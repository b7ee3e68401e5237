"""The worker daemon: the shell around `control/worker`. No user code runs in it, and no chunk passes it."""
