from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.chunk import CONTENT_TYPES, DataChunk, Origin, Stamp, Times, same
from flowmesh.errors import ChunkError

FRAME = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
FITTING: list[tuple[str, Any]] = [
    ("other", object),
    ("image", np.zeros((2, 3), np.uint16)),
    ("image", np.zeros((2, 3, 1), np.uint8)),
    ("image", FRAME),
    ("image", np.zeros((2, 3, 4), np.float32)),
    ("image", np.zeros((2, 3), bool)),
    ("images", [FRAME, np.zeros((2, 3))]),
    ("images", ()),
    ("array", np.zeros((2, 3, 4, 5), complex)),
    ("array", np.array(5)),
    ("text", ""),
    ("bytes", b""),
    ("bytes", bytearray(b"ab")),
    ("bytes", memoryview(b"ab")),
]
UNFITTING: list[tuple[str, Any]] = [
    ("image", [[1, 2], [3, 4]]),
    ("image", np.zeros((2, 3, 2), np.uint8)),
    ("image", np.zeros(4, np.uint8)),
    ("image", np.zeros((2, 2), "U3")),
    ("image", np.zeros((2, 2), complex)),
    ("images", FRAME),
    ("images", [FRAME, "frame"]),
    ("array", [1, 2]),
    ("text", b"a"),
    ("bytes", "a"),
]


def received(records: dict[str, tuple[Any, str]], **stamp: Any) -> DataChunk:
    return DataChunk(records, Stamp(**stamp))


def read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(("content_type", "value"), FITTING)
def test_a_record_comes_back_as_it_was_added(content_type: str, value: Any) -> None:
    chunk = DataChunk()
    chunk.add("it", value, content_type)
    record = chunk.get("it")
    assert record["value"] is value
    assert record["content-type"] == content_type


@pytest.mark.parametrize(("content_type", "value"), UNFITTING)
def test_what_does_not_fit_its_content_type_is_refused(content_type: str, value: Any) -> None:
    chunk = DataChunk()
    with pytest.raises(ChunkError, match="record 'it': .* is not "):
        chunk.add("it", value, content_type)
    assert len(chunk) == 0


def test_every_content_type_has_a_fitting_case() -> None:
    assert {content_type for content_type, _ in FITTING} == set(CONTENT_TYPES)


def test_an_unknown_content_type_lists_those_that_there_are() -> None:
    with pytest.raises(ChunkError, match=r"'jpeg' is none of other, image, images, array, text, bytes"):
        DataChunk().add("it", FRAME, "jpeg")


def test_a_name_is_a_text_and_taken_once() -> None:
    chunk = DataChunk()
    chunk.add("it", 1)
    with pytest.raises(ChunkError, match=r"'it' already: update\(\)"):
        chunk.add("it", 2)
    with pytest.raises(ChunkError, match="a text, not 5"):
        chunk.add(5, 2)  # type: ignore[arg-type]
    assert chunk.get("it")["value"] == 1


def test_a_missing_record_names_the_others() -> None:
    chunk = DataChunk.of(0)
    for ask in (chunk.get, chunk.writable, lambda name: chunk.update(name, 1)):
        with pytest.raises(ChunkError, match="no record 'frame'; it has: 'default'"):
            ask("frame")
    with pytest.raises(ChunkError, match="it has: none"):
        DataChunk().get("frame")


def test_update_keeps_the_content_type() -> None:
    chunk = DataChunk()
    chunk.add("frame", FRAME, "image")
    chunk.update("frame", FRAME[:2])
    assert chunk.get("frame")["content-type"] == "image"
    with pytest.raises(ChunkError, match="str is not an image"):
        chunk.update("frame", "text")
    assert chunk.get("frame")["value"].shape == (2, 4, 3)


def test_square_brackets_give_the_value() -> None:
    chunk = DataChunk()
    chunk.add("count", 5)
    assert chunk["count"] == chunk.get("count")["value"] == 5
    with pytest.raises(ChunkError, match="no record 'frame'.*'count'"):
        chunk["frame"]


def test_update_takes_a_record_as_get_gives_it() -> None:
    chunk = DataChunk()
    chunk.add("it", "a", "text")
    record = chunk.get("it")
    record["value"] = b"a"
    record["content-type"] = "bytes"
    chunk.update("it", record)
    assert chunk.get("it") == {"value": b"a", "content-type": "bytes"}


@pytest.mark.parametrize("value", [0, False, "", None, FRAME, [], {"a": 1}])
def test_any_value_becomes_a_chunk_of_one_record(value: Any) -> None:
    assert list(DataChunk.of(value).records()) == [("default", value, "other")]


def test_a_chunk_is_taken_for_itself() -> None:
    chunk = DataChunk()
    assert DataChunk.of(chunk) is chunk


