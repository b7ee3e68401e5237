"""Who descends from whom, and by whose numbers a zip can pair."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.graph.lineage import Lineage, above


def lineage(*edges: str, any_: str = "") -> Lineage:
    """Triggering edges as "ab", from a to b; the nodes in `any_` mix their inputs."""
    triggers: dict[str, list[str]] = {name: [] for edge in edges for name in edge}
    for edge in edges:
        triggers[edge[1]].append(edge[0])
    return Lineage(list(TopologicalSorter(triggers).static_order()), triggers, any_)


def pairing(found: Lineage, name: str) -> tuple[str, ...]:
    return found.pairing(found.triggers[name])


def test_ancestors_are_those_of_all_triggering_inputs() -> None:
    found = lineage("sa", "ab", "tb", "bc")
    assert found.ancestors == {"s": set(), "t": set(), "a": {"s"}, "b": {"s", "a", "t"}, "c": {"s", "a", "t", "b"}}


@pytest.mark.parametrize(
    ("edges", "by"),
    [
        (["sa", "sb", "az", "bz"], "ss"),
        (["sf", "fa", "fb", "az", "bz"], "ff"),
        (["sa", "az", "sz"], "ss"),
        (["sa", "ab", "bc", "cz", "az"], "aa"),
        (["sa", "sb", "sc", "az", "bz", "cz"], "sss"),
        (["sm", "tm", "ma", "mb", "az", "bz"], "mm"),
        (["sx", "tx", "sy", "xz", "yz"], "ss"),
    ],
)
def test_a_zip_pairs_by_the_nearest_common_ancestor(edges: list[str], by: str) -> None:
    assert pairing(lineage(*edges), "z") == tuple(by)


@pytest.mark.parametrize(
    ("edges", "by"),
    [
        (["sz", "tz"], "st"),
        (["sa", "az", "tb", "bc", "cz"], "st"),
        (["sx", "tx", "xz", "uz"], "su"),
        (["sx", "tx", "xa", "az", "uy", "vy", "yz", "wz"], "suw"),
    ],
)
def test_a_zip_pairs_strangers_by_their_sources(edges: list[str], by: str) -> None:
    assert pairing(lineage(*edges), "z") == tuple(by)


@pytest.mark.parametrize(
    ("edges", "why"),
    [
        (["sa", "sb", "az", "bz", "tz"], "some of its inputs descend from 's', others do not"),
        (["sa", "ta", "sz", "tz", "az"], "some of its inputs descend from 's', 't', others do not"),
        (["sa", "ta", "sb", "tb", "az", "bz"], "its inputs descend from 's', 't' alike, none of which is nearer"),
    ],
)
def test_what_cannot_be_paired_says_why(edges: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        pairing(lineage(*edges), "z")


def test_who_mixes_below_the_common_ancestor_is_named() -> None:
    edges = ["sa", "sb", "am", "bm", "mz", "sz"]
    assert pairing(lineage(*edges), "z") == ("s", "s")
    with pytest.raises(ValueError, match=r"^'m' mixes its inputs \(join='any'\), so that numbers come out of order$"):
        pairing(lineage(*edges, any_="m"), "z")


def test_who_mixes_above_strangers_is_named() -> None:
    """The third that came to m descends from the third of nobody."""
    with pytest.raises(ValueError, match=r"^'m' mixes its inputs \(join='any'\), so that numbers come out of order$"):
        pairing(lineage("sm", "tm", "ma", "az", "uz", any_="m"), "z")


def test_who_mixes_above_the_common_ancestor_does_no_harm() -> None:
    assert pairing(lineage("sm", "tm", "mf", "fa", "fb", "az", "bz", any_="m"), "z") == ("f", "f")
    assert pairing(lineage("sm", "tm", "ma", "mb", "az", "bz", any_="m"), "z") == ("m", "m")


@pytest.mark.parametrize(
    ("targets", "found"),
    [("", ""), ("s", ""), ("a", "s"), ("z", "stab"), ("y", "stabz"), ("az", "stab"), ("t", "")],
)
def test_above_is_who_can_reach_a_target(targets: str, found: str) -> None:
    edges = [("s", "a"), ("a", "b"), ("b", "z"), ("t", "z"), ("z", "y")]
    assert above("stabzy", edges, targets) == set(found)


@st.composite
def graphs(draw: st.DrawFn) -> list[str]:
    count = draw(st.integers(2, 7))
    names = "abcdefg"[:count]
    pairs = [a + b for index, b in enumerate(names) for a in names[:index]]
    return draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))


@given(graphs())
def test_whatever_pairs_every_input_descends_from_it(edges: list[str]) -> None:
    found = lineage(*edges)
    for senders in filter(None, found.triggers.values()):
        try:
            outputs = found.pairing(senders)
        except ValueError:
            continue
        lines = [found.ancestors[sender] | {sender} for sender in senders]
        assert all(output in line for output, line in zip(outputs, lines, strict=True))
        common = frozenset.intersection(*lines)
        if common:
            assert not any(outputs[0] in found.ancestors[other] for other in common)
        else:
            assert not any(found.triggers[output] for output in outputs)
            assert len(frozenset().union(*lines)) == sum(map(len, lines)), "strangers have nobody in common"
