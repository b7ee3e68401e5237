"""The process of one worker's link: chunks from channels to other hosts and back. No user code, no key but its own."""
