"""What is said between processes: states, specifications, control messages, and the framing of chunks."""
