"""The worker daemon: the shell around `control/worker.py`. It supervises; no user code runs in it and no chunk passes it."""
