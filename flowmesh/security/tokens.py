"""Join tokens as text: a worker on another machine joins with one. The text is a secret, and no repr shows it.

    fm1-  base64url of:  CRC-32 (4 bytes) | msgpack [expires, port, Manager's public key, secret key, addresses]

The checksum distinguishes a badly copied token from one that is not allowed; it protects nothing else. Anyone who has
the text can join once, so treat it like a password.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib

import msgspec
import zmq
from zmq.utils import z85

from ..errors import LinkError
from ..wire.fingerprints import short
from .keys import KeyPair

PREFIX = "fm1-"
_HOST = re.compile(r"[A-Za-z0-9_.:%\[\]-]{1,255}")
_ADVICE = "copy it whole, from fm1- to its end"


class _TokenPayload(msgspec.Struct, frozen=True, array_like=True):
    expires: int
    port: int
    server_key: bytes
    secret: bytes
    hosts: tuple[str, ...]


class JoinToken:
    """A token: `str()` is its text; print it, or the `line` to paste.

    Attributes:
        id: its id for `Manager.tokens()` and `Manager.revoke(id)`.
        hosts, port: where the Manager can be reached.
        server_key: the Manager's public key.
        keys: the one-use key pair.
        expires: when it ends, in seconds since 1970 by the Manager's clock; the Manager's own record decides.
    """

    def __init__(self, hosts: tuple[str, ...], port: int, server_key: str, keys: KeyPair, expires: float) -> None:
        self.id = short(keys.public)
        self.hosts = hosts
        self.port = port
        self.server_key = server_key
        self.keys = keys
        self.expires = int(expires)

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Parse the text of a token.

        Raises:
            LinkError: it is no token, or incomplete; the text is not shown.
        """
        inside = _unpacked("".join(text.split()))
        hosts = all(_HOST.fullmatch(host) for host in inside.hosts) and 0 < len(inside.hosts) < 100
        if not hosts or not 0 < inside.port < 65536 or (len(inside.server_key), len(inside.secret)) != (32, 32):
            raise LinkError("this token holds what can't be: ask its Manager for a new one")
        secret = z85.encode(inside.secret)
        keys = KeyPair(zmq.curve_public(secret).decode(), secret.decode())
        return cls(inside.hosts, inside.port, z85.encode(inside.server_key).decode(), keys, inside.expires)

    @property
    def text(self) -> str:
        """The text to paste."""
        keys = z85.decode(self.server_key), z85.decode(self.keys.secret)
        packed = msgspec.msgpack.encode(_TokenPayload(self.expires, self.port, *keys, self.hosts))
        checksum = zlib.crc32(packed).to_bytes(4, "big")
        return PREFIX + base64.urlsafe_b64encode(checksum + packed).decode().rstrip("=")

    @property
    def line(self) -> str:
        """The command for the other machine."""
        return f"flowmesh-worker --name NAME --token {self.text}"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Token {self.id} for the Manager at {', '.join(self.hosts)} port {self.port}>"


def _unpacked(text: str) -> _TokenPayload:
    if not text.startswith(PREFIX):
        version = re.match(r"fm\d+-", text)
        other = "it was made by another version of flowmesh: install the same on both" if version else _ADVICE
        raise LinkError(f"this is no token, which begins with {PREFIX}: {other}")
    body = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        if zlib.crc32(raw[4:]) == int.from_bytes(raw[:4], "big"):
            return msgspec.msgpack.decode(raw[4:], type=_TokenPayload)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        pass  # reported below, and without the cause, which may quote the text
    raise LinkError(f"this token is damaged, a letter is wrong or missing: {_ADVICE}")
