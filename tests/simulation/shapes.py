"""The graphs that are simulated. A shape and a seed give a graph, its speeds, windows and caps, who dies when."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from flowmesh.graph.lineage import Lineage

from .graphs import Edge, Node
from .simulation import Rules, Simulation
from .world import Clock


class Build:
    """A graph in the making; nodes are added in the graph's order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.random: Random = clock.random
        self.latency = self.random.choice((0.02, 0.3, 3.0))
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def node(
        self, name: str, *senders: Node, profile: str = "one", join: str = "any", sampled: Node | None = None
    ) -> Node:
        node = Node(len(self.nodes), name, profile, join)
        node.speed = self.random.choice((0.01, 0.1, 1.0))
        node.cap = self.random.choice((1, 2, 3, 6, 12))
        self.nodes.append(node)
        for sender in senders:
            self.edge(sender, node, lossy=sender is sampled, sampled=sender is sampled)
        return node

    def source(self, name: str, chunks: int | None = None) -> Node:
        node = self.node(name)
        node.chunks = self.random.randint(0, 14) if chunks is None else chunks
        return node

    def edge(self, source: Node, target: Node, lossy: bool = False, sampled: bool = False) -> Edge:
        depth = self.random.choice((1, 2, 3, 8))
        edge = Edge(len(self.edges), self.clock, source, target, depth, self.latency * self.random.choice((1, 1, 4)))
        edge.lossless, edge.sampled = not lossy, sampled
        source.outs.append(edge)
        target.ins.append(edge)
        self.edges.append(edge)
        return edge

    def profile(self) -> str:
        return self.random.choice(("one", "filter", "several", "rare"))

    def simulation(self, rules: Rules) -> Simulation:
        self.trace()
        for node in self.nodes:
            if len(set(node.pair_by)) > 1 and not rules.strangers_by_sources:
                node.pair_by = tuple(edge.source.index for edge in node.ins)
        return Simulation(self.clock, self.nodes, self.edges, rules)

    def can_zip(self, node: Node) -> bool:
        """Whether `check` would let it be a zip, and the windows are large enough: of three inputs, one that waits for the
        end of a step may keep another from taking all that this step emits."""
        try:
            self.trace()
        except ValueError:
            return False
        return len(node.ins) < 3 or not any(above.profile == "several" for above in self.nodes)

    def trace(self) -> None:
        """By what each zip pairs, and what marks each node passes on: as a graph is committed."""
        index = {node.name: node.index for node in self.nodes}
        triggers = {
            node.name: [edge.source.name for edge in node.ins if not (node.join == "follow" and edge.sampled)]
            for node in self.nodes
        }
        merging = [node.name for node in self.nodes if node.join == "any" and len(node.ins) > 1]
        lineage = Lineage([node.name for node in self.nodes], triggers, merging)
        forks: set[int] = set()
        for node in self.nodes:
            senders = triggers[node.name]
            if node.join == "zip":
                outputs = lineage.pairing(senders)
                node.pair_by = tuple(index[output] for output in outputs)
                forks.update(index[output] for output in outputs if triggers[output])
            for place, edge in enumerate(node.ins):
                if edge.source.name in senders:
                    line = lineage.ancestors[edge.source.name] | {edge.source.name}
                    node.carries[place] = tuple(sorted(index[name] for name in line))
        for node in self.nodes:
            node.forks = frozenset(forks)


def chain(build: Build) -> None:
    node = build.source("source")
    for place in range(build.random.randint(0, 4)):
        node = build.node(f"step{place}", node, profile=build.profile())
    build.node("sink", node)


def filtered_zip(build: Build) -> None:
    """A diamond, with filters before the zip."""
    source = build.source("source")
    fork = build.node("fork", source, profile=build.profile()) if build.random.random() < 0.4 else source
    left, right = fork, fork
    for place in range(build.random.randint(0, 2)):
        left = build.node(f"left{place}", left, profile=build.profile())
    for place in range(build.random.randint(1, 3)):
        right = build.node(f"right{place}", right, profile=build.profile())
    sides = [left, right] if build.random.random() < 0.5 else [right, left]
    pair = build.node("pair", *sides, join="zip", profile=build.profile())
    build.node("sink", pair)


def uneven_zip(build: Build) -> None:
    """Two sources that end at different times, one perhaps never; what is left over is dropped as after_end."""
    film = build.source("film")
    camera = build.source("camera", build.random.choice((-1, 3, 12)))
    pair = build.node("pair", film, camera, join="zip")
    if camera.chunks >= 0 and build.random.random() < 0.6:
        build.node("merge", pair, camera)
    else:
        build.node("sink", pair)


