"""`flowmesh token`: the one-use tokens with which workers of other machines or users join a running Manager."""

from __future__ import annotations

import argparse
import json
import sys
from types import NoneType

import msgspec

from ..transport.admin_link import AdminLink
from ..wire.messages import RevokeRequest, TokenListRequest, TokenRequest
from ..wire.plan_specs import Issued, TokenStatus
from .connection import add_manager_option, connected
from .exit_codes import OK, UsageError
from .table import table

DESCRIPTION = """List, make and revoke the tokens with which workers of other machines join a running Manager. A token lets
one worker in, once, and is a secret until then: give it like a password."""


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="what", required=True)
    listed = verbs.add_parser("list", help="show all tokens, without their secrets")
    new = verbs.add_parser("new", help="make a token, and print the line to run on the other machine")
    new.add_argument("--expires", type=float, metavar="S", default=3600.0, help="in so many seconds (%(default)g)")
    new.add_argument(
        "--keep", action="store_true", help="let the worker come back to later Managers, until it is revoked"
    )
    revoke = verbs.add_parser("revoke", help="strike off a token, by its id, or a worker, by its name, at once")
    revoke.add_argument("which", metavar="ID", help="the token's id, or the worker's name")
    for verb, action in ((listed, _list), (new, _new), (revoke, _revoke)):
        verb.allow_abbrev = False
        add_manager_option(verb)
        verb.set_defaults(action=action)
    for verb in (listed, new):
        verb.add_argument("--json", action="store_true", help="print JSON")


def run(asked: argparse.Namespace) -> int:
    with connected(asked) as (link, _):
        asked.action(asked, link)
    return OK


def _list(asked: argparse.Namespace, link: AdminLink) -> None:
    tokens = link.ask(TokenListRequest, tuple[TokenStatus, ...])
    if asked.json:
        sys.stdout.write(json.dumps([msgspec.to_builtins(token) for token in tokens]) + "\n")
        return
    rows = [(token.id, token.state, token.expires, token.worker) for token in tokens]
    sys.stdout.write("\n".join(table(("ID", "STATE", ">SECONDS LEFT", "WORKER"), rows)) + "\n")


def _new(asked: argparse.Namespace, link: AdminLink) -> None:
    if not 0 < asked.expires < 1e9:
        raise UsageError(f"--expires is a number of seconds above 0, not {asked.expires!r}")
    issued = link.ask(lambda number: TokenRequest(number, asked.expires, asked.keep), Issued)
    sys.stdout.write((json.dumps(msgspec.to_builtins(issued)) if asked.json else issued.line) + "\n")


def _revoke(asked: argparse.Namespace, link: AdminLink) -> None:
    link.ask(lambda number: RevokeRequest(number, asked.which), NoneType)
    sys.stdout.write(f"{asked.which} is revoked\n")
