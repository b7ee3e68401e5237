"""Leases: whatever is made on the bytes of a slot keeps its lease, its end is told, and nothing of it can be written."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest

from flowmesh.channel.arena import Arena, ArenaView
from flowmesh.channel.leases import CELLS, Lease, LeaseTable, ReaderTables, fence, key, lease_of, offset_in
from flowmesh.channel.packet_socket import PacketSocket
from flowmesh.wire import packets

from ..isolated import alone
from .fakes import Send, forever, peer

SIZE = 4096


class Handed:
    """A slot as a consumer's process has it: `array` lies in it, `ended` counts the ends of its lease."""

    def __init__(self) -> None:
        tables = ReaderTables()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.arena = Arena(7, SIZE, 2, self.bell, tables.door)
        self.arena.memory(1)[:] = bytes(range(256)) * (SIZE // 256)
        self.view = ArenaView(7, os.dup(self.arena.descriptor), os.dup(self.bell), os.dup(tables.door), SIZE, 2)
        self.ended = 0
        self.tables = tables

    def lease(self) -> Lease:
        return Lease.on(self.view.memory(1, SIZE), self.view, 1, self._end)

    def array(self) -> np.ndarray:
        return np.ndarray((32, 128), np.uint8, self.lease().data.toreadonly())

    def _end(self) -> None:
        self.ended += 1


def out_of_band(array: np.ndarray) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps([array], protocol=5, buffer_callback=buffers.append)
    return pickle.loads(stream, buffers=buffers)


class Interface:
    """A foreign object that shows an array by numpy's protocol."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


def failure(array: np.ndarray) -> Exception:
    try:
        raise ValueError(array.shape)
    except ValueError as error:
        return error  # its traceback's frame holds the array


def cycle(array: np.ndarray) -> list[Any]:
    ring: list[Any] = [array[0]]
    ring.append(ring)
    return ring


WAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "itself": lambda a: a,
    "slice": lambda a: a[3:9, 5:60],
    "stride": lambda a: a[::-3, ::2],
    "one row": lambda a: a[5],
    "slice of a slice": lambda a: a[1:][1:][:, 1:],
    "transpose": lambda a: a.T,
    "view": lambda a: a.view(np.int16),
    "subclass": lambda a: a.view(np.matrix),
    "reshape": lambda a: a.reshape(-1),
    "ravel": lambda a: a.ravel(),
    "new axis": lambda a: a[None, ..., None],
    "squeeze": lambda a: a[:1].squeeze(),
    "diagonal": lambda a: a.diagonal(),
    "split": lambda a: np.split(a, 4)[2],
    "asarray": lambda a: np.asarray(memoryview(a)),
    "array without copy": lambda a: np.array(a, copy=False, ndmin=4),
    "frombuffer": lambda a: np.frombuffer(a, np.int32),
    "frombuffer of a memoryview": lambda a: np.frombuffer(memoryview(a).cast("B")[64:], np.uint8),
    "ndarray on it": lambda a: np.ndarray((4, 4), np.float64, a, 256),
    "memoryview": memoryview,
    "slice of a memoryview": lambda a: memoryview(a).cast("B")[7:99],
    "data": lambda a: a.data,
    "PickleBuffer": pickle.PickleBuffer,
    "raw PickleBuffer": lambda a: pickle.PickleBuffer(a).raw(),
    "pickled out of band": out_of_band,
    "iterator": iter,
    "row of an iterator": lambda a: next(iter(a)),
    "flat": lambda a: a.flat,
    "nditer": np.nditer,
    "ctypes": lambda a: a.ctypes,
    "ctypes pointer": lambda a: a.ctypes.data_as(ctypes.c_void_p),
    "as_strided": lambda a: np.lib.stride_tricks.as_strided(a, (8, 8), (1, 1)),
    "broadcast": lambda a: np.broadcast_to(a[0], (5, 128)),
    "broadcast arrays": lambda a: np.broadcast_arrays(a, a[:1])[1],
    "sliding window": lambda a: np.lib.stride_tricks.sliding_window_view(a, (3, 3)),
    "array interface": lambda a: np.asarray(Interface(a)),
    "DLPack": np.from_dlpack,
    "record fields": lambda a: a.view([("a", "u1"), ("b", "u1")])["b"],
    "closure": lambda a: lambda: a[0],
    "generator": lambda a: (row for row in a),
    "exception": failure,
    "cycle": cycle,
    "in a list": lambda a: [{"deep": (a[0],)}],
    "base": lambda a: a.base,
    "slice of the base": lambda a: a.base[5:],
}


@alone
def test_whatever_is_made_on_it_keeps_the_lease_and_its_end_is_told_once() -> None:
    for way, make in WAYS.items():
        handed = Handed()
        made = make(handed.array())
        gc.collect()
        assert handed.ended == 0, way
        del made
        gc.collect()
        assert handed.ended == 1, way


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way not in ("ctypes", "ctypes pointer", "closure", "exception")]
)
@alone
def test_nothing_made_on_it_can_be_written(way: str) -> None:
    handed = Handed()
    made = WAYS[way](handed.array())
    for array in arrays_in(made):
        while isinstance(array, np.ndarray):
            assert not array.flags.writeable
            for change in (partial(array.setflags, write=True), partial(setattr, array.flags, "writeable", True)):
                with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
                    change()
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            with pytest.raises((TypeError, BufferError, ValueError)):
                (ctypes.c_char * 1).from_buffer(array)
            assert memoryview(array).readonly
            array = array.base
        if array is not None and not isinstance(array, np.generic):
            with pytest.raises((BufferError, TypeError, ValueError)):
                np.frombuffer(array, np.uint8)[0] = 1
    assert bytes(handed.arena.memory(1)) == bytes(range(256)) * (SIZE // 256)


def arrays_in(made: Any) -> Iterator[Any]:
    """The arrays of what was made, and those that can be made of it."""
    if isinstance(made, np.ndarray):
        yield made
    elif isinstance(made, memoryview | pickle.PickleBuffer):
        view = memoryview(made)
        assert view.readonly
        yield np.asarray(view)
    elif isinstance(made, np.flatiter):
        yield made.base
    elif isinstance(made, np.nditer):
        yield made.operands[0]
    elif isinstance(made, list):
        yield from arrays_in(made[0])
    elif isinstance(made, dict):
        yield from made["deep"]
    else:
        yield next(made)


@alone
def test_a_copy_is_free_of_it() -> None:
    handed = Handed()
    copies = [
        handed.array().copy(),
        handed.array()[2:4].astype(np.float32),
        handed.array().tobytes(),
        handed.array()[1, 2],
    ]
    gc.collect()
    assert handed.ended == len(copies)


@alone
def test_the_slots_content_outlives_the_arena_and_the_view() -> None:
    handed = Handed()
    array = handed.array()
    handed.arena.close()
    handed.view.close()
    del handed
    gc.collect()
    assert array[1].tolist() == list(range(128, 256))


@alone
def test_leases_end_in_many_threads_at_once() -> None:
    """The fence and the books of the table are for whoever ends a lease, in the middle of another's end too."""
    handed, table = Handed(), LeaseTable()
    handed.arena.ask_for_slots(True)

    def ended(cell: int) -> None:
        table.end(cell)
        handed.view.lease_ended()

    def work() -> None:
        for number in range(1000):
            while (cell := table.take(7, 1)) is None:
                gc.collect()
            ring: list[Any] = [Lease.on(handed.view.memory(1, SIZE), handed.view, 1, partial(ended, cell))]
            if number % 8 == 0:
                ring.append(ring)  # ends whenever the garbage collector runs

    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        fence()
    for thread in threads:
        thread.join()
    gc.collect()
    assert len({table.take(1, 1) for _ in range(CELLS)}) == CELLS
    assert os.eventfd_read(handed.bell) == 4000


# --- which lease an array lies in ------------------------------------------------------------------------------------


@alone
def test_arrays_in_one_lease_are_found_however_they_were_cut() -> None:
    handed = Handed()
    array = handed.array()
    lease = array.base
    assert lease_of([array, array.T, array[3:][2:], array.view(np.int8).reshape(2, -1)]) is lease
    assert [offset_in(lease, array[row:]) for row in (0, 1, 31)] == [0, 128, 31 * 128]
    for stranger in (np.zeros(3), handed.array(), array.copy(), b"bytes", memoryview(array), np.zeros(3)[1:]):
        assert lease_of([array, stranger]) is None
    assert lease_of([]) is None


# --- tables ----------------------------------------------------------------------------------------------------------


@alone
def test_a_table_has_so_many_cells_and_gives_none_when_it_is_full() -> None:
    table, tables = LeaseTable(), ReaderTables()
    tables.add(3, os.dup(table.descriptor))
    cells = [table.take(1, slot) for slot in range(CELLS)]
    assert sorted(cell for cell in cells if cell is not None) == list(range(CELLS))
    assert table.take(1, 5000) is None
    assert tables.held() == {key(1, slot) for slot in range(CELLS)}
    table.end(cells[17] or 0)
    assert tables.held() == {key(1, slot) for slot in range(CELLS) if slot != 17}
    assert table.take(2**31, 2**16 - 1) == cells[17]
    assert key(2**31, 2**16 - 1) in tables.held()


@alone
def test_two_leases_on_one_slot_end_one_by_one() -> None:
    table, tables = LeaseTable(), ReaderTables()
    tables.add(3, os.dup(table.descriptor))
    first, second = table.take(1, 2), table.take(1, 2)
    assert first is not None
    assert second is not None
    table.end(first)
    assert tables.held() == {key(1, 2)}
    table.end(second)
    assert tables.held() == set()


@alone
def test_readers_introduce_themselves_at_the_door_and_are_known_once() -> None:
    table, tables = LeaseTable(), ReaderTables()
    assert not tables.listen()
    for _ in range(3):
        assert table.introduce(5, tables.door)
    assert tables.held() == set()
    table.take(1, 1)
    assert tables.listen()
    assert not tables.listen()
    assert tables.held() == {key(1, 1)}


@alone
def test_a_door_at_which_too_many_wait_refuses_and_takes_them_later() -> None:
    table, tables = LeaseTable(), ReaderTables()
    answers = [table.introduce(reader, tables.door) for reader in range(2000)]
    assert not answers[-1]
    assert tables.listen()
    assert table.introduce(2000, tables.door)


@alone
def test_a_door_whose_owner_has_gone_lets_everybody_in() -> None:
    tables = ReaderTables()
    door = os.dup(tables.door)
    del tables
    assert LeaseTable().introduce(1, door)


@alone
def test_what_is_no_introduction_is_not_heard_and_nothing_stays_open() -> None:
    tables = ReaderTables()
    end = PacketSocket(os.dup(tables.door))
    before = len(os.listdir("/proc/self/fd"))
    end.send(packets.encode(packets.CloseEdge()), [end.fileno()])
    end.send(packets.encode(packets.ReaderHello(4)))
    assert tables.listen()
    assert len(os.listdir("/proc/self/fd")) == before
    assert tables.held() == set()


@alone
def test_a_table_is_read_while_its_process_writes_it() -> None:
    """One lease stays; others come and go as fast as they can. What is read was written, and what stays is always seen."""
    table, tables = LeaseTable(), ReaderTables()
    assert table.take(9, 9) == 0

    def work(say: Send) -> None:
        say(b"going")
        for number in count():
            cells = [table.take(2, slot) for slot in range(number % 50)]
            for cell in cells:
                table.end(cell or 0)

    with peer(work) as other:
        assert other.heard() == b"going"
        tables.add(1, os.dup(table.descriptor))
        possible = {key(9, 9), *(key(2, slot) for slot in range(50))}
        seen: set[int] = set()
        while len(seen) <= 25:
            held = tables.held()
            assert key(9, 9) in held
            assert held <= possible
            seen |= held


@alone
def test_the_leases_of_a_killed_process_stay() -> None:
    """What it has handed on may not have been leased by the next yet: only who knows that may end them."""
    table, tables = LeaseTable(), ReaderTables()

    def work(say: Send) -> None:
        table.take(4, 2)
        say(b"leased")
        forever()

    with peer(work) as other:
        tables.add(1, os.dup(table.descriptor))
        assert other.heard() == b"leased"
        other.kill()
    assert tables.held() == {key(4, 2)}


@alone
def test_a_lease_on_its_way_is_always_seen_when_givers_are_read_before_takers() -> None:
    hands = [LeaseTable() for _ in range(4)]
    tables = ReaderTables()
    for index, table in reversed(list(enumerate(hands))):
        tables.add(index, os.dup(table.descriptor))
    go = os.eventfd(0)

    def work(say: Send) -> None:
        cell = hands[0].take(1, 1)
        say(b"leased")
        while os.eventfd_read(go):
            for giver, taker in pairwise(hands):
                taken = taker.take(1, 1)  # before the giver's ends
                giver.end(cell or 0)
                cell = taken
            say(b"!")
            os.eventfd_read(go)
            back = hands[0].take(1, 1)
            hands[-1].end(cell or 0)
            cell = back
            say(b"!")

    with peer(work) as other:
        assert other.heard() == b"leased"
        rounds = reads = 0
        while rounds < 1000 or reads <= 100:  # while it moves: where that process runs instead of us, we read nothing
            rounds += 1
            os.eventfd_write(go, 1)
            while not select.select([other], [], [], 0)[0]:
                assert tables.held() == {key(1, 1)}
                reads += 1
            assert other.heard() == b"!"
            os.eventfd_write(go, 1)
            assert other.heard() == b"!"
