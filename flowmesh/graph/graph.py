"""Graph: nodes, the edges between them, and the check whether they can run.

A `networkx.DiGraph` whose keys are the nodes' names. Nothing is placed, shipped or run here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx
from msgspec.structs import replace

from ..codecs import selection
from ..errors import GraphError
from ..node import Align, Node, check_name
from ..wire.plan_specs import EdgeSpec, JoinSpec
from . import drawing, guarantees, lineage, validation
from .keys import ByName, key_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..recording.options import Option
    from ..recording.placement import RecordRequest

PARTNERS = 4  # frames of a lossy edge that may wait for a partner, even if its window is shorter
MAX_SLOTS = 4  # of a lossless edge, whose depth is that of small chunks: frames are large


class GraphSpecs(NamedTuple):
    """A checked graph as plain values.

    Attributes:
        names: in topological order, and in that of `add_node` where there is a choice; a node's position is its index.
        kinds: {name: "source" | "step" | "sink"}.
        edges: by their target's index, then in the order of its inputs; policies, depths and `follow` are resolved.
        joins: {name: how its inputs meet}.
        marks: the nodes whose watermarks a join downstream needs.
        forks: outputs of nodes other than sources by whose numbers a zip pairs.
    """

    names: tuple[str, ...]
    kinds: dict[str, str]
    edges: tuple[EdgeSpec, ...]
    joins: dict[str, JoinSpec]
    marks: frozenset[str]
    forks: tuple[int, ...]


class Graph(networkx.DiGraph):  # type: ignore[misc]
    """Nodes and the edges between them: a `networkx.DiGraph` that knows what can run.

    Keys are the nodes' names; `graph.nodes[name]["node"]` is the Node. Methods of the graph take a Node or its name;
    functions of networkx (`networkx.ancestors(graph, "edges")`) take and give names.

    >>> graph = Graph()
    >>> film, edges = Node(name="film"), Node(name="edges")
    >>> graph.add_edge(film, edges, policy="latest")
    >>> list(graph.successors(film))
    ['edges']

    Raises:
        GraphError: `incoming_graph_data` holds what can't be a node or an edge.
    """

    node_dict_factory = ByName
    adjlist_outer_dict_factory = ByName
    adjlist_inner_dict_factory = ByName

    def __init__(self, incoming_graph_data: Any = None, **attributes: Any) -> None:
        self.recording: RecordRequest | None = None
        copied = isinstance(incoming_graph_data, networkx.DiGraph)
        try:
            super().__init__(None if copied else incoming_graph_data, **attributes)
        except (networkx.NetworkXError, TypeError) as error:
            raise GraphError(f"no graph can be made of this: {error.__cause__ or error}") from error
        if copied:
            self.graph.update(incoming_graph_data.graph | attributes)
            self.add_nodes_from(incoming_graph_data.nodes.items())
            self.add_edges_from(incoming_graph_data.edges.data())

    # --- building ------------------------------------------------------------------------------------------------

    def add_node(self, node_for_adding: Node | str, **attributes: Any) -> None:
        """Add a Node, with attributes of your own if you like. Adding the same object again changes nothing.

        Raises:
            GraphError: it is no Node, or another one has its name.
        """
        node = attributes.pop("node", node_for_adding)
        name = self._name(node)
        if key_of(node_for_adding) != name:
            raise GraphError(f"{node_for_adding!r} can't be the key of the node {name!r}: keys are the nodes' names")
        if isinstance(node, Node):
            attributes["node"] = node
        super().add_node(name, **attributes)

    def add_nodes_from(self, nodes_for_adding: Iterable[Any], **attributes: Any) -> None:
        """Add each Node, or (Node, {attribute: value}), as `add_node` does."""
        for entry in nodes_for_adding:
            match entry:
                case (node, dict() as more):
                    self.add_node(node, **(attributes | more))
                case node:
                    self.add_node(node, **attributes)

    def add_edge(
        self,
        a: Node | str,
        b: Node | str,
        *,
        policy: str | None = None,
        depth: int | None = None,
        bytes: int | None = None,
        codec: str | None = None,
        quality: int | None = None,
        follow: bool = False,
        **unknown: Any,
    ) -> None:
        """Send what `a` emits to `b`. Nodes not yet in the graph are added; b's inputs are in the order of the calls.

        Args:
            a: the sender: a Node, or the name of one that is in the graph.
            b: the receiver, given likewise.
            policy: "lossless" (`a` waits while the window is full), "latest" (only the newest chunk waits) or
                "drop_oldest" (`depth` chunks wait, the oldest makes room). None: "latest" on an edge that is sampled,
                "drop_oldest" out of a node with `live`, else "lossless".
            depth: the window in chunks, 1 to 65536. None: 256 for "lossless", 4 for "drop_oldest"; "latest" has 1.
            bytes: the window in bytes as well: while more than this is on the way to a step of `b`, "lossless" waits and
                "drop_oldest" drops; a single chunk may always go. None: only chunks count.
            codec: how frames and arrays are compressed between hosts: "jpeg" (4:2:0), "jpeg-444", "exact" (nothing is
                lost) or "raw". None: what was added as "image" goes by JPEG where that is possible, all else exactly.
            quality: JPEG's, 1 to 100; None is 80.
            follow: of several inputs, step with each chunk of this one. Without it the first edge is followed.

        Raises:
            GraphError: an option can't be; the edge is there already, or leads from a node to itself; an unknown name.
        """
        source, target = self._name(a), self._name(b)
        error = validation.option_error(policy, depth, bytes, follow, unknown) or selection.option_error(codec, quality)
        if error:
            raise GraphError(f"the edge {source} -> {target}: {error}")
        if source == target:
            raise GraphError(
                f"the edge {source} -> {target} leads back to its own node; each node needs a name of its own"
            )
        if self.has_edge(source, target):
            raise GraphError(f"the edge {source} -> {target} is there already: remove_edge() it to change its options")
        self.add_node(a)
        self.add_node(b)
        order = 1 + max((data["order"] for data in self.pred[target].values()), default=-1)
        options = {
            "policy": policy,
            "depth": depth,
            "bytes": bytes,
            "codec": codec,
            "quality": quality,
            "follow": follow,
        }
        super().add_edge(source, target, **options, order=order)

    def add_edges_from(self, ebunch_to_add: Iterable[Any], **options: Any) -> None:
        """Add each (a, b), or (a, b, {option: value}), as `add_edge` does."""
        for entry in ebunch_to_add:
            match entry:
                case (a, b):
                    self.add_edge(a, b, **options)
                case (a, b, dict() as more):
                    more = options | more
                    order = more.pop("order", None)  # there when networkx copies an edge, in an order of its own
                    self.add_edge(a, b, **more)
                    if order is not None:
                        self.edges[a, b]["order"] = order
                case _:
                    raise GraphError(f"an edge is (a, b) or (a, b, {{option: value}}), not {entry!r}")

    # --- recording -----------------------------------------------------------------------------------------------

    def record(
        self,
        *nodes: Node | str,
        to: str | PathLike[str] = "recordings",
        name: str = "session",
        how: Mapping[str, Option] | None = None,
        start: bool = True,
        policy: str | None = None,
        on_full: str = "end",
        reserve: int | str = "2GiB",
        segment: int | str = "2GiB",
        only: Sequence[str] | None = None,
        duration: float | None = None,
    ) -> None:
        """Record the streams of these nodes when the graph runs on workers. None named: of each that sends to another.

        Each worker that runs one of them gets a recorder, `record@WORKER`. The graph's own joins, policies and guarantees
        stay what they are. Needs the extra `record`.

        Args:
            nodes: Nodes of the graph, or their names.
            to: the folder of all sessions on this host; each run makes a new one, NAME-YYYYmmddTHHMMSS-xxxx, in it.
            name: what the session's folder is called, before its time.
            how: {"NODE/RECORD" or "NODE": an option of `flowmesh.recording`}.
            start: record from the beginning; otherwise from `manager.recording.start()`.
            policy: of the recorders' edges; None: "lossless", but "drop_oldest" where a `live` source is above.
            on_full: what happens when the disk has come to its reserve: "end" (the recording) or "fail" (the graph).
            reserve: bytes that stay free on the disk, also as "2GiB".
            segment: bytes after which a new file begins.
            only: the names of the records to write; None: all.
            duration: seconds of recording after the first chunk of each recorder; None: no limit.

        Raises:
            GraphError: a value is out of range, a node is unknown, or the graph is recorded already.
        """
        from ..recording import placement  # on first use: a graph that is not recorded needs nothing of it

        if self.recording is not None:
            raise GraphError("the graph is recorded already: name all nodes in one call of record()")
        names = [self._name(node) for node in nodes]
        request = placement.record_request(
            names, to, name, how, start, policy, on_full, reserve, segment, only, duration
        )  # fmt: skip
        self.recording = request

    def replaying(
        self,
        session: str | PathLike[str],
        *,
        only: Sequence[str] | None = None,
        speed: float = 1.0,
        loop: bool = False,
        begin: float | None = None,
        end: float | None = None,
        trust: bool = False,
    ) -> Graph:
        """A graph like this one whose sources are played from a recording.

        Nodes that feed nothing any more are left out; the others are the same objects. What this graph records, the new one
        does not.

        Args:
            session: the session's folder.
            only: the names of the nodes to replace: any nodes, not only sources; None: all sources.
            speed: how many times as fast as it was; 0: as fast as the consumers take it, without loss.
            loop: begin again at the end.
            begin, end: seconds after the session's beginning between which to play.
            trust: open pickles, which may run any code of their writer's choice.

        Raises:
            GraphError: a node is unknown, or one to be replaced is not recorded; the text lists what there is.
            FlowmeshError: there is no such session.
        """
        from ..recording import replay

        sources = [name for name in self if not self.pred[name]]
        players = replay.players_of(
            session, sources, list(self), only=only, speed=speed, loop=loop, begin=begin, end=end, trust=trust
        )
        kept = self._feeding(players)
        made = Graph()
        made.add_nodes_from(players.get(name, node) for name, node in self.nodes.data("node") if name in kept)
        for target in made:
            for source in self.inputs(target) if target not in players else ():
                options = {key: value for key, value in self.edges[source, target].items() if key != "order"}
                made.add_edge(source, target, **options)
        return made

    def _feeding(self, replaced: Iterable[str]) -> set[str]:
        """The nodes that are still needed when these have no inputs any more: all but those that feed nothing then."""
        cut = set(replaced)
        kept = set(self)
        for name in reversed(self._order()):
            targets = self.succ[name]
            if targets and name not in cut and all(target in cut or target not in kept for target in targets):
                kept.discard(name)
        return kept

    # --- asking --------------------------------------------------------------------------------------------------

    def inputs(self, node: Node | str) -> list[str]:
        """The names of those that send to the node, in the order of the calls of `add_edge`.

        Raises:
            GraphError: there is no such node.
        """
        senders = self.pred[self._present(key_of(node))]
        return sorted(senders, key=lambda sender: int(senders[sender]["order"]))

    def nbunch_iter(self, nbunch: Any = None) -> Iterator[str]:
        """The names of those nodes of `nbunch` that are in the graph."""
        return map(key_of, super().nbunch_iter(nbunch))

    def reverse(self, copy: bool = True) -> Any:
        """The graph with all edges turned round; its Nodes are the same objects."""
        view = super().reverse(copy=False)
        return view.copy() if copy else view

    def subgraph(self, nodes: Any) -> Any:
        """A read-only view on some nodes and the edges between them, in the graph's order (networkx keeps none)."""
        chosen = frozenset(self.nbunch_iter(nodes))
        return networkx.subgraph_view(self, filter_node=lambda node: key_of(node) in chosen)

    def check(self) -> None:
        """Find what can't run.

        Raises:
            GraphError: all that is wrong, one error per line.
        """
        if errors := list(self._errors()):
            raise GraphError("\n".join(errors))

    def specs(self) -> GraphSpecs:
        """The checked graph as plain values, with all defaults resolved.

        Raises:
            GraphError: as `check`.
        """
        self.check()
        names = self._order()
        pairs = [(source, target) for target in names for source in self.inputs(target)]
        edges = tuple(self._edge_spec(index, *pair) for index, pair in enumerate(pairs))
        joins, forks = joins_of(
            {name: (self._kind_of_join(name), self.inputs(name)) for name in names}, self._lineage()
        )
        zips = [name for name, join in joins.items() if join.kind == "zip"]
        waited_for = lineage.above(names, self.edges, zips)
        for edge in edges:
            if edge.follow and joins[edge.target].kind == "follow" and edge.target not in waited_for:
                joins[edge.target] = replace(
                    joins[edge.target], keeps=0 if edge.bytes else min(edge.depth, edge.slots) - 1
                )
        partnered = [name for name, join in joins.items() if join.kind in ("zip", "align")]
        marks = lineage.above(names, self.edges, partnered)
        return GraphSpecs(names, {name: self._kind(name) for name in names}, edges, joins, marks, forks)

    def guarantees(self) -> dict[str, guarantees.Guarantee]:
        """The guarantees of each sink, with reasons, by its name: `flowmesh.graph.guarantees.Guarantee`.

        Raises:
            GraphError: as `check`.
        """
        return guarantees.guarantees(self)

    def _order(self) -> tuple[str, ...]:
        place = {name: place for place, name in enumerate(self)}
        return tuple(networkx.lexicographical_topological_sort(self, key=place.__getitem__))

    def _kind_of_join(self, name: str) -> str | Align:
        """As `_join`; a single input needs none."""
        return self._join(name) if len(self.pred[name]) > 1 else "any"

    def _lineage(self) -> lineage.Lineage:
        kinds = {name: self._kind_of_join(name) for name in self}
        triggers = {name: self._triggers(name) for name in self}
        triggers.update({name: triggers[name][:1] for name, kind in kinds.items() if isinstance(kind, Align)})
        merging = [name for name, kind in kinds.items() if kind == "any" and len(self.pred[name]) > 1]
        return lineage.Lineage(self._order(), triggers, merging)

    # --- drawing -------------------------------------------------------------------------------------------------

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart; policies other than "lossless" stand at their edges."""
        return drawing.mermaid(list(self), self._arrows())

    def dot(self) -> str:
        """The graph in Graphviz's language: `dot -Tsvg` draws it; labels as in `mermaid`."""
        return drawing.dot(list(self), self._arrows())

    def svg(self) -> str:
        """The graph as an SVG picture; labels as in `mermaid`."""
        return drawing.svg(list(self), self._arrows())

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """The graph as a matplotlib figure, saved to `path` if one is given (its ending says the format).

        Raises:
            FlowmeshError: matplotlib is not installed (`pip install "matplotlib>=3.10.8"`), or can't write there.
        """
        return drawing.plot(list(self), self._arrows(), path)

    def _repr_html_(self) -> str:
        return self.svg()

    # --- rules ---------------------------------------------------------------------------------------------------

    def _name(self, node: object) -> str:
        """The name of a Node that is or could be in the graph, or of one that is."""
        if isinstance(node, Node):
            return self._name_of(node)
        if not isinstance(node, str):
            raise GraphError(f"{node!r} is not a Node: give an instance of a subclass of flowmesh.Node")
        return self._present(node)

    def _present(self, name: str) -> str:
        if name not in self:
            raise GraphError(f"no node {name!r} is in the graph; there are: {', '.join(self) or 'none'}")
        return name

    def _name_of(self, node: Node) -> str:
        if not hasattr(node, "name"):
            raise GraphError(
                f"{type(node).__name__}.__init__ must call super().__init__(name=name) before its node is used"
            )
        check_name(node.name)
        if node.name in self and self.nodes[node.name]["node"] is not node:
            raise GraphError(f"another node is called {node.name!r} already: each needs a name of its own")
        return node.name

    def _kind(self, name: str) -> str:
        if not self.pred[name]:
            return "source"
        return "step" if self.succ[name] else "sink"

    def _join(self, name: str) -> str | Align:
        node: Node = self.nodes[name]["node"]
        if node.join is not None:
            return node.join
        return "any" if self._kind(name) == "sink" else "follow"

    def _triggers(self, name: str) -> list[str]:
        """The senders whose chunks cause a step; the other inputs are sampled."""
        inputs = self.inputs(name)
        if len(inputs) == 1 or self._join(name) != "follow":
            return inputs
        return ([sender for sender in inputs if self.edges[sender, name]["follow"]] or inputs)[:1]

    def _edge_spec(self, index: int, source: str, target: str) -> EdgeSpec:
        data = self.edges[source, target]
        follow = source in self._triggers(target)
        usual = "latest" if not follow else "drop_oldest" if self.nodes[source]["node"].live else "lossless"
        policy = data["policy"] or usual
        depth = data["depth"] or validation.DEPTHS[policy]
        slots = min(depth, MAX_SLOTS) if policy == "lossless" else depth
        size = data["bytes"] or 0
        return EdgeSpec(
            index, source, target, policy, depth, slots, follow, data["codec"], data["quality"], size,
            max_waiting=0 if policy == "lossless" else max(depth, PARTNERS) if self._pairs(target) else depth,
        )  # fmt: skip

    def _pairs(self, name: str) -> bool:
        """Whether a node's chunks wait for partners."""
        kind = self._kind_of_join(name)
        return kind == "zip" or isinstance(kind, Align)

    def _arrows(self) -> list[drawing.Arrow]:
        specs = (self._edge_spec(0, *pair) for pair in self.edges)
        labels = {"lossless": "", "latest": "latest"}
        return [drawing.Arrow(s.source, s.target, labels.get(s.policy, f"{s.policy}({s.depth})")) for s in specs]

    def _errors(self) -> Iterator[str]:
        if not self:
            yield "the graph is empty: add nodes with add_node() or add_edge()"
        yield from self._cycles()
        for name, node in self.nodes.data("node"):
            inputs = {sender: self.edges[sender, name] for sender in self.inputs(name)}
            yield from validation.node_errors(name, node, has_inputs=bool(inputs))
            yield from validation.join_errors(name, self._join(name), inputs, self._triggers(name))
        if networkx.is_directed_acyclic_graph(self):
            yield from self._pairing_errors()
        if self.recording is not None:
            from ..recording import placement

            yield from placement.request_errors(self.recording, [name for name in self if self.succ[name]], list(self))

    def _pairing_errors(self) -> Iterator[str]:
        descent = self._lineage()
        for name in self:
            if self._kind_of_join(name) == "zip":
                try:
                    descent.pairing(self.inputs(name))
                except ValueError as error:
                    yield (
                        f"{name}: join='zip' can't pair its inputs: {error}; "
                        "follow one of them, or pair by time with flowmesh.Align(seconds)"
                    )

    def _cycles(self) -> Iterator[str]:
        """One cycle of each knot."""
        for knot in networkx.strongly_connected_components(self):
            if len(knot) > 1:
                first = next(name for name in self if name in knot)
                path = [a for a, _ in networkx.find_cycle(self.subgraph(knot), first)]
                yield f"the edges {' -> '.join([*path, path[0]])} form a cycle: a graph may have none"


