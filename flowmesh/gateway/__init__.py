"""The gateway process of one worker: chunks from channels to other hosts and back. No user code, no key but its own."""
