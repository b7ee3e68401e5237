"""The fork server: the process that forks node processes, and its client in the daemon."""
