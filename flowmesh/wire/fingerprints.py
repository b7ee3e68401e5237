"""Fingerprints of public keys: short enough to compare by eye, long enough that none can be forged."""

from __future__ import annotations

import hashlib


def fingerprint(key: str) -> str:
    """The first 80 bits of the key's SHA-256, as five groups of four letters: "3f9a-12bc-...."."""
    digits = hashlib.sha256(key.encode()).hexdigest()[:20]
    return "-".join(digits[index : index + 4] for index in range(0, 20, 4))


def short(key: str) -> str:
    """The first eight letters of the fingerprint: a name among a Manager's tokens, not a proof."""
    return fingerprint(key)[:9].replace("-", "")
