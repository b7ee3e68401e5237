"""Joins in real graphs: whoever filters, gathers, ends early or is slow, nothing hangs, and every chunk is accounted for."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowmesh as fm

from ...conftest import SCALE
from .conftest import Cluster
from .example_nodes import Collect, Count, Relay, default

Data = dict[str, fm.DataChunk]


class Every(fm.Node):
    """Passes on one of its parameter `every` numbers; the others emit nothing."""

    every: int

    def step(self, data: Data) -> Any:
        (chunk,) = data.values()
        return default(chunk) if default(chunk) % self.every == 0 else None


class Twice(fm.Node):
    """Two chunks for each."""

    def step(self, data: Data) -> Any:
        (chunk,) = data.values()
        self.emit(default(chunk))
        return default(chunk)


class Gather(fm.Node):
    """Keeps its parameter `size` values and sends them in one go, each in a chunk of its own."""

    size: int

    def setup(self) -> None:
        self.kept: list[Any] = []

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        self.kept.append(default(chunk))
        if len(self.kept) == self.size:
            for value in self.kept:
                self.emit(value)
            self.kept.clear()


class Meet(fm.Node):
    """Sends on what met, as a tuple of values in the order of the inputs."""

    def step(self, data: Data) -> Any:
        return tuple(default(chunk) for chunk in data.values())


class Met(fm.Node):
    """A sink that leaves what met in each step in the file `path`."""

    path: Path

    def setup(self) -> None:
        self.met: list[tuple[Any, ...]] = []

    def step(self, data: Data) -> None:
        self.met.append(tuple(default(chunk) for chunk in data.values()))

    def teardown(self) -> None:
        self.path.write_bytes(pickle.dumps(self.met))


class Site:
    """Runs graphs whose sink `met` is a Met."""

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self.cluster = cluster
        self.path = path

    def sink(self, join: Any) -> Met:
        return Met(name="met", join=join, path=self.path)

    def run(self, graph: fm.Graph, workers: int = 1) -> tuple[list[Any], fm.status.Status]:
        """What met, and the last status, in which every chunk has been received or dropped for a reason."""
        status = self.cluster.run(graph, workers).status()
        for edge in status.edges.values():
            assert (edge.in_flight, edge.received + sum(edge.dropped.values())) == (0, edge.sent), edge
        return pickle.loads(self.path.read_bytes()), status


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path) -> Site:
    return Site(cluster, tmp_path / "met")


def joined(*edges: tuple[fm.Node, fm.Node], **options: Any) -> fm.Graph:
    graph = fm.Graph()
    for a, b in edges:
        graph.add_edge(a, b, **options)
    return graph


def diamond(top: fm.Node, a: fm.Node, b: fm.Node, sink: fm.Node) -> fm.Graph:
    return joined((top, a), (top, b), (a, sink), (b, sink))


# --- zip -------------------------------------------------------------------------------------------------------------


def test_a_filter_that_passes_one_of_a_thousand(site: Site, workers: int) -> None:
    few, all_ = Every(name="few", every=1000), Every(name="all", every=1)
    met, status = site.run(diamond(Count("count", until=20_000), few, all_, site.sink("zip")), workers)
    assert met == [(number, number) for number in range(1000, 20_001, 1000)]
    assert status.edges["few", "met"].dropped == {}
    assert set(status.edges["all", "met"].dropped) <= {"unmatched", "after_end"}


def test_several_of_one_number_pair_in_their_order(site: Site) -> None:
    met, status = site.run(
        diamond(Count("count", until=1000), Twice(name="twice"), Every(name="third", every=3), site.sink("zip"))
    )
    assert met == [(number, number) for number in range(3, 1001, 3)]
    assert status.edges["twice", "met"].sent == 2000


def test_below_a_fork_its_own_numbers_pair(site: Site, workers: int) -> None:
    """Of the two chunks that the fork makes of each, a filter passes some: they meet themselves, not their twins."""

    fork = Fork(name="fork")
    graph = diamond(fork, Every(name="all", every=1), Every(name="even", every=2), site.sink("zip"))
    graph.add_edge(Count("count", until=500), fork)
    met, _ = site.run(graph, workers)
    assert met == [(number, number) for number in range(2, 1001, 2)]


@pytest.mark.parametrize("until", [57, None], ids=["longer", "endless"])
def test_strangers_pair_one_by_one_and_the_shortest_ends_it(site: Site, until: int | None, workers: int) -> None:
    short, long = Count("short", until=40), Count("long", until=until)
    met, status = site.run(joined((long, sink := site.sink("zip")), (short, sink)), workers)
    assert met == [(number, number) for number in range(1, 41)]
    assert set(status.edges["long", "met"].dropped) == {"after_end"}
    assert status.nodes["long"].state == "closed"


@pytest.mark.parametrize("depth", [1, None], ids=["shallow", "usual"])
def test_strangers_behind_filters_meet_by_the_numbers_of_their_sources(
    cluster: Cluster, tmp_path: Path, depth: int | None
) -> None:
    """Three zips of the same two sources: what one waits for, the full window of another must not keep back."""
    one, other = Count("one", until=3000), Count("other", until=3000)
    few, several = Every(name="few", every=1000), Twice(name="several")
    sinks = {name: Met(name=name, join="zip", path=tmp_path / name) for name in ("all", "rare", "twice")}
    graph = joined((other, few), (one, several), depth=depth)
    for name, sides in {"all": (one, other), "rare": (one, few), "twice": (several, other)}.items():
        for side in sides:
            graph.add_edge(side, sinks[name], depth=depth)
    status = cluster.run(graph).status()
    met = {name: pickle.loads((tmp_path / name).read_bytes()) for name in sinks}
    assert met["all"] == met["twice"] == [(number, number) for number in range(1, 3001)]
    assert met["rare"] == [(1000, 1000), (2000, 2000), (3000, 3000)]
    for edge in status.edges.values():
        assert (edge.in_flight, edge.received + sum(edge.dropped.values())) == (0, edge.sent), edge


class Frames(Count):
    """Numbered frames that lie in slots."""

    def step(self) -> Any:
        frame = np.zeros((64, 256), np.uint8)
        frame[0, :2] = divmod(super().step(), 256)
        return frame


class Numbers(Met):
    """A Met that keeps the numbers of frames."""

    def step(self, data: Data) -> None:
        self.met.append(tuple(int(default(chunk)[0, 0]) * 256 + int(default(chunk)[0, 1]) for chunk in data.values()))


def test_a_film_zipped_with_a_camera_ends_with_the_film(site: Site) -> None:
    film, camera = Frames("film", until=100), Frames("camera", rate=300, live=True)
    met, status = site.run(joined((film, sink := Numbers(name="met", join="zip", path=site.path)), (camera, sink)))
    assert met == [(number, number) for number, _ in met]
    assert met
    assert status.edges["camera", "met"].policy == "drop_oldest"
    assert set(status.edges["camera", "met"].dropped) <= {"after_end", "oldest", "unmatched"}
    assert set(status.edges["film", "met"].dropped) <= {"unmatched"}


def test_a_branch_may_gather_more_than_a_window_holds(site: Site, workers: int) -> None:
    """What it sends in one go was caused by the last that it took: only one of these has a partner."""
    graph = diamond(Count("count", until=3000), Gather(name="gather", size=300), Relay(name="relay"), site.sink("zip"))
    met, status = site.run(graph, workers)
    assert met == [(number - 299, number) for number in range(300, 3001, 300)]
    assert status.edges["gather", "met"].sent == 3000


def test_frames_wait_in_few_slots_for_a_branch_that_gathers(site: Site) -> None:
    film = Frames("film", until=120)
    sink = Numbers(name="met", join="zip", path=site.path)
    met, _ = site.run(joined((film, gather := Gather(name="gather", size=30)), (gather, sink), (film, sink)))
    assert met == [(number - 29, number) for number in range(30, 121, 30)]


def test_zips_in_zips(site: Site, workers: int) -> None:
    """What the inner one finds without a partner the outer one is told of."""
    count, inner = Count("count", until=5000), Meet(name="inner", join="zip")
    graph = diamond(count, Every(name="all", every=1), Every(name="few", every=1000), inner)
    outer = Meet(name="outer", join="zip")
    graph.add_edges_from([(inner, outer), (count, outer), (outer, sink := site.sink("zip")), ("all", sink)])
    met, status = site.run(graph, workers)
    assert met == [(((n, n), n), n) for n in range(1000, 5001, 1000)]
    assert set(status.edges["count", "outer"].dropped) <= {"unmatched", "after_end"}


class Slow(Relay):
    """A Relay that takes its time."""

    def step(self, data: Data) -> fm.DataChunk:
        time.sleep(0.03)
        return super().step(data)


class Pairs(fm.Node):
    """Passes on two numbers in a row out of 20."""

    def step(self, data: Data) -> Any:
        (chunk,) = data.values()
        return default(chunk) if default(chunk) % 20 in (1, 2) else None


def test_marks_that_come_with_a_chunk_are_passed_on_behind_it(site: Site) -> None:
    """While `slow` works on the first of a pair, the second and all the marks up to the end of the window arrive."""
    count, pairs, slow, sink = Count("count", until=200), Pairs(name="pairs"), Slow(name="slow"), site.sink("zip")
    graph = joined((count, pairs), (pairs, slow), (slow, sink))
    graph.add_edge(count, sink, depth=16)
    met, _ = site.run(graph)
    assert met == [(number, number) for number in range(1, 201) if number % 20 in (1, 2)]


def test_a_step_that_waits_for_its_first_sample_tells_what_it_drops(site: Site) -> None:
    """The sample descends from what the zip would hold back."""
    count, follows, few = Count("count", until=5000), First(name="follows"), Every(name="few", every=1000)
    met, status = site.run(
        joined((count, follows), (count, few), (few, follows), (follows, sink := site.sink("zip")), (count, sink))
    )
    assert met == [(number, number) for number, _ in met]
    dropped = status.edges["count", "follows"].dropped
    assert dropped.keys() == {"before_first"}
    assert (dropped["before_first"] > 900, len(met)) == (True, 5000 - dropped["before_first"])


@pytest.mark.parametrize(("depth", "every"), [(1, 1), (2, 1), (256, 100)])
def test_what_waits_for_its_first_sample_never_holds_up_a_zip(site: Site, depth: int, every: int) -> None:
    """The sample needs the thousandth chunk; the zip's window is too small for those of which the followed input could
    keep the usual three: as it is shallow, or as a filter lies before the followed input."""
    count, followed, few = (
        Count("count", until=3000),
        Every(name="followed", every=every),
        Every(name="few", every=1000),
    )
    follows, sink = First(name="follows"), site.sink("zip")
    graph = joined((count, followed), (count, few), (followed, follows), (few, follows), (follows, sink))
    graph.add_edge(count, sink, depth=depth)
    met, status = site.run(graph)
    assert met == [(number, number) for number, _ in met]
    assert len(met) == 3000 // every - status.edges["followed", "follows"].dropped["before_first"] > 1000 // every


class First(fm.Node):
    """Sends on the value of its first input."""

    def step(self, data: Data) -> Any:
        return default(next(iter(data.values())))


# --- Align -----------------------------------------------------------------------------------------------------------


def test_chunks_of_one_origin_are_aligned_without_any_tolerance(site: Site, workers: int) -> None:
    met, status = site.run(
        diamond(
            Count("count", until=500, rate=2000), Relay(name="a"), Every(name="fifth", every=5), site.sink(fm.Align(0))
        ),
        workers,
    )
    assert met == [(number, number) for number in range(5, 501, 5)]
    assert status.edges["a", "met"].dropped == {"unaligned": 400}


def test_each_reference_meets_the_nearest(site: Site) -> None:
    """By when they were made, which a busy machine puts off: the sink is judged by the times that it was given."""
    fast, slow = Count("fast", until=200, rate=200), Count("slow", until=20, rate=20)
    sink = Timed(name="met", join=fm.Align(0.02), path=site.path)
    graph = joined((slow, sink), (fast, sink), (slow, Made(name="slow made", path=site.path.with_name("slow"))))
    graph.add_edge(fast, Made(name="fast made", path=site.path.with_name("fast")))
    met, status = site.run(graph)
    slows, fasts = (pickle.loads(site.path.with_name(name).read_bytes()) for name in ("slow", "fast"))
    expected = []
    for number, made in enumerate(slows, 1):
        nearest = min(abs(made - other) for other in fasts)
        if nearest <= 0.02:
            expected.append((number, pytest.approx(nearest, abs=1e-4)))
    assert [(number, apart) for number, apart in met] == expected
    assert status.edges["slow", "met"].dropped.get("unaligned", 0) == 20 - len(met)


class Timed(Met):
    """A Met that keeps a reference's number, and by how many seconds its partner was made before or after it."""

    def step(self, data: Data) -> None:
        reference, partner = data.values()
        self.met.append((reference.number, abs(reference.times.created - partner.times.created)))


