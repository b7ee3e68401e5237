"""Arenas: slots are reused lowest first, consumers can't write or shrink them, and what a peer says of them is checked."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.channel.slots import F_ADD_SEALS, SEALS, Arena, ArenaView, size_class
from flowmesh.errors import ChunkError

from .peers import Send, descriptors, peer

PAGE = mmap.PAGESIZE


def memory_file(size: int, seals: int) -> int:
    descriptor = os.memfd_create("flowmesh-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
    return descriptor


# --- the producer's side ---------------------------------------------------------------------------------------------


def test_the_lowest_free_slot_is_taken_first() -> None:
    arena = Arena(1, PAGE, 3)
    assert arena.idle
    assert [arena.take() for _ in range(4)] == [0, 1, 2, None]
    for slot in (2, 0):
        arena.lend(slot, 1)
        arena.give_back(slot)
    assert not arena.idle
    assert [arena.take() for _ in range(3)] == [0, 2, None]
    arena.close()


def test_a_slot_is_free_when_its_last_reader_has_given_it_back() -> None:
    arena = Arena(1, PAGE, 2)
    slot = arena.take()
    assert slot == 0
    arena.lend(slot, 3)
    for _ in range(2):
        arena.give_back(slot)
        assert not arena.idle
    arena.give_back(slot)
    assert arena.idle
    assert arena.take() == 0
    arena.lend(0, 0)
    assert arena.idle
    arena.close()


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["take", "lend", "back"]), st.integers(0, 9))))
def test_no_slot_is_ever_given_to_two(slots: int, acts: list[tuple[str, int]]) -> None:
    arena = Arena(1, PAGE, slots)
    taken: list[int] = []
    lent: dict[int, int] = {}
    for what, number in acts:
        if what == "take":
            slot = arena.take()
            free = set(range(slots)) - set(taken) - set(lent)
            assert slot == min(free, default=None)
            taken += [] if slot is None else [slot]
        elif what == "lend" and taken:
            slot = taken.pop(number % len(taken))
            arena.lend(slot, number % 3)
            lent |= {slot: number % 3} if number % 3 else {}
        elif what == "back" and lent:
            slot = list(lent)[number % len(lent)]
            arena.give_back(slot)
            lent[slot] -= 1
            lent = {slot: readers for slot, readers in lent.items() if readers}
        assert arena.idle == (not taken and not lent)
    arena.close()


# --- the consumer's side ---------------------------------------------------------------------------------------------


def test_another_process_reads_what_is_written_in_place() -> None:
    arena = Arena(1, PAGE, 2)

    def work(say: Send) -> None:
        view = ArenaView(os.dup(arena.descriptor), PAGE, 2)
        say(b"mapped")
        os.read(wait_read, 1)
        say(bytes(view.memory(1, 5)))

    wait_read, wait_write = os.pipe()
    with peer(work) as other:
        assert other.heard() == b"mapped"
        arena.memory(1)[:5] = b"later"
        os.write(wait_write, b"!")
        assert other.heard() == b"later"
        other.end()
    os.close(wait_read)
    os.close(wait_write)
    arena.close()


def test_a_consumer_can_not_write() -> None:
    arena = Arena(1, PAGE, 2)
    view = ArenaView(os.dup(arena.descriptor), PAGE, 2)
    assert view.memory(0, PAGE).readonly
    for descriptor in (arena.descriptor, os.open(f"/proc/self/fd/{arena.descriptor}", os.O_RDWR)):
        with pytest.raises(PermissionError):
            mmap.mmap(descriptor, PAGE)
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
    os.close(descriptor)
    arena.memory(0)[0] = 7
    assert view.memory(0, 1)[0] == 7
    arena.close()


def test_nobody_can_shrink_or_grow_it_or_unseal_it() -> None:
    arena = Arena(1, PAGE, 2)
    for size in (0, PAGE, 3 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.descriptor, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(arena.descriptor, F_ADD_SEALS, 0)
    arena.close()


def test_slots_lie_one_after_the_other() -> None:
    arena = Arena(1, PAGE, 3)
    view = ArenaView(os.dup(arena.descriptor), PAGE, 3)
    for slot in range(3):
        assert len(arena.memory(slot)) == PAGE
        arena.memory(slot)[:] = bytes([slot + 1]) * PAGE
    for slot in range(3):
        assert view.memory(slot, PAGE) == bytes([slot + 1]) * PAGE
    assert len(view.memory(2, 0)) == 0
    arena.close()


@pytest.mark.parametrize(("slot", "size"), [(-1, 1), (2, 1), (2**62, 1), (0, -1), (0, PAGE + 1), (1, 2**62)])
def test_a_slot_or_size_that_the_arena_does_not_have_is_refused(slot: int, size: int) -> None:
    arena = Arena(1, PAGE, 2)
    view = ArenaView(os.dup(arena.descriptor), PAGE, 2)
    with pytest.raises(ChunkError, match=f"slot {slot} with {size} bytes, which its arena does not have"):
        view.memory(slot, size)
    arena.close()


@pytest.mark.parametrize(
    ("slot_size", "slots"), [(PAGE, 3), (PAGE, 1), (2 * PAGE, 2), (0, 2), (PAGE, 0), (-PAGE, -2), (2**62, 2**62)]
)
def test_a_file_that_is_not_of_the_announced_size_is_refused_and_closed(slot_size: int, slots: int) -> None:
    arena = Arena(1, PAGE, 2)
    before = descriptors()
    with pytest.raises(ChunkError, match="not of the size that was announced"):
        ArenaView(os.dup(arena.descriptor), slot_size, slots)
    assert descriptors() == before
    arena.close()


@pytest.mark.parametrize("missing", [1 << bit for bit in range(5) if SEALS & 1 << bit])
def test_a_file_that_is_not_sealed_is_refused_and_closed(missing: int) -> None:
    descriptor = memory_file(PAGE, SEALS & ~missing)
    before = descriptors()
    with pytest.raises(ChunkError, match="an arena is not sealed"):
        ArenaView(descriptor, PAGE, 1)
    assert descriptors() == before - 1


def test_a_file_that_is_no_memory_is_refused_and_closed() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(PAGE)
        before = descriptors()
        with pytest.raises(ChunkError, match="an arena can't be mapped"):
            ArenaView(os.dup(file.fileno()), PAGE, 1)
        assert descriptors() == before


def test_closing_leaves_nothing_and_what_is_still_read_stays_readable() -> None:
    before = descriptors()
    arena = Arena(1, PAGE, 2)
    arena.memory(0)[:4] = b"left"
    view = ArenaView(os.dup(arena.descriptor), PAGE, 2)
    memory = view.memory(0, 4)
    arena.close()
    arena.close()
    del arena, view
    assert memory == b"left"
    del memory
    assert descriptors() == before


# --- sizes -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**34))
def test_a_slot_wastes_at_most_an_eighth_or_a_page(size: int) -> None:
    slot_size = size_class(size)
    assert slot_size >= size
    assert slot_size % PAGE == 0
    assert slot_size - size < max(PAGE, size / 8 + 1)
    assert size_class(slot_size) == slot_size


@given(st.integers(0, 2**34), st.integers(0, 2**34))
def test_more_bytes_never_get_a_smaller_slot(one: int, other: int) -> None:
    assert size_class(min(one, other)) <= size_class(max(one, other))
