"""FrameTimes: media time before clock or number; ever rising; a source that begins again goes on behind."""

from __future__ import annotations

from flowmesh.chunk import DataChunk, Origin, Stamp, Times
from flowmesh.nodes.frame_times import FrameTimes


def chunk_of(number: int = 0, origin: float | None = None, created: float = 0.0, **records: object) -> DataChunk:
    origins = {} if origin is None else {"camera": Origin(number, origin)}
    stamp = Stamp(number=number, origin=origins, times=Times(created, 0.5, 0.0))
    return DataChunk({name: (value, "other") for name, value in records.items()}, stamp)


def placed(*chunks: DataChunk, fps: float | None = None) -> list[float]:
    times = FrameTimes(fps)
    return [float(times.place(chunk, {"camera": chunk})) for chunk in chunks]


def test_media_time_counts_from_the_first() -> None:
    assert placed(chunk_of(1, media_time=3.0), chunk_of(2, media_time=3.5), chunk_of(3, media_time=10.0)) == [0, 0.5, 7]


def test_media_time_counts_before_fps() -> None:
    assert placed(chunk_of(1, media_time=0.0), chunk_of(2, media_time=0.5), fps=25) == [0, 0.5]


def test_media_time_is_found_in_another_input() -> None:
    times, frame = FrameTimes(None), chunk_of(1)
    shown = [times.place(frame, {"frame": frame, "film": chunk_of(1, media_time=at)}) for at in (1.0, 3.0)]
    assert shown == [0, 2]


def test_without_it_the_time_at_which_the_source_made_it_counts() -> None:
    assert placed(chunk_of(1, origin=100.0, created=200.0), chunk_of(2, origin=101.25, created=207.0)) == [0, 1.25]


def test_a_sources_own_chunk_has_its_own_time() -> None:
    assert placed(chunk_of(1, created=200.0), chunk_of(2, created=207.0)) == [0, 7]


def test_with_fps_numbers_count_and_what_was_dropped_leaves_a_gap() -> None:
    assert placed(*(chunk_of(number, origin=9.0) for number in (7, 8, 10)), fps=4) == [0, 0.25, 0.75]


def test_what_came_from_no_node_follows_by_the_period() -> None:
    assert placed(chunk_of(), chunk_of(), chunk_of(), fps=4) == [0, 0.25, 0.5]


def test_disorder_never_goes_back() -> None:
    assert placed(*(chunk_of(1, media_time=at) for at in (0.0, 0.5, 0.25, 0.75))) == [0, 0.5, 0.5, 0.75]


def test_a_source_that_begins_again_goes_on_behind() -> None:
    assert placed(*(chunk_of(1, media_time=at) for at in (0.0, 5.0, 0.0, 0.5)), fps=4) == [0, 5, 5.25, 5.75]


def test_what_is_no_number_is_no_time() -> None:
    assert placed(chunk_of(1, media_time=None), chunk_of(2, media_time=None), fps=4) == [0, 0.25]
