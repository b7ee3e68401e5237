"""The Manager's view of links: who is told of whom, when all pairs are up, what the user is told of those that are not."""

from __future__ import annotations

import pytest

from flowmesh.control.manager.link_table import PATIENCE, LinkTable
from flowmesh.wire.plan_specs import EdgeSpec, LinkAddress, Transfer

A, B, C = (
    LinkAddress("key a", "10.0.0.1", 4001),
    LinkAddress("key b", "10.0.0.2", 4002),
    LinkAddress("key c", "::1", 4003),
)
FIREWALL = (
    "the links of the workers 'a' (at 10.0.0.1:4001) and 'b' (at 10.0.0.2:4002) do not reach each other: "
    "is a firewall between them?"
)


def way(index: int, source: str, target: str) -> Transfer:
    return Transfer(index, "film", 0, source, target, (EdgeSpec(index, "film", "show"),), 8)


@pytest.fixture
def chain() -> LinkTable:
    """Something goes from a to b, from b to a, and from b to c."""
    return LinkTable([way(0, "a", "b"), way(1, "b", "a"), way(2, "b", "c")])


def up(links: LinkTable, *pairs: str) -> list[str]:
    return [links.link_changed(*pair.split(" "), up=True) for pair in pairs]


def test_where_nothing_crosses_hosts_all_is_ready() -> None:
    links = LinkTable()
    assert links.ready
    assert links.missing() == []
    assert links.overdue(1e9) == []
    assert links.worker_gone("a") == {}


def test_all_are_told_of_those_that_they_exchange_chunks_with_once_all_listen(chain: LinkTable) -> None:
    assert chain.gateway_opened("a", A, 0.0) == {}
    assert chain.gateway_opened("c", C, 0.0) == {}
    assert chain.gateway_opened("b", B, 0.0) == {"a": {"b": B}, "b": {"a": A, "c": C}, "c": {"b": B}}


def test_a_link_that_was_started_again_is_told_to_all(chain: LinkTable) -> None:
    for name, link in (("a", A), ("b", B), ("c", C)):
        chain.gateway_opened(name, link, 0.0)
    again = LinkAddress("another key", "10.0.0.3", 4444)
    assert chain.gateway_opened("c", again, 9.0) == {"a": {"b": B}, "b": {"a": A, "c": again}, "c": {"b": B}}


def test_a_pair_is_up_when_both_say_so(chain: LinkTable) -> None:
    assert up(chain, "a b", "b c", "c b") == ["", "", "the link between the workers 'b' and 'c' is up"]
    assert not chain.ready
    assert up(chain, "b a", "b a") == ["the link between the workers 'a' and 'b' is up", ""]
    assert chain.ready


def test_a_pair_is_lost_when_one_of_them_says_so_and_that_is_told_once(chain: LinkTable) -> None:
    up(chain, "a b", "b a", "b c", "c b")
    assert (
        chain.link_changed("c", "b", up=False)
        == "the link between the workers 'b' and 'c' is lost, and is dialled again"
    )
    assert chain.link_changed("b", "c", up=False) == ""
    assert not chain.ready
    assert up(chain, "c b", "b c")[1].endswith("is up")


def test_what_was_up_with_a_link_that_was_started_again_counts_no_more(chain: LinkTable) -> None:
    up(chain, "a b", "b a", "b c", "c b")
    chain.gateway_opened("c", C, 0.0)
    assert not chain.ready
    up(chain, "b c", "c b")
    assert chain.ready


def test_nobody_cares_for_a_pair_that_exchanges_nothing(chain: LinkTable) -> None:
    assert up(chain, "a c", "c a") == ["", ""]
    assert not chain.ready


def test_the_others_are_told_that_a_worker_has_gone(chain: LinkTable) -> None:
    for name, link in (("a", A), ("b", B), ("c", C)):
        chain.gateway_opened(name, link, 0.0)
    up(chain, "b c", "c b")
    assert chain.worker_gone("stranger") == {}
    assert chain.worker_gone("c") == {"a": {"b": B}, "b": {"a": A}}
    assert chain.link_changed("b", "c", up=False) == ""
    assert chain.worker_gone("b") == {"a": {}}


def test_what_is_missing_is_named(chain: LinkTable) -> None:
    chain.gateway_opened("b", B, 0.0)
    assert chain.missing() == ["the link of worker 'a' did not open", "the link of worker 'c' did not open"]
    chain.gateway_opened("a", A, 0.0)
    chain.gateway_opened("c", C, 0.0)
    up(chain, "b c", "c b")
    assert chain.missing() == [FIREWALL]


def test_a_link_that_takes_long_is_told_once() -> None:
    links = LinkTable([way(0, "a", "b")])
    links.gateway_opened("a", A, 0.0)
    assert links.overdue(100.0) == []
    links.gateway_opened("b", B, 100.0)
    assert links.overdue(100.0 + PATIENCE - 0.1) == []
    assert links.overdue(100.0 + PATIENCE) == [FIREWALL]
    assert links.overdue(1000.0) == []