def fan_out(build: Build) -> None:
    """A recorder that must miss nothing beside a slow viewer that may."""
    node = build.source("source", build.random.randint(5, 25))
    if build.random.random() < 0.6:
        node = build.node("step", node, profile=build.profile())
    build.node("recorder", node)
    viewer = Node(len(build.nodes), "viewer", speed=build.random.choice((0.1, 3.0)))
    build.nodes.append(viewer)
    build.edge(node, viewer, lossy=True)


def sampled(build: Build) -> None:
    """A followed input beside a sampled one; the sampled one's chunks lie behind a filter."""
    followed = build.source("followed")
    slow = build.source("slow", build.random.randint(1, 10))
    value = slow
    if build.random.random() < 0.6:
        value = build.node("value", slow, profile=build.random.choice(("one", "filter")))
    step = build.node("step", followed, value, join="follow", profile=build.profile(), sampled=value)
    build.node("sink", step)
    if build.random.random() < 0.3:
        build.node("recorder", value)


def starved(build: Build) -> None:
    """The first sample comes late, or never, and needs what the followed input has in its hands; a zip waits for both."""
    source = build.source("source", build.random.randint(5, 40))
    steps = []
    for place in range(build.random.choice((1, 1, 2))):
        rare = build.node(f"rare{place}", source, profile=build.random.choice(("rare", "filter")))
        steps.append(build.node(f"step{place}", source, rare, join="follow", profile=build.profile(), sampled=rare))
    last = steps[0]
    if build.random.random() < 0.7:
        last = build.node("pair", *(steps if len(steps) > 1 else (steps[0], source)), join="zip")
        steps.clear()
    for place, node in enumerate(steps[1:]):
        build.node(f"end{place}", node)
    build.node("sink", last)


def merged(build: Build) -> None:
    """Sources that end at different times, taken as they come; perhaps of one origin."""
    first = build.source("first")
    apart = build.random.random() < 0.5
    second = build.source("second") if apart else build.node("second", first, profile=build.profile())
    left = build.node("left", first, profile=build.profile())
    step = build.node("merge", left, second, profile=build.profile())
    build.node("sink", step)


def anything(build: Build) -> None:
    """A random graph of all kinds of joins."""
    random = build.random
    for place in range(random.choice((1, 1, 2, 2, 3))):
        build.source(f"s{place}")
    for place in range(len(build.nodes), random.randint(4, 8)):
        senders = random.sample(build.nodes, min(len(build.nodes), random.choice((1, 1, 2, 2, 3))))
        join = random.choice({1: ("any",), 2: ("any", "zip", "follow"), 3: ("any", "zip")}[len(senders)])
        node = build.node(f"n{place}", *senders, profile=build.profile(), join=join,
                          sampled=senders[1] if join == "follow" else None)  # fmt: skip
        if join == "zip" and not build.can_zip(node):
            node.join = "any"
    for node in list(build.nodes):
        if not node.outs:
            build.node(f"end{node.index}", node)


def crossed(build: Build) -> None:
    """Several zips of the same sources, each behind filters of its own: what one is waiting for the full window of
    another must not keep back."""
    random = build.random
    sources = [
        build.source(name, random.randint(10, 60)) for name in ("one", "other", "third")[: random.choice((2, 3))]
    ]
    for place in range(random.randint(2, 3)):
        sides = []
        for source in random.sample(sources, random.randint(2, len(sources))):
            filtered = random.random() < 0.6
            sides.append(build.node(f"{source.name}{place}", source, profile=build.profile()) if filtered else source)
        build.node(f"sink{place}", build.node(f"pair{place}", *sides, join="zip", profile=build.profile()))


SHAPES: dict[str, Callable[[Build], None]] = {
    shape.__name__: shape
    for shape in (chain, filtered_zip, uneven_zip, crossed, fan_out, sampled, starved, merged, anything)
}


RIGHT = Rules()


def simulate(shape: str, seed: int, rules: Rules = RIGHT, crashes: bool = True) -> Simulation:
    """Run the schedule of that seed, whose graph has that shape.

    Raises:
        Broken, ChunkError: a rule is broken.
    """
    clock = Clock(seed)
    build = Build(clock)
    SHAPES[shape](build)
    simulation = build.simulation(rules)
    random = clock.random
    span = random.choice((100, 400, 1200))
    deaths = sorted(random.randint(5, span) for _ in range(random.choice((0, 1, 2, 6)))) if crashes else []
    cuts = sorted(random.randint(5, span) for _ in range(random.choice((0, 1, 4)))) if crashes else []
    simulation.run(deaths, cuts)
    return simulation
