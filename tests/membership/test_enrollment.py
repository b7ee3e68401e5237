"""A worker hands in its own key with a token's or the user's, and every refusal says what to do."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowmesh.errors import LinkError
from flowmesh.membership.enrollment import AbsentError, DeniedError, Membership
from flowmesh.security.keys import KeyPair, user_keys
from flowmesh.security.tokens import JoinToken
from flowmesh.transport.control_link import ManagerLink, WorkerLink
from flowmesh.wire.messages import Departure, Enroll, Enrollment, Heartbeat, Refusal

from ..conftest import SCALE
from ..transport.conftest import DEADLINE, HOST, Site, hear

CONNECTS = 1.5 * SCALE  # seconds: whoever is there is connected with by then


@contextmanager
def shell(site: Site, refuse: bool = False) -> Iterator[None]:
    """Answer each Enrol as a Manager's shell does, after words that are none of the worker's business yet."""
    end, bell = os.pipe()

    def serve() -> None:
        while end not in site.manager.wait([end], None):
            for key, message in site.manager.receive():
                if isinstance(message, Enroll):
                    site.manager.send(key, Heartbeat())
                    site.manager.send(key, Refusal("no") if refuse else Enrollment())
                    if not refuse:
                        site.manager.allow(message.key)
                        site.manager.revoke(key)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        os.close(bell)
        thread.join()
        os.close(end)


def access(
    site: Site, keys: KeyPair | None = None, expires: float = 2e9, hosts: tuple[str, ...] = (HOST,)
) -> Membership:
    """By a token whose key is on the list, unless `keys` are given."""
    token = JoinToken(hosts, site.manager.port, site.keys.public, keys or KeyPair.make(), expires)
    if keys is None:
        site.manager.allow(token.keys.public)
    return Membership.by_token(token.text)


def joined(site: Site, access: Membership, timeout: float = DEADLINE) -> WorkerLink:
    link = access.join(timeout)
    site.links.append(link)
    return link


def test_a_worker_hands_in_its_own_key_and_speaks_with_that(site: Site) -> None:
    mine = access(site)
    with shell(site):
        link = joined(site, mine)
    link.send(Departure("worker"))
    assert site.hear(1) == [(mine.own.public, Departure("worker"))]
    assert site.manager.address_of(mine.own.public) == HOST
    assert site.manager.address_of("nobody") == ""


def test_joining_again_needs_no_token(site: Site) -> None:
    mine = access(site)
    with shell(site):
        joined(site, mine).close()
        again = joined(site, mine)
    again.send(Departure("again"))
    site.serve_until(lambda heard: (mine.own.public, Departure("again")) in heard)


def test_what_was_handed_in_just_before_a_cut_counts(site: Site) -> None:
    mine = access(site)
    site.manager.revoke(mine.keys.public)  # the token was used, and its answer was lost
    site.manager.allow(mine.own.public)
    with shell(site):
        joined(site, mine)


def test_a_token_that_is_not_allowed_is_told(site: Site) -> None:
    mine = access(site, KeyPair.make())
    with shell(site):
        with pytest.raises(DeniedError, match=f"{HOST}:{site.manager.port} does not take the token .* used already"):
            mine.join(DEADLINE)
        joined(site, access(site))


def test_so_is_one_that_has_expired(site: Site) -> None:
    mine = access(site, KeyPair.make(), expires=1_000_000_000)
    with shell(site), pytest.raises(DeniedError, match="it expired at 2001-09-0.*flowmesh token new"):
        mine.join(DEADLINE)


def test_a_manager_that_knows_nothing_of_a_worker_that_it_had_let_in_denies_it(site: Site) -> None:
    mine = access(site)
    with shell(site):
        joined(site, mine).close()
        site.manager.revoke(mine.own.public)
        with pytest.raises(DeniedError):
            mine.join(DEADLINE)


def test_a_refusal_in_words_is_one_too(site: Site) -> None:
    mine = access(site)
    with shell(site, refuse=True), pytest.raises(DeniedError, match="does not take the token"):
        mine.join(DEADLINE)


def test_nobody_answers_where_no_manager_is(site: Site) -> None:
    mine = access(site)
    site.manager.close()
    with pytest.raises(AbsentError, match=rf"no Manager answers at {HOST}:\d+: check that it runs there"):
        mine.join(0.3)


def test_a_manager_that_hears_nothing_is_absent_too(site: Site) -> None:
    with pytest.raises(AbsentError, match="does not answer"):
        access(site).join(CONNECTS)


def test_a_manager_that_lets_us_in_and_says_nothing_is_absent_too(site: Site) -> None:
    mine = access(site)
    end, bell = os.pipe()

    def serve() -> None:
        while end not in site.manager.wait([end], None):
            site.manager.receive()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(AbsentError, match="does not answer"):
        mine.join(CONNECTS)
    os.close(bell)
    thread.join()
    os.close(end)


def test_something_that_never_speaks_is_told(site: Site) -> None:
    with socket.create_server((HOST, 0)) as mute:
        token = JoinToken((HOST,), mute.getsockname()[1], site.keys.public, KeyPair.make(), 2e9)
        with pytest.raises(AbsentError, match="something listens there and does not answer"):
            Membership.by_token(token).join(CONNECTS)


def test_another_manager_is_told_at_once(site: Site) -> None:
    token = JoinToken((HOST,), site.manager.port, KeyPair.make().public, KeyPair.make(), 2e9)
    begun = time.monotonic()
    with shell(site), pytest.raises(LinkError, match="is not the Manager that this worker has a token of") as refusal:
        Membership.by_token(token).join(DEADLINE)
    assert not isinstance(refusal.value, AbsentError)
    assert time.monotonic() - begun < DEADLINE / 2


def test_without_a_token_only_the_same_user_gets_in(site: Site) -> None:
    own = ManagerLink(HOST, 0, user_keys())
    own.allow(user_keys().public)
    mine = Site.__new__(Site)
    mine.manager, mine.keys, mine.links = own, user_keys(), []
    with shell(mine):
        joined(mine, Membership.by_user(HOST, own.port))
    with shell(site), pytest.raises(LinkError, match="lets a worker in by a token only: .*flowmesh token new"):
        Membership.by_user(HOST, site.manager.port).join(DEADLINE)
    own.revoke(user_keys().public)
    with shell(mine), pytest.raises(DeniedError, match="does not let this user's key in"):
        Membership.by_user(HOST, own.port).join(DEADLINE)
    mine.close()


def test_of_several_addresses_the_one_that_answers_is_taken(site: Site) -> None:
    mine = access(site, hosts=("127.0.0.77", HOST, "127.0.0.78"))
    begun = time.monotonic()
    with shell(site):
        link = joined(site, mine)
    assert link.host == HOST
    assert time.monotonic() - begun < DEADLINE / 2


def test_other_addresses_can_be_given_than_the_tokens() -> None:
    token = JoinToken(("one", "two"), 9000, KeyPair.make().public, KeyPair.make(), 2e9)
    assert Membership.by_token(token).address == "one:9000 or two:9000"
    assert Membership.by_token(token, "three").address == "three:9000"
    assert Membership.by_token(token, port=9001).address == "one:9001 or two:9001"
    shown = repr(Membership.by_token(token))
    assert shown == "<Access to the Manager at one:9000 or two:9000>"


def test_joining_ends_when_whoever_asked_for_it_has_gone(site: Site) -> None:
    end, bell = os.pipe()
    os.close(bell)
    with pytest.raises(LinkError, match="given up"):
        access(site).join(DEADLINE, wait_on=end)
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
