"""Announcing without the extra, and where nothing can be announced; that it works is tested between hosts."""

from __future__ import annotations

import sys

import pytest

import flowmesh as fm
from flowmesh.errors import LinkError
from flowmesh.membership.mdns import MdnsAnnouncement, look_around
from flowmesh.security.keys import KeyPair


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    for use in (lambda: MdnsAnnouncement(("127.0.0.1",), 9000, KeyPair.make().public), look_around):
        with pytest.raises(LinkError, match='pip install "zeroconf>=0.132.2"'):
            use()


def test_a_manager_that_can_not_be_announced_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(LinkError, match="zeroconf"):
        fm.Manager(port=0, zeroconf=True)


def test_a_name_that_is_none_can_not_be_announced() -> None:
    with pytest.raises(LinkError, match="can't be announced"):
        MdnsAnnouncement(("no-such-host.invalid",), 9000, KeyPair.make().public)
