"""What comes from a peer: fragments become parcels, and nothing else is believed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.gateway.reassembly import CONFIRM, SLACK, Reassembly, ReceiveBudget
from flowmesh.errors import LinkError
from flowmesh.wire.link_messages import BlobHeader, EncodedChunk, Fragment


def parcel(length: int) -> EncodedChunk:
    return EncodedChunk(1, b"packet", 100, (BlobHeader(0, 100, 0, (), length),), length)


def test_much_is_confirmed_at_once_and_little_when_somebody_waits() -> None:
    arriving = ReceiveBudget()
    assert arriving.due_ack(at_once=True) is None
    arriving.bytes_received(CONFIRM - 1)
    assert arriving.due_ack(at_once=False) is None
    arriving.bytes_received(1)
    assert arriving.due_ack(at_once=False) == CONFIRM
    arriving.bytes_received(1)
    assert arriving.due_ack(at_once=False) is None
    assert arriving.due_ack(at_once=True) == CONFIRM + 1


def test_who_sends_on_without_being_confirmed_is_refused() -> None:
    arriving = ReceiveBudget()
    arriving.bytes_received(SLACK)
    with pytest.raises(LinkError, match="more than was confirmed"):
        arriving.bytes_received(1)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(1, 199), max_size=10))
def test_fragments_make_the_parcel(content: bytes, cuts: list[int]) -> None:
    assembly = Reassembly()
    expected = parcel(len(content))
    for _ in range(2):
        places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
        for begin, end in pairwise(places):
            data = memoryview(content)[begin:end]
            complete = (
                assembly.add_fragment(Fragment(1, begin), data) if begin else assembly.begin_chunk(expected, data)
            )
            assert complete == ((expected, content) if end == len(content) else None)
        assembly.check_idle()


def test_a_parcel_without_data_is_complete() -> None:
    assembly = Reassembly()
    for _ in range(2):
        assert assembly.begin_chunk(parcel(0), b"") == (parcel(0), b"")


@pytest.mark.parametrize("size", [0, 11])
def test_a_parcel_begins_with_some_of_its_data_and_no_more(size: int) -> None:
    with pytest.raises(LinkError, match="not the next"):
        Reassembly().begin_chunk(parcel(10), bytes(size))


def test_a_parcel_is_not_cut_short() -> None:
    assembly = Reassembly()
    assembly.begin_chunk(parcel(10), b"1")
    with pytest.raises(LinkError, match="cut short"):
        assembly.begin_chunk(parcel(10), b"1")
    with pytest.raises(LinkError, match="cut short"):
        assembly.check_idle()


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (1, 1), (6, 1), (5, 0), (5, 6)])
def test_a_fragment_that_is_not_the_next_is_refused(offset: int, size: int) -> None:
    assembly = Reassembly()
    assembly.begin_chunk(parcel(10), b"12345")
    with pytest.raises(LinkError, match="not the next"):
        assembly.add_fragment(Fragment(1, offset), bytes(size))


def test_a_fragment_of_nothing_is_refused() -> None:
    with pytest.raises(LinkError, match="not the next"):
        Reassembly().add_fragment(Fragment(1, 0), b"x")
