"""`python -m flowmesh.cli.docs_page > docs/cli.md`: the command's page of the documentation, made from its parser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from .main import EPILOG, make_parser
from .parser_info import arguments_of, purpose_of, verbs_of

HEAD = f"""# The flowmesh command

{EPILOG.replace(" `flowmesh VERB --help` tells more.", "")}

`python -m flowmesh` is the same command. Verbs that speak with a running Manager find the only one that you run on this
machine; with several, or one elsewhere, name it: `--manager HOST:PORT`. They operate it with your own key, which nobody
else can read: a Manager of another user refuses them.

This page is made from the command itself: `python -m flowmesh.cli.docs_page > docs/cli.md`."""


def page() -> str:
    """The page, in Markdown."""
    return "\n\n".join([HEAD, *_sections(make_parser(), "flowmesh")]) + "\n"


def _sections(parser: argparse.ArgumentParser, called: str) -> Iterator[str]:
    """Each verb, and the verbs in it."""
    for name, purpose, under in verbs_of(parser):
        yield from _section(under, f"{called} {name}", purpose)
        yield from _sections(under, f"{called} {name}")


def _section(parser: argparse.ArgumentParser, called: str, purpose: str) -> Iterator[str]:
    yield f"{'#' * called.count(' ')}# {called}"
    yield f"```text\n{_usage(parser, called)}\n```"
    yield _prose(parser.description or f"{purpose[0].upper()}{purpose[1:]}.")
    if rows := [_row(action) for action in _shown(parser)]:
        yield "\n".join(["| argument | is |", "|---|---|", *rows])


def _usage(parser: argparse.ArgumentParser, called: str) -> str:
    """One line, whatever Python's argparse makes of it."""
    verb = ["VERB"] if any(verbs_of(parser)) else []
    words = [_value(action) for action in _shown(parser) if not action.option_strings]
    options = ["[options]"] if any(action.option_strings for action in _shown(parser)) else []
    return " ".join([called, *verb, *words, *options])


def _prose(text: str) -> str:
    """A description: what is indented in it is shown as it is."""
    blocks = text.split("\n\n")
    return "\n\n".join(f"```text\n{block}\n```" if block.startswith(" ") else block for block in blocks)


def _row(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _value(action)
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return f"| {', '.join(f'`{name}`' for name in names)} | {purpose_of(action).replace('|', '&#124;')} |"


def _value(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    return str(action.metavar or choices or action.dest.upper())


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in arguments_of(parser) if not isinstance(action, argparse._HelpAction)]


if __name__ == "__main__":
    sys.stdout.write(page())
