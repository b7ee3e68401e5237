"""The program's side of tasks: executors, their Tasks, and the process that runs a call on a worker."""
