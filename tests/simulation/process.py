"""One incarnation of a node: the loop that a node's process runs, over the real Machines.

It can be killed wherever it yields: between any two of writing its page, committing, sending, telling what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flowmesh.control.node.machine import NodeMachine
from flowmesh.control.node.watermarks import Cause
from flowmesh.control.recovery.checkpoint import Checkpoint
from flowmesh.wire.states import NodeState

from .graphs import Chunk, Node, Origins
from .inputs import Inputs
from .output import Output
from .world import Broken

if TYPE_CHECKING:
    from .simulation import Simulation

WAIT = None  # yielded: until something comes


class Process:
    """A node's process. It yields how long it is busy, or WAIT."""

    def __init__(self, world: Simulation, node: Node) -> None:
        self.world = world
        self.node = node
        self.waiting = False
        self.running = self._run()
        rules, page = world.rules, node.page
        self._page = page
        self.output = Output(world, node)
        lossy = frozenset(index for index, edge in enumerate(node.ins) if not edge.lossless)
        ordered = node.join == "any" and len(node.ins) > 1
        self.settling = rules.settling(page, self.output.keeping, lossy, ordered)
        self.inputs = Inputs(world, node, self.output, self.settling, self._write)
        self.machine = NodeMachine("simulated", node.name, len(node.ins))

    def _run(self) -> Iterator[float | None]:
        self.machine.set_up()
        self.machine.start(1, None)
        while True:
            self._receive_up()
            self.inputs.receive()
            yield from self._tell()
            if self.output.all_closed and (self._ended or self.output.outlets):
                yield from self._leave()
                return
            stepped = not self._ended and (yield from self._step())
            if not stepped and not self._has_anything_to_do():
                yield WAIT

    def _has_anything_to_do(self) -> bool:
        return self.inputs.can_be_read or self.output.can_be_read or self.inputs.anything_to_tell()

    @property
    def _ended(self) -> bool:
        return self.machine.state is NodeState.ENDED

    def _write(self, page: Checkpoint) -> None:
        old = self.node.page
        if any(new < before for new, before in zip(page.settled, old.settled, strict=True)) or page.next < old.next:
            raise Broken(f"{self.node.name}: its page went back: {old} {page}")
        self._page = page
        if self.world.rules.page_first:
            self.node.page = page

    def _step(self) -> Iterator[Any]:
        """One step, if there is one to make, or the end; whether there was."""
        if not self.node.ins:
            yield from self._step_source()
            return True
        triggers = self.inputs.take()
        if triggers is None:
            if self.inputs.join.finished:
                yield from self._end()
                return True
            return False
        yield from self.world.stop_here()
        yield self.world.clock.random.expovariate(1.0) * self.node.speed
        causes = [self.inputs.cause(index, chunk) for index, chunk in triggers.items()]
        if self.node.outs:
            yield from self._emit_all(triggers, causes)
        else:
            self._commit(triggers)
            yield from self.world.stop_here()
        self.inputs.stepped(causes)
        return True

    def _emit_all(self, triggers: dict[int, Chunk], causes: list[Cause]) -> Iterator[Any]:
        origin: Origins = {}
        for cause in causes:
            origin.update(self.inputs.progress.origin(cause))
        contents = self.node.gives(tuple(chunk.content for chunk in triggers.values()))
        completes = self.inputs.progress.completes(causes)
        for emission, content in enumerate(contents, start=1):
            yield from self._emit(content, origin, completes and emission == len(contents))

    def _step_source(self) -> Iterator[Any]:
        number = self.output.keeping.highest + 1
        yield self.world.clock.random.expovariate(1.0) * self.node.speed
        if number > self.node.chunks >= 0:
            yield from self._end()
            return
        self._write(self.settling.step_began(0, {}))
        yield from self._emit(hash((self.node.index, number)), {}, True)
        self._write(self.settling.step_finished({}))

    def _end(self) -> Iterator[Any]:
        """Close the inputs, and give the end."""
        self.machine.node_ended()
        self.inputs.close()
        self.output.end()
        yield from self.world.stop_here()
        self.output.flush()

    def _leave(self) -> Iterator[Any]:
        """All consumers have settled our end, or want nothing more."""
        if not self._ended:
            self.node.closed_early = True
            self.machine.node_ended()
            self.inputs.close()
        self._write(self.settling.inputs_closed())
        yield from self.world.stop_here()
        yield from self.inputs.report_closed()
        self.machine.tear_down()
        self.world.left(self.node)

    def _emit(self, content: int, origin: Origins, last: bool) -> Iterator[Any]:
        output = self.output
        yield from self._while_blocked(output.is_full)
        chunk = Chunk(output.keeping.highest + 1, content, origin, last)
        self.node.gave(chunk)
        output.keeping.keep(chunk)
        self._write(self.settling.chunk_emitted())
        yield from self.world.stop_here()
        output.offer(chunk)
        self.world.look_at(self)
        yield from self._while_blocked(output.is_held_back)

    def _while_blocked(self, blocked: Callable[[], bool]) -> Iterator[Any]:
        while blocked() and not self.output.all_closed:
            self._receive_up()
            yield from self._tell()
            if blocked() and not self.inputs.anything_to_tell() and not self.output.can_be_read:
                yield WAIT

    def _receive_up(self) -> None:
        self.output.receive()
        self._write(self.settling.settle_steps())
        self.world.look_at(self)
        self.output.flush()

    def _tell(self) -> Iterator[Any]:
        yield from self.inputs.tell()
        if self.node.page is not self._page:
            yield 1.0
            self.node.page = self._page

    def _commit(self, triggers: dict[int, Chunk]) -> None:
        """A sink writes data and number at once; what it has already, it skips."""
        for index, chunk in triggers.items():
            newest = max((number for where, number, _ in self.node.committed if where == index), default=0)
            if chunk.number > newest:
                self.node.committed.append((index, chunk.number, chunk.content))