def test_iteration_keeps_the_order_of_adding() -> None:
    chunk = DataChunk()
    for name in ("c", "a", "b"):
        chunk.add(name, name.upper(), "text")
    assert list(chunk) == ["c", "a", "b"]
    assert list(chunk.records()) == [("c", "C", "text"), ("a", "A", "text"), ("b", "B", "text")]
    assert len(chunk) == 3
    assert chunk.contains("a")
    assert "a" in chunk
    assert not chunk.contains("d")
    assert "d" not in chunk


def test_a_writable_copy_replaces_the_read_only_array() -> None:
    frame = read_only(FRAME)
    chunk = received({"frame": (frame, "image")}, number=1)
    drawn = chunk.writable("frame")
    drawn[0, 0] = 255
    assert chunk.get("frame")["value"] is drawn
    assert FRAME[0, 0, 0] == 0


def test_a_list_of_images_is_made_writable() -> None:
    own = FRAME.copy()
    chunk = received({"frames": ([read_only(FRAME), own], "images")}, number=1)
    first, second = chunk.writable("frames")
    first[0, 0] = 255
    assert second is own
    assert chunk.get("frames")["value"][0] is first
    assert FRAME[0, 0, 0] == 0


@pytest.mark.parametrize("value", [FRAME.copy(), "text", 5])
def test_what_is_writable_is_not_copied(value: Any) -> None:
    chunk = DataChunk.of(value)
    assert chunk.writable("default") is value
    assert chunk.get("default")["value"] is value


def test_a_received_chunk_knows_its_number_origin_and_times() -> None:
    times = Times(created=12.0, offset=0.5, bound=0.001)
    chunk = received({}, number=7, origin={"film": Origin(9, 11.5)}, times=times)
    assert chunk.number == 7
    assert chunk.origin == {"film": Origin(number=9, time=11.5)}
    assert chunk.times == times


def test_a_chunk_that_was_made_here_has_no_number() -> None:
    chunk = DataChunk()
    assert (chunk.number, dict(chunk.origin), chunk.times) == (0, {}, Times(0.0, 0.0, 0.0))


def test_chunks_are_equal_by_their_records_not_by_their_stamps() -> None:
    records = {"frame": (FRAME, "image"), "text": ("a", "text")}
    assert received(dict(records), number=1) == received({"text": ("a", "text"), "frame": (FRAME.copy(), "image")})


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"frames": (FRAME, "image")},
        {"frame": (FRAME, "array")},
        {"frame": (FRAME + 1, "image")},
        {"frame": (FRAME.astype(np.uint16), "image")},
        {"frame": (FRAME[:, :, :1], "image")},
        {"frame": (FRAME.tolist(), "image")},
    ],
)
def test_chunks_differ_by_name_type_dtype_shape_or_content(other: dict[str, tuple[Any, str]]) -> None:
    assert DataChunk({"frame": (FRAME, "image")}) != DataChunk(other)


def test_a_chunk_equals_no_other_thing_and_has_no_hash() -> None:
    assert DataChunk() != {}
    with pytest.raises(TypeError, match="unhashable"):
        hash(DataChunk())


def test_equality_goes_into_what_a_value_holds() -> None:
    def nested(last: float) -> Any:
        return {"a": [1, (FRAME.copy(), np.array([np.nan, last]))], "b": None}

    assert same(nested(1.0), nested(1.0))
    assert not same(nested(1.0), nested(2.0))
    assert not same({"a": 1}, {"b": 1})
    assert not same([1], [1, 2])
    assert not same([1], (1,))
    assert not same(1, True)
    assert not same(1, 1.0)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.booleans()))))
def test_pickling_keeps_records(values: dict[str, Any]) -> None:
    chunk = DataChunk()
    for name, value in values.items():
        chunk.add(name, value)
    again = pickle.loads(pickle.dumps(chunk))
    assert again == chunk
    assert list(again) == list(values)


def test_pickling_keeps_the_stamp() -> None:
    chunk = received({"frame": (FRAME, "image")}, number=3, origin={"a": Origin(2, 1.0)}, times=Times(1.0, 2.0, 3.0))
    again = pickle.loads(pickle.dumps(chunk, protocol=5))
    assert (again.number, dict(again.origin), again.times) == (3, {"a": Origin(2, 1.0)}, Times(1.0, 2.0, 3.0))
    assert again == chunk


def test_the_text_of_a_chunk_is_short() -> None:
    chunk = received({"frame": (FRAME, "image"), "note": ("a" * 10_000, "text")}, number=3)
    assert repr(chunk) == "<DataChunk 3 frame: image uint8[4, 4, 3], note: text str>"
    assert repr(DataChunk()) == "<DataChunk empty>"
