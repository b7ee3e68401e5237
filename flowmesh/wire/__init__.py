"""The formats between processes: states, specifications, control messages, and the packets of chunks. No I/O."""
