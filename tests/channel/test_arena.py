"""Arenas: slots are reused lowest first, consumers can't write or shrink them, and what a peer says of them is checked."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.channel.arena import F_ADD_SEALS, HEADER, SEALS, Arena, ArenaView, size_class
from flowmesh.errors import ChunkError

from .fakes import Send, descriptors, peer

PAGE = mmap.PAGESIZE


def memory_file(size: int, seals: int) -> int:
    descriptor = os.memfd_create("flowmesh-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
    return descriptor


@contextmanager
def shared() -> Iterator[tuple[Arena, ArenaView]]:
    """An arena of three slots, with a bell but no door, and what a consumer makes of it."""
    bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    arena = Arena(1, PAGE, 3, bell, -1)
    view = ArenaView(1, os.dup(arena.descriptor), os.dup(bell), -1, PAGE, 3)
    try:
        yield arena, view
    finally:
        view.close()
        arena.close()
        os.close(bell)


# --- the producer's side ---------------------------------------------------------------------------------------------


def free(arena: Arena, slot: int) -> None:
    """The slot's only reader is done with it, and nobody has a lease on it."""
    arena.lend(slot, 1)
    arena.give_back(slot)
    arena.reclaim([slot])


def test_the_lowest_free_slot_is_taken_first() -> None:
    with shared() as (arena, _):
        assert arena.idle
        assert [arena.take() for _ in range(4)] == [0, 1, 2, None]
        for slot in (2, 0):
            free(arena, slot)
        assert not arena.idle
        assert [arena.take() for _ in range(3)] == [0, 2, None]


def test_a_slot_is_free_when_its_last_reader_has_given_it_back_and_it_is_reclaimed() -> None:
    with shared() as (arena, _):
        assert arena.take() == 0
        arena.lend(0, 1)
        arena.lend_more(0, 2)
        for _ in range(2):
            arena.give_back(0)
            assert arena.returned == frozenset()
        arena.give_back(0)
        assert arena.returned == {0}
        assert not arena.idle
        assert arena.take() == 1
        arena.reclaim([0])
        assert arena.returned == frozenset()
        assert arena.take() == 0


def test_what_is_lent_to_nobody_is_returned_at_once() -> None:
    with shared() as (arena, _):
        assert arena.take() == 0
        arena.lend(0, 0)
        assert arena.returned == {0}
        arena.reclaim([0])
        assert arena.idle


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["take", "lend", "back", "claim"]), st.integers(0, 9))))
def test_no_slot_is_ever_given_to_two(slots: int, acts: list[tuple[str, int]]) -> None:
    arena = Arena(1, PAGE, slots, -1, -1)
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
            lent[slot] = number % 3
        elif what == "back" and any(lent.values()):
            slot = next(slot for slot, readers in lent.items() if readers)
            arena.give_back(slot)
            lent[slot] -= 1
        elif what == "claim":
            arena.reclaim(arena.returned)
            lent = {slot: readers for slot, readers in lent.items() if readers}
        assert arena.returned == {slot for slot, readers in lent.items() if not readers}
        assert arena.idle == (not taken and not lent)
    arena.close()


# --- the consumer's side ---------------------------------------------------------------------------------------------


def test_another_process_reads_what_is_written_in_place() -> None:
    with shared() as (arena, _):
        wait_read, wait_write = os.pipe()

        def work(say: Send) -> None:
            view = ArenaView(1, os.dup(arena.descriptor), -1, -1, PAGE, 3)
            say(b"mapped")
            os.read(wait_read, 1)
            say(bytes(view.memory(1, 5)))

        with peer(work) as other:
            assert other.heard() == b"mapped"
            arena.memory(1)[:5] = b"later"
            os.write(wait_write, b"!")
            assert other.heard() == b"later"
            other.end()
        os.close(wait_read)
        os.close(wait_write)


