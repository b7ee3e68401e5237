"""A worker hands in its own key with a token's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowmesh.errors import LinkError
from flowmesh.link.control import WorkerLink, enrol
from flowmesh.link.keys import KeyPair
from flowmesh.wire.messages import Departure, Enrol, Enrolment, Heartbeat

from .conftest import DEADLINE, HOST, Site, hear


@contextmanager
def shell(site: Site) -> Iterator[None]:
    """Answer each Enrol as a Manager's shell does, after words that are none of the worker's business yet."""
    end, bell = os.pipe()

    def serve() -> None:
        while end not in site.manager.wait([end], None):
            for key, message in site.manager.receive():
                if isinstance(message, Enrol):
                    site.manager.allow(message.key)
                    site.manager.send(key, Heartbeat())
                    site.manager.send(key, Enrolment())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        os.close(bell)
        thread.join()
        os.close(end)


def enrolled(site: Site, token: KeyPair, own: KeyPair, timeout: float = DEADLINE) -> WorkerLink:
    link = enrol(HOST, site.manager.port, site.keys.public, token, own, timeout)
    site.links.append(link)
    return link


def test_a_worker_enrols_with_a_standing_key_and_speaks_with_its_own(site: Site) -> None:
    own = KeyPair.make()
    site.manager.allow(site.keys.public)
    with shell(site):
        link = enrolled(site, site.keys, own)
    link.send(Departure("worker"))
    assert site.hear(1) == [(own.public, Departure("worker"))]


def test_a_key_that_is_not_allowed_is_not_answered(site: Site) -> None:
    token, own = KeyPair.make(), KeyPair.make()
    with shell(site):
        with pytest.raises(LinkError, match=f"no Manager answers at {HOST}:{site.manager.port}, or it refused"):
            enrolled(site, token, own, timeout=0.5)
        site.manager.allow(token.public)
        enrolled(site, token, own)


def test_nobody_answers_where_no_manager_is(site: Site) -> None:
    site.manager.close()
    with pytest.raises(LinkError, match="ask its Manager for a new one"):
        enrolled(site, site.keys, KeyPair.make(), timeout=0.2)


def test_joining_ends_when_whoever_asked_for_it_has_gone(site: Site) -> None:
    end, bell = os.pipe()
    os.close(bell)
    with pytest.raises(LinkError, match="given up"):
        enrol(HOST, site.manager.port, site.keys.public, site.keys, KeyPair.make(), DEADLINE, wait_on=end)
    os.close(end)


def test_workers_that_enrol_at_once_with_one_key_are_each_answered_once(site: Site) -> None:
    site.manager.allow(site.keys.public)
    links = [site.dial(site.keys) for _ in range(8)]
    for number, link in enumerate(links):
        link.send(Departure(f"{number}"))
    answered = 0
    while answered < len(links):
        for key, message in site.hear(1):
            assert site.manager.send(key, message)
            answered += 1
    assert [hear(link, 1) for link in links] == [[Departure(f"{number}")] for number in range(8)]
