"""Join tokens: the keys that may enroll a key of their own, how often and until when.

No I/O, no clock, and no secret: it knows the public halves only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ...wire.fingerprints import short
from ...wire.plan_specs import TokenStatus
from ..effect import Log
from ..manager.effects import AllowKey, ManagerEffect, PersistKey, RevokeKey

ENDED = 100  # tokens that are used, expired or revoked and still listed: the list must not grow without bound


class IssuedToken:
    """A one-use key. `own` is the key that was enrolled with it, `worker` the name under which that key registered."""

    def __init__(self, key: str, expires: float, keep: bool) -> None:
        self.id = short(key)
        self.key = key
        self.keep = keep
        self.expires = expires
        self.state = "open"
        self.own = ""
        self.worker = ""


class TokenRegistry:
    """All tokens of a Manager; and `standing`, the user's own key, which is one that never ends.

    Args:
        standing: keys that may enroll others without limit.
        kept: workers' own keys that are accepted permanently, with their names.
    """

    def __init__(self, standing: frozenset[str] = frozenset(), kept: Mapping[str, str] | None = None) -> None:
        self.kept = dict(kept or {})
        self._standing = standing
        self._vouched: set[str] = set()  # keys that a standing key has enrolled
        self._tokens: dict[str, IssuedToken] = {}

    def __contains__(self, key: object) -> bool:
        """Whether this key serves to enroll others, and for nothing else."""
        return key in self._standing or key in self._tokens

    def token_made(self, key: str, lifetime: float, now: float, *, keep: bool = False) -> list[ManagerEffect]:
        """Add a token: its public half may enroll one key within `lifetime` seconds; permanently with `keep`."""
        self._tokens[key] = IssuedToken(key, now + lifetime, keep)
        return [AllowKey(key)]

    def keeps(self, key: str) -> bool:
        """Whether the key enrolled with this token is to be kept."""
        return key in self._tokens and self._tokens[key].keep

    def redeem(self, key: str, own: str, now: float) -> list[ManagerEffect] | None:
        """Enroll `own` for the holder of `key`; None if that is not allowed."""
        if key in self._standing and own not in self:
            self._vouched.add(own)
            return [AllowKey(own)]
        token = self._tokens.get(key)
        if token is None or token.state != "open" or now >= token.expires or own in self:
            return None
        token.own = own
        return [AllowKey(own), *self._end(token, "used")]

    def key_registered(self, own: str, name: str) -> list[ManagerEffect]:
        """Note the name under which the holder of an enrolled key has registered."""
        effects: list[ManagerEffect] = []
        for token in self._tokens.values():
            if token.own == own:
                token.worker = name
                if token.keep and own not in self.kept:
                    self.kept[own] = name
                    effects.append(PersistKey(own, name))
        return effects

    def revoke_key(self, own: str) -> list[ManagerEffect]:
        """Revoke the key `own`, now and for later Managers."""
        kept = self.kept.pop(own, None)
        return [RevokeKey(own)] if kept is None else [RevokeKey(own), PersistKey(own, "")]

    def key_released(self, own: str) -> list[ManagerEffect]:
        """Forget the key of a worker that has left: a standing key can enroll it again."""
        if own not in self._vouched:
            return []
        self._vouched.remove(own)
        return [RevokeKey(own)]

    def revoke_token(self, which: str) -> tuple[list[ManagerEffect], str] | None:
        """Revoke the token with this id and the key that it enrolled, which is returned; or a kept worker, by its name
        or its key's id. None: there is no such token or worker."""
        token = next((token for token in self._tokens.values() if token.id == which), None)
        if token is not None:
            own = self.revoke_key(token.own) if token.own else []
            return [*self._end(token, "revoked"), *own], token.own
        kept = next((key for key, name in self.kept.items() if which in (name, short(key))), None)
        return None if kept is None else (self.revoke_key(kept), kept)

    def tick(self, now: float) -> list[ManagerEffect]:
        """Expire tokens."""
        effects: list[ManagerEffect] = []
        for token in list(self._tokens.values()):
            if token.state == "open" and now >= token.expires:
                effects += [
                    *self._end(token, "expired"),
                    Log(logging.INFO, f"the token {token.id} has expired unused"),
                ]
        return effects

    def listing(self, now: float) -> tuple[TokenStatus, ...]:
        """All open tokens, the last that have ended, and the workers that may come back without one."""
        tokens = [
            TokenStatus(token.id, token.state, max(0.0, token.expires - now), token.worker)
            for token in self._tokens.values()
        ]
        return (*tokens, *(TokenStatus(short(key), "kept", 0.0, name) for key, name in self.kept.items()))

    def _end(self, token: IssuedToken, state: str) -> list[ManagerEffect]:
        token.state = state
        ended = [key for key, each in self._tokens.items() if each.state != "open"]
        for key in ended[:-ENDED]:
            del self._tokens[key]
        return [RevokeKey(token.key)]