class Made(Met):
    """A Met that keeps when each chunk was made."""

    def step(self, data: Data) -> None:
        self.met += [chunk.times.created for chunk in data.values()]


@pytest.mark.parametrize("first", ["film", "gather"])
def test_a_tolerance_may_be_longer_than_a_window_lasts(site: Site, first: str) -> None:
    """Four frames fit in the window; what is waited for comes 30 frames later, or would only in 10 s."""
    film, gather = Frames("film", until=200), Gather(name="gather", size=30)
    sink = Numbers(name="met", join=fm.Align(10.0), path=site.path)
    edges = [(film, gather), (film, sink), (gather, sink)]
    met, status = site.run(joined(*(edges if first == "film" else [edges[0], edges[2], edges[1]])))
    assert met
    for edge in status.edges.values():
        assert set(edge.dropped) <= {"unaligned", "after_end"}


@pytest.mark.parametrize("depth", [1, 2, 7, 256])
def test_a_small_window_on_small_chunks_does_not_hang_either(site: Site, depth: int) -> None:
    count, sink = Count("count", until=600), site.sink(fm.Align(10.0))
    met, _ = site.run(joined((count, a := Relay(name="a")), (a, sink), (count, sink), depth=depth))
    assert [number for number, _ in met] == sorted(number for number, _ in met)


