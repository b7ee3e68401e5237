"""Inside a node's process, and how it comes to be: spawn, forkserver, process, stepper, inputs, outputs."""
