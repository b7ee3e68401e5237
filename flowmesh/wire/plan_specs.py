"""The specification of a checked, placed graph: plain frozen values, sent from the Manager to workers. No I/O."""

from __future__ import annotations

import msgspec

# Every reason for which a chunk may be dropped; its index here is its cell in the counter page.
REASONS = (
    "superseded",  # a newer one replaced it (policy latest, or a sampled edge)
    "oldest",  # drop_oldest made room for a newer one
    "before_first",  # a followed input was full while another had not yet brought anything
    "unmatched",  # zip: no partner will come
    "unaligned",  # Align: no partner within the tolerance
    "after_end",  # the node had ended
    "failed",  # the node had failed
    "died",  # the node process had died
)

# Slots of an output for `allocate`: the newest, which gather() keeps, the one before while that is replaced, the next one.
ALLOCATED = 3


class EdgeSpec(msgspec.Struct, frozen=True):
    """An edge of the graph. `index` is its index in the graph; `depth` its window in chunks; `slots` in shared slots;
    `bytes` in bytes, where it is not 0. `max_waiting`: how many chunks in slots may wait in the node for its next step;
    0, as on a lossless edge, sets no limit. `keeps_alive`: whether the source goes on for it alone; a recorder's edge
    is in no rule of ends."""

    index: int
    source: str
    target: str
    policy: str = "lossless"
    depth: int = 256
    slots: int = 4
    follow: bool = False
    codec: str | None = None
    quality: int | None = None
    bytes: int = 0
    max_waiting: int = 0
    keeps_alive: bool = True


class JoinSpec(msgspec.Struct, frozen=True):
    """The join of a node's inputs.

    Attributes:
        kind: "any" | "follow" | "zip" | "align".
        tolerance: of an align, in seconds.
        pair_by: of a zip, for each input the output by whose numbers its items are paired.
        carries: where a join downstream needs watermarks: {input's index: the outputs whose numbers its watermarks
            give}.
        keeps: of a follow, how many chunks of the followed input wait until each other one has brought something.
    """

    kind: str = "any"
    tolerance: float = 0.0
    pair_by: tuple[int, ...] = ()
    carries: dict[int, tuple[int, ...]] = {}
    keeps: int = 0


class NodeSpec(msgspec.Struct, frozen=True):
    """A node as a worker gets it. `index` is its index in the graph: its output's number in a chunk's origin. `slots`
    is how many slots of shared memory its output needs, so that no holder of slots can block it forever."""

    index: int
    name: str
    kind: str  # "source" | "step" | "sink"
    instance: bytes  # the pickled Node
    worker: str = ""
    slots: int = 8
    join: JoinSpec = JoinSpec()
    sends_watermarks: bool = False  # whether a join downstream needs this node's watermarks
    pairing_outputs: tuple[int, ...] = ()  # outputs of other nodes than sources by whose numbers a zip pairs


class Module(msgspec.Struct, frozen=True):
    """A module or package file that travels as source under its own name.

    Attributes:
        name: the dotted name.
        path: its path on the Manager's host, for tracebacks.
        source: its text.
        is_package: whether it is a package's `__init__`.
        resources: of a package, its data files: path below the package -> content.
    """

    name: str
    path: str
    source: str
    is_package: bool = False
    resources: dict[str, bytes] = {}


class Code(msgspec.Struct, frozen=True):
    """All code that a graph needs beside what is installed.

    Attributes:
        definitions: the cloudpickled {name: class or function} of `__main__` that the nodes reach.
        modules: sibling modules and `packages=`.
        main_path: the script's path; empty for a notebook.
        sources: the text of each file or notebook cell that code in `definitions` or in a node comes from, by the name
            that the code has for it.
        requirements: installed distributions that the code imports -> the Manager's version of them.
        imports_cv2: whether the code imports cv2 (it is then loaded before the nodes are forked).
    """

    definitions: bytes
    modules: tuple[Module, ...] = ()
    main_path: str = ""
    sources: dict[str, str] = {}
    requirements: dict[str, str] = {}
    imports_cv2: bool = False


