"""Links: real processes, real keys, loopback TCP. The test plays the workers, the producers and the consumers."""