def test_what_finds_no_partner_above_a_zip_is_told_to_it(site: Site) -> None:
    count, other, aligned = Count("count", until=2000), Count("other", until=1), First(name="a", join=fm.Align(0))
    met, status = site.run(
        joined((count, aligned), (other, aligned), (aligned, sink := site.sink("zip")), (count, sink))
    )
    assert met == []
    assert status.edges["count", "a"].dropped == {"unaligned": 2000}


# --- all of them -----------------------------------------------------------------------------------------------------

JOINS: dict[str, Any] = {
    "follow": "follow",
    "follow the other": "follow",
    "zip": "zip",
    "any": "any",
    "align": fm.Align(0.01),
    "align the other": fm.Align(0.01),
}


def test_a_thousand_and_one_a_second_meet_in_every_way(cluster: Cluster) -> None:
    graph = fm.Graph()
    for name, join in JOINS.items():
        fast, slow = Count(f"fast {name}", rate=1000), Count(f"slow {name}", rate=1)
        sink = Collect(name=name, join=join)
        for source in (slow, fast) if name == "align the other" else (fast, slow):
            followed = name == "follow the other" and source is slow
            graph.add_edge(source, sink, follow=followed)
    manager = cluster.commit(graph)
    manager.start()
    least = {"follow": 1000, "follow the other": 3, "zip": 3, "any": 1500}
    cluster.until(lambda: all(manager.status().nodes[name].steps >= count for name, count in least.items()))
    begun = time.monotonic()
    manager.stop()
    # though `fast` waits for room before the zip, where `slow` has paused
    assert time.monotonic() - begun < 4.0 * SCALE  # it would take 5 s
    status = manager.status()
    for (_, target), edge in status.edges.items():
        assert (edge.sent, edge.derived) == (edge.received + sum(edge.dropped.values()) + edge.in_flight, False)
        limit = {"zip": 257, "align": 256, "align the other": 256, "any": 0}.get(target, int(edge.policy == "latest"))
        assert edge.in_flight <= limit, edge
    reasons = {(source[:4], target): set(edge.dropped) for (source, target), edge in status.edges.items()}
    assert (
        reasons["slow", "follow"] == reasons["fast", "zip"] == reasons["slow", "any"] == reasons["fast", "any"] == set()
    )
    assert reasons["fast", "follow the other"] == {"superseded"}
    assert reasons["fast", "align"] == {"unaligned"}


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_sources_may_end_at_any_time(cluster: Cluster, order: tuple[str, ...], tmp_path: Path) -> None:
    """One graph of four joins, each of sources of its own: a ends at once after one chunk, c last."""
    graph = fm.Graph()
    counts = {"a": 1, "b": 300, "c": 2000}
    for kind, join in {"follow": "follow", "zip": "zip", "any": "any", "align": fm.Align(5.0)}.items():
        sink = Met(name=kind, join=join, path=tmp_path / kind)
        for source in order:
            graph.add_edge(Count(f"{source} {kind}", until=counts[source]), sink)
    status = cluster.run(graph).status()
    for edge in status.edges.values():
        assert (edge.in_flight, edge.received + sum(edge.dropped.values())) == (0, edge.sent), edge
    met = {kind: pickle.loads((tmp_path / kind).read_bytes()) for kind in ("follow", "zip", "any", "align")}
    assert met["zip"] == [(1, 1, 1)]
    assert sorted(met["any"]) == sorted((n,) for count in counts.values() for n in range(1, count + 1))
    first = counts[order[0]]
    before_first = status.edges[f"{order[0]} follow", "follow"].dropped.get("before_first", 0)
    assert len(met["follow"]) == first - before_first
    assert [numbers[0] for numbers in met["align"]] == sorted(numbers[0] for numbers in met["align"])