_code_decoder = msgspec.msgpack.Decoder(Code)
encode_code = msgspec.msgpack.Encoder().encode


def decode_code(data: bytes) -> Code:
    """The Code in `data`, which came from this host's own worker."""
    return _code_decoder.decode(data)


class Host(msgspec.Struct, frozen=True):
    """Where a worker runs. Two workers whose `boot`, `network` and `user` agree are on one host.

    Attributes:
        boot: the kernel's boot id.
        network: the inode of the network namespace.
        user: the user id.
        address: the abstract AF_UNIX name at which the worker takes channel ends from workers of its host.
        machine: the processor's architecture, as the kernel names it ("x86_64").
    """

    boot: str
    network: int
    user: int
    address: str
    machine: str = ""

    def shares_memory_with(self, other: Host) -> bool:
        return (self.boot, self.network, self.user) == (other.boot, other.network, other.user)


class Versions(msgspec.Struct, frozen=True):
    """The versions of Python and packages that a worker has."""

    flowmesh: str
    python: str  # "3.11"


class Issued(msgspec.Struct, frozen=True):
    """A new token as it is given to an admin client, with its secret: the text, and the line to paste on the other
    machine."""

    id: str
    text: str
    line: str

    def __repr__(self) -> str:
        return f"Issued(id={self.id!r})"


class TokenStatus(msgspec.Struct, frozen=True):
    """A one-use token of a Manager, without its secret; or what is kept of one that was made to be kept.

    Attributes:
        id: its id, which its holder knows, too.
        state: "open", "used", "expired", "revoked"; or "kept": a worker that may come back without a token.
        expires: the seconds that are left; 0 when it has expired.
        worker: the name of the worker that used it; "" before that.
    """

    id: str
    state: str
    expires: float
    worker: str = ""


class EdgePlan(msgspec.Struct, frozen=True):
    """An edge and its transport, decided once, at commit. `nonce` names it between two workers of a host."""

    spec: EdgeSpec
    source_worker: str
    target_worker: str
    transport: str = (
        "socket"  # "ring": lossless, of one host whose processor keeps stores in order; "link": between hosts
    )
    nonce: str = ""
    address: str = ""  # of the target's worker, where it is another one
    transfer: int = -1  # the index of the Transfer that it is part of, between hosts
    pickle: bool = True  # whether the target's worker takes pickled values


class Transfer(msgspec.Struct, frozen=True):
    """The traffic of one node's output from one worker to another on another host, for all its edges to there that
    agree in policy, depth, codec and quality. It is encoded and sent once, whatever the number of its edges.

    Attributes:
        index: its index in the plan.
        source: the node whose output it is.
        output: that node's index.
        edges: all of one policy, depth, codec and quality.
        slots: how many slots of shared memory it may fill on the target's host.
    """

    index: int
    source: str
    output: int
    source_worker: str
    target_worker: str
    edges: tuple[EdgeSpec, ...]
    slots: int


class LinkAddress(msgspec.Struct, frozen=True):
    """The address of a worker's gateway, and its public key (Z85), which is new at each start of the gateway."""

    key: str
    address: str
    port: int


class Plan(msgspec.Struct, frozen=True):
    """A graph, placed. `names` are all nodes' names by their index."""

    graph: str
    run: int
    names: tuple[str, ...]
    nodes: tuple[NodeSpec, ...]
    edges: tuple[EdgePlan, ...]
    code: Code
    transfers: tuple[Transfer, ...] = ()

    def for_worker(self, worker: str) -> Plan:
        """The part of the plan that a worker needs."""
        return msgspec.structs.replace(
            self,
            nodes=tuple(node for node in self.nodes if node.worker == worker),
            edges=tuple(edge for edge in self.edges if worker in (edge.source_worker, edge.target_worker)),
            transfers=tuple(part for part in self.transfers if worker in (part.source_worker, part.target_worker)),
        )
