"""The connection of a command to a running Manager: this user's only one on this machine, or a named one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import LinkError
from ..membership.local_discovery import FoundManager, managers
from ..security.keys import user_keys
from ..transport.admin_link import AdminLink
from .exit_codes import UsageError


def add_manager_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manager",
        metavar="HOST:PORT",
        help="the Manager to speak with; without it, the only one that you run on this machine",
    )


@contextmanager
def connected(asked: argparse.Namespace) -> Iterator[tuple[AdminLink, str]]:
    """A link to the selected Manager, and its address.

    Raises:
        UsageError: there are several, or the address is none.
        LinkError: there is none, or it does not answer.
    """
    host, port = named(asked.manager) if asked.manager else the_only_one()
    link = AdminLink(host, port)
    try:
        yield link, f"{host}:{port}"
    finally:
        link.close()


def named(address: str) -> tuple[str, int]:
    """HOST:PORT, or a port alone, which is one of this machine.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"an address is HOST:PORT, such as 127.0.0.1:9000, not {address!r}")
    return host or "127.0.0.1", int(port)


def the_only_one() -> tuple[str, int]:
    """The address of this user's only Manager on this machine.

    Raises:
        UsageError: there are several.
        LinkError: there is none, or the user's key can't be read.
    """
    match managers(user_keys().public):
        case []:
            raise LinkError(
                "no Manager of yours runs on this machine: start a graph with `flowmesh run FILE`, "
                "or name a Manager elsewhere with --manager HOST:PORT"
            )
        case [FoundManager(host, port)]:
            return host, port
        case several:
            lines = "\n".join(f"  --manager {each.host}:{each.port}   (process {each.pid})" for each in several)
            raise UsageError(f"several Managers of yours run on this machine, say which one is meant:\n{lines}")