def test_a_consumer_can_not_write() -> None:
    with shared() as (arena, view):
        assert view.memory(0, PAGE).readonly
        for descriptor in (arena.descriptor, os.open(f"/proc/self/fd/{arena.descriptor}", os.O_RDWR)):
            with pytest.raises(PermissionError):
                mmap.mmap(descriptor, PAGE)
            with pytest.raises(PermissionError):
                os.pwrite(descriptor, b"x", 0)
        os.close(descriptor)
        arena.memory(0)[0] = 7
        assert view.memory(0, 1)[0] == 7


def test_nobody_can_shrink_or_grow_it_or_unseal_it() -> None:
    with shared() as (arena, _):
        for size in (0, PAGE, 9 * PAGE):
            with pytest.raises(PermissionError):
                os.ftruncate(arena.descriptor, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(arena.descriptor, F_ADD_SEALS, 0)


def test_slots_lie_one_after_the_other_and_not_in_the_header() -> None:
    with shared() as (arena, view):
        for slot in range(3):
            assert len(arena.memory(slot)) == PAGE
            arena.memory(slot)[:] = bytes([slot + 1]) * PAGE
        for slot in range(3):
            assert view.memory(slot, PAGE) == bytes([slot + 1]) * PAGE
        assert len(view.memory(2, 0)) == 0
        assert (arena.ident, view.ident, view.retired, view.introduced) == (1, 1, False, False)


@pytest.mark.parametrize(("slot", "size"), [(-1, 1), (3, 1), (2**62, 1), (0, -1), (0, PAGE + 1), (1, 2**62)])
def test_a_slot_or_size_that_the_arena_does_not_have_is_refused(slot: int, size: int) -> None:
    refusal = f"slot {slot} with {size} bytes, which its arena does not have"
    with shared() as (_, view), pytest.raises(ChunkError, match=refusal):
        view.memory(slot, size)


@pytest.mark.parametrize(
    ("slot_size", "slots"), [(PAGE, 4), (PAGE, 2), (2 * PAGE, 3), (0, 3), (PAGE, 0), (-PAGE, -3), (2**62, 2**62)]
)
def test_a_file_that_is_not_of_the_announced_size_is_refused_and_closed(slot_size: int, slots: int) -> None:
    with shared() as (arena, _):
        before = descriptors()
        with pytest.raises(ChunkError, match="not of the size that was announced"):
            ArenaView(1, os.dup(arena.descriptor), os.dup(arena.bell), os.dup(arena.bell), slot_size, slots)
        assert descriptors() == before


@pytest.mark.parametrize("missing", [1 << bit for bit in range(5) if SEALS & 1 << bit])
def test_a_file_that_is_not_sealed_is_refused_and_closed(missing: int) -> None:
    descriptor = memory_file(HEADER + PAGE, SEALS & ~missing)
    before = descriptors()
    with pytest.raises(ChunkError, match="an arena is not sealed"):
        ArenaView(1, descriptor, -1, -1, PAGE, 1)
    assert descriptors() == before - 1


def test_a_file_that_is_no_memory_is_refused_and_closed() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(HEADER + PAGE)
        before = descriptors()
        with pytest.raises(ChunkError, match="an arena can't be mapped"):
            ArenaView(1, os.dup(file.fileno()), -1, -1, PAGE, 1)
        assert descriptors() == before


def test_the_end_of_a_lease_rings_only_when_somebody_waits_for_it() -> None:
    with shared() as (arena, view):
        for asking in (False, True, False):
            arena.ask_for_slots(asking)
            view.lease_ended()
            if asking:
                assert os.eventfd_read(arena.bell) == 1
        with pytest.raises(BlockingIOError):
            os.eventfd_read(arena.bell)


def test_closing_leaves_nothing_and_what_is_still_read_stays_readable() -> None:
    before = descriptors()
    arena = Arena(1, PAGE, 2, -1, -1)
    arena.memory(0)[:4] = b"left"
    view = ArenaView(1, os.dup(arena.descriptor), -1, -1, PAGE, 2)
    memory = view.memory(0, 4)
    assert not view.retired
    for _ in range(2):
        arena.close()
        assert view.retired
        view.close()
    del arena, view
    assert bytes(memory) == b"left"
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
