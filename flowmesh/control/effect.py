"""Effects: the orders of a Machine, as values. A shell executes them in the order given."""

from __future__ import annotations

import msgspec

from ..errors import FlowmeshError


class Effect(msgspec.Struct, frozen=True):
    """The base of all effects. Not a tuple: two effects of different kinds are never equal."""


class Log(Effect, frozen=True):
    """Tell the user, at a level of `logging`; `node` and `worker` say where it comes from. `raised`: the error with
    this text, which the verbs raise: the text is logged only if none of them does."""

    level: int
    text: str
    node: str = ""
    worker: str = ""
    raised: FlowmeshError | None = None
