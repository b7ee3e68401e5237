"""Secrets and where they are kept: keys, tokens, the state folder, addresses."""
