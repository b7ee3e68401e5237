"""Effects: what a Machine wants done, as values. A shell does them, in the order given."""

from __future__ import annotations

import msgspec

from ..errors import FlowmeshError


class Effect(msgspec.Struct, frozen=True):
    """The base of all effects. Not a tuple: two effects of different kinds are never equal."""


class Log(Effect, frozen=True):
    """Tell the user, at a level of `logging`; `node` and `worker` say where it comes from. `raised`: the error that the
    verbs raise, with this text in it: the log gets the text only if none of them does."""

    level: int
    text: str
    node: str = ""
    worker: str = ""
    raised: FlowmeshError | None = None