def joins_of(
    kinds: Mapping[str, tuple[str | Align, Sequence[str]]], descent: lineage.Lineage
) -> tuple[dict[str, JoinSpec], tuple[int, ...]]:
    """The join of each node, and the outputs of nodes other than sources by whose numbers zips pair.

    Args:
        kinds: {name: (its join, its senders)}, in topological order.
    """
    place = {name: index for index, name in enumerate(kinds)}
    pairing = {name: descent.pairing(senders) for name, (kind, senders) in kinds.items() if kind == "zip"}
    counted = {name for name, (_, senders) in kinds.items() if not senders}.union(*pairing.values())
    joins = {}
    for name, (kind, senders) in kinds.items():
        triggers = [(where, sender) for where, sender in enumerate(senders) if sender in descent.triggers[name]]
        lines = {where: (descent.ancestors[sender] | {sender}) & counted for where, sender in triggers}
        carries = {where: tuple(sorted(place[output] for output in line)) for where, line in lines.items()}
        joins[name] = JoinSpec(
            "align" if isinstance(kind, Align) else kind,
            kind.tolerance if isinstance(kind, Align) else 0.0,
            tuple(place[output] for output in pairing.get(name, ())),
            carries,
        )
    sources = {place[name] for name, (_, senders) in kinds.items() if not senders}
    return joins, tuple(sorted({place[output] for output in counted} - sources))
