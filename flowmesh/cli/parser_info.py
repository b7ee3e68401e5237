"""Information on a parser's arguments, for the reference page and the completion scripts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb of a parser, what it is for, and its own parser."""

    name: str
    purpose: str
    parser: argparse.ArgumentParser


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[Verb]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            purposes = {each.dest: str(each.help) for each in action._choices_actions}
            yield from (Verb(name, purposes[name], under) for name, under in action.choices.items())


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Those that are no verbs."""
    return [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]


def purpose_of(action: argparse.Action) -> str:
    """Its help, with its default where that is shown."""
    return (action.help or "") % {**vars(action), "prog": "flowmesh"}