def test_an_input_that_ends_without_a_chunk_ends_who_would_sample_it(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    graph = joined((Count("count"), follows := First(name="follows")), (Count("empty", until=0), follows))
    graph.add_edge(follows, Collect(name="sink"))
    with caplog.at_level(logging.WARNING):
        status = cluster.run(graph).status()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "'follows' ends without a step: 'empty', whose newest chunk each step sees, ended without one" in said
    assert status.nodes["follows"].steps == 0
    assert set(status.edges["count", "follows"].dropped) <= {"before_first", "after_end"}


# --- inline ----------------------------------------------------------------------------------------------------------


class Tell(Met):
    """A Met that keeps all that is known of what met, but for when it was made."""

    def step(self, data: Data) -> None:
        self.met += [(sender, default(chunk), known(chunk.stamp)) for sender, chunk in data.items()]


def known(stamp: Any) -> tuple[Any, ...]:
    origin = {name: number for name, (number, _) in stamp.origin.items()}
    return stamp.number, stamp.trigger, stamp.emission, stamp.last, origin


class Fork(fm.Node):
    """Two numbers for each."""

    def step(self, data: Data) -> Any:
        (chunk,) = data.values()
        self.emit(default(chunk) * 2 - 1)
        return default(chunk) * 2


def zip_of_a_fork(sink: fm.Node) -> fm.Graph:
    fork = Fork(name="fork")
    graph = diamond(fork, Every(name="a", every=1), Every(name="b", every=4), sink)
    graph.add_edge(Count("count", until=300), fork)
    return graph


def nested_zips(sink: fm.Node) -> fm.Graph:
    """The inner pairs strangers, the outer by the numbers of one of them."""
    count, inner = Count("count", until=300), Meet(name="inner", join="zip")
    return joined((count, inner), (Count("other", until=200), inner), (inner, sink), (count, sink))


def zip_of_a_gatherer(sink: fm.Node) -> fm.Graph:
    return diamond(Count("count", until=300), Gather(name="gather", size=50), Twice(name="twice"), sink)


def an_endless_source(sink: fm.Node) -> fm.Graph:
    return joined((Count("endless"), few := Every(name="few", every=3)), (few, sink), (Count("film", until=50), sink))


def aligned(sink: fm.Node) -> fm.Graph:
    # So few that no window is ever full, whichever branch is late: a full one decides with what is there.
    return diamond(Count("count", until=180), Gather(name="a", size=10), Gather(name="b", size=15), sink)


@pytest.mark.parametrize(
    ("build", "join"),
    [
        (zip_of_a_fork, "zip"),
        (nested_zips, "zip"),
        (zip_of_a_gatherer, "zip"),
        (an_endless_source, "zip"),
        (aligned, fm.Align(0)),
    ],
)
def test_inline_gives_the_same(site: Site, build: Callable[[fm.Node], fm.Graph], join: Any) -> None:
    met, _ = site.run(build(Tell(name="met", join=join, path=site.path)))
    fm.run(build(Tell(name="met", join=join, path=site.path)), inline=True)
    assert pickle.loads(site.path.read_bytes()) == met
    assert len(met) > 8


def test_inline_aligns_by_time(tmp_path: Path) -> None:
    """Sources take turns, so that each number of the one is made right beside the same of the other."""
    sink = Met(name="met", join=fm.Align(5.0), path=tmp_path / "met")
    fm.run(joined((Count("a", until=100), sink), (Count("b", until=50), sink)), inline=True)
    met = pickle.loads((tmp_path / "met").read_bytes())
    assert [a for a, _ in met] == list(range(1, 101))
    assert all(abs(min(a, 50) - b) <= 1 for a, b in met)


# --- live ------------------------------------------------------------------------------------------------------------


class Viewer(fm.Node):
    """A sink of ten steps a second; it keeps each chunk's number, and its age in seconds."""

    path: Path

    def setup(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        self.seen.append((chunk.number, time.time() - chunk.times.created))
        time.sleep(0.1)

    def teardown(self) -> None:
        self.path.write_bytes(pickle.dumps(self.seen))


def test_a_slow_viewer_of_a_live_source_sees_what_is_new(cluster: Cluster, tmp_path: Path) -> None:
    camera = Frames("camera", rate=60, live=True, until=180)
    status = cluster.run(joined((camera, Viewer(name="viewer", path=tmp_path / "seen")))).status()
    seen = pickle.loads((tmp_path / "seen").read_bytes())
    ages = [age for number, age in seen if 60 < number <= 170]  # the first second, and what waits at the end, apart
    assert len(ages) > 10
    assert sorted(ages)[len(ages) // 2] < 0.2 * SCALE, ages
    edge = status.edges["camera", "viewer"]
    assert (edge.sent, edge.received + edge.dropped["oldest"]) == (180, 180)
