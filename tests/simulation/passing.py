"""Slots that are passed on over three hops, with leases as counts: no slot is written while anybody can read it.

Each process is cut into steps as small as one store or load of a table; a seed decides who is next. A slot holds the
number of the frame that was written last, and whoever reads another than it was sent has read a slot that was reused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from flowmesh.control.node.flow_control import SendWindow

from .world import Broken

HOPS = 3
DEPTH = 3


@dataclass(frozen=True)
class SlotRules:
    """The rules of leases; a test that the simulator can fail breaks one."""

    givers_first: bool = True  # the owner reads the tables in the graph's order
    lease_before_credit: bool = True  # a taker says that it has the frame only when it has a lease
    keeps_until_taken: bool = True  # a giver keeps its lease until the taker has said so
    counts: bool = True  # a table counts; bits forget that a frame was emitted twice
    dead_counts_last: bool = True  # a dead process's counts are ended only when its consumer has read its channel


@dataclass
class Hop:
    """A process that takes frames and passes some of them on. `table` is its page, `window` the edge to it."""

    window: SendWindow
    table: list[int]
    channel: deque[tuple[int, int, int]] = field(default_factory=deque)  # (number on the edge, frame, slot)
    credit: deque[int] = field(default_factory=deque)
    sent: dict[int, int] = field(default_factory=dict)  # what the giver holds for it: {number: slot}
    taken: int = 0
    dead: bool = False
    ended: bool = False


class SlotWorld:
    """An owner of slots and three hops behind it."""

    def __init__(self, seed: int, rules: SlotRules) -> None:
        self.random = Random(seed)
        self.rules = rules
        self.slots = [0] * self.random.randint(2, 7)  # the frame that each holds
        self.hops = [Hop(SendWindow(DEPTH, self.random.randint(1, DEPTH)), [0] * len(self.slots)) for _ in range(HOPS)]
        self.on_edges = [0] * len(self.slots)  # how many sendings of our own edge hold the slot
        self.frames = self.random.randint(5, 25)

    def run(self, death: bool) -> None:
        """Run to the end; with `death`, one of the hops dies on the way, and the worker cleans up after it.

        Raises:
            Broken: a slot was reused while it could be read, a lease was left, or nothing moves any more.
        """
        running: dict[str, Iterator[None]] = {"owner": self._owner()}
        running |= {f"hop {index}": self._hop(index) for index in range(HOPS)}
        dies_at = self.random.randint(10, 300) if death else -1
        for turn in range(40_000):
            if turn == dies_at and (alive := [index for index in range(HOPS) if f"hop {index}" in running]):
                victim = self.random.choice(alive)
                del running[f"hop {victim}"]
                self.hops[victim].dead = True
                running["worker"] = self._worker(victim)
            name = self.random.choice(list(running))
            if next(running[name], "over") == "over":
                del running[name]
            if not running:
                return self._check()
        raise Broken(f"it hangs: {[*running]} {self}")

    def _check(self) -> None:
        left = [hop.table for hop in self.hops if any(hop.table)]
        if left:
            raise Broken(f"leases are left: {left}")

    # --- the owner ---------------------------------------------------------------------------------------------------

    def _owner(self) -> Iterator[None]:
        free = set(range(len(self.slots)))
        returned: set[int] = set()
        first = self.hops[0]
        for frame in range(1, self.frames + 1):
            while not free or not self._has_room(first):
                self._collect(first, returned)
                yield from self._reclaim(free, returned)
                yield
            slot = min(free)
            free.discard(slot)
            self._write(slot, frame)
            yield
            self._send(first, frame, slot)
            self.on_edges[slot] += 1
            yield
        first.ended = True
        while first.sent and not (first.dead and not first.channel):
            self._collect(first, returned)
            yield

    def _has_room(self, hop: Hop) -> bool:
        return hop.dead or hop.window.has_room(shared=True)

    def _reclaim(self, free: set[int], returned: set[int]) -> Iterator[None]:
        candidates = set(returned)
        tables = [hop.table for hop in self.hops]
        held: set[int] = set()
        for table in tables if self.rules.givers_first else reversed(tables):
            yield
            held |= {slot for slot, count in enumerate(table) if count}
        yield
        free |= candidates - held
        returned -= candidates - held

    def _write(self, slot: int, frame: int) -> None:
        readers = [index for index, hop in enumerate(self.hops) if hop.table[slot] and not hop.dead]
        on_the_way = [hop for hop in self.hops if not hop.dead and any(slot == lies for _, _, lies in hop.channel)]
        if readers or on_the_way:
            raise Broken(f"slot {slot} is written for frame {frame}, but {readers or 'a message'} can read it")
        self.slots[slot] = frame

    def _send(self, hop: Hop, frame: int, slot: int) -> None:
        number = hop.window.sent + 1
        hop.window.record_sent(number, shared=True)
        hop.sent[number] = slot
        if not hop.dead:
            hop.channel.append((number, frame, slot))

    def _collect(self, hop: Hop, returned: set[int]) -> None:
        for slot in self._taken_back(hop):
            self.on_edges[slot] -= 1
            if not self.on_edges[slot]:
                returned.add(slot)

    def _taken_back(self, hop: Hop) -> list[int]:
        """The slots that the giver need not hold for a hop any more: it has its own lease, or is dead."""
        if hop.dead:
            gone = list(hop.sent.values())
            hop.sent.clear()
            hop.window.receive_credit(hop.window.sent)
            return gone
        done: list[int] = []
        while hop.credit:
            done += hop.window.receive_credit(hop.credit.popleft())
        return [hop.sent.pop(number) for number in done]

    # --- a hop -------------------------------------------------------------------------------------------------------

    def _hop(self, index: int) -> Iterator[None]:
        hop = self.hops[index]
        below = self.hops[index + 1] if index + 1 < HOPS else None
        kept: list[tuple[int, int]] = []  # what the user keeps beyond the step
        while hop.channel or not hop.ended or kept:
            yield
            self._let_go(hop, below)
            if kept and (self.random.random() < 0.2 or hop.ended):
                frame, slot = kept.pop(0)
                self._read(slot, frame)
                self._end_lease(hop, slot)
            if not hop.channel:
                continue
            number, frame, slot = hop.channel.popleft()
            yield from self._take(hop, number, slot)
            self._read(slot, frame)
            yield
            self._read(slot, frame)
            if below is not None and self.random.random() < 0.8:
                yield from self._pass_on(hop, below, frame, slot)
            if self.random.random() < 0.2:
                kept.append((frame, slot))
            else:
                self._end_lease(hop, slot)
        if below is not None:
            below.ended = True
            while below.sent:
                self._let_go(hop, below)
                yield

    def _take(self, hop: Hop, number: int, slot: int) -> Iterator[None]:
        """A lease of our own, and only then credit."""
        for what in ("lease", "credit") if self.rules.lease_before_credit else ("credit", "lease"):
            if what == "lease":
                self._lease(hop, slot)
            else:
                hop.taken = number
                hop.credit.append(number)
            yield

    def _pass_on(self, hop: Hop, below: Hop, frame: int, slot: int) -> Iterator[None]:
        for _ in range(self.random.choice((1, 1, 2))):
            while not self._has_room(below):
                self._let_go(hop, below)
                yield
            if self.rules.keeps_until_taken:
                self._lease(hop, slot)
            self._send(below, frame, slot)
            yield

    def _let_go(self, hop: Hop, below: Hop | None) -> None:
        if below is None:
            return
        for slot in self._taken_back(below):
            if self.rules.keeps_until_taken:
                self._end_lease(hop, slot)

    def _lease(self, hop: Hop, slot: int) -> None:
        hop.table[slot] = hop.table[slot] + 1 if self.rules.counts else 1

    def _end_lease(self, hop: Hop, slot: int) -> None:
        hop.table[slot] = max(0, hop.table[slot] - 1)

    def _read(self, slot: int, frame: int) -> None:
        if self.slots[slot] != frame:
            raise Broken(f"frame {frame} was read in slot {slot}, which holds frame {self.slots[slot]} by now")

    # --- a death -----------------------------------------------------------------------------------------------------

    def _worker(self, victim: int) -> Iterator[None]:
        """End the dead one's counts, once its consumer has a lease on all that lies in the dead one's channel."""
        dead = self.hops[victim]
        dead.channel.clear()
        below = self.hops[victim + 1] if victim + 1 < HOPS else None
        if below is not None:
            below.ended = True
            while self.rules.dead_counts_last and not below.dead and below.taken < below.window.sent:
                yield
        for slot in range(len(self.slots)):
            dead.table[slot] = 0
            yield


def pass_on(seed: int, rules: SlotRules | None = None) -> None:
    """Run the schedule of that seed; in every third, a hop dies.

    Raises:
        Broken: a slot was reused while it could be read.
    """
    SlotWorld(seed, rules or SlotRules()).run(death=seed % 3 == 0)
