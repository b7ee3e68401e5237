"""The node process: process, stepper, inputs, outputs. It runs the user's code, and speaks channels only."""
