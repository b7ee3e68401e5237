"""Options: what is out of range is refused at the call, and each value has a way to be written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowmesh.errors import ChunkError, GraphError
from flowmesh.recording import Audio, Exact, Jpeg, Raw, Values, Video
from flowmesh.recording.decoding import RecordDecoder
from flowmesh.recording.encoding import RecordEncoder, is_json
from flowmesh.recording.options import Option, check_options, default_option

GREY = np.zeros((40, 60), np.uint8)
COLOUR = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Jpeg(0), lambda: Jpeg(101), lambda: Jpeg(True), lambda: Video(crf=52), lambda: Video(preset="slowest"),
        lambda: Video(key=0), lambda: Audio(0), lambda: Audio(44.1),
        lambda: check_options({"camera": "jpeg"}), lambda: check_options({3: Jpeg()}), lambda: check_options([Jpeg()]),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(GraphError, match="must be"):
        make()


@pytest.mark.parametrize(
    ("value", "content_type", "option"),
    [
        (COLOUR, "image", Jpeg()), (GREY, "image", Jpeg()), (GREY[..., None], "image", Jpeg()),
        (np.zeros((4, 4, 4), np.uint8), "image", Exact()), (GREY.astype(np.uint16), "image", Exact()),
        (GREY.astype(np.float32), "image", Exact()), ([GREY, COLOUR], "images", Exact()), ([], "images", Values()),
        (np.zeros(3), "array", Exact()), (np.zeros(3), "other", Exact()), (np.array([{}]), "array", Values()),
        ("text", "text", Values()), (b"bytes", "bytes", Values()), ({"a": 1}, "other", Values()),
        ((GREY,), "images", Values()),
    ],
)  # fmt: skip
def test_what_is_usual_for_a_value(value: Any, content_type: str, option: Option) -> None:
    assert default_option(value, content_type) == option


@pytest.mark.parametrize("value", [{"a": [1, "b", None, True, 0.1, -0.0]}, 2**53 - 1, "", []])
def test_json_gives_back_what_it_may_hold(value: Any) -> None:
    assert is_json(value)


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), b"x", (1,), {1: 2}, "\ud800", {"a": [b"x"]}])
def test_json_may_not_hold_what_it_would_change(value: Any) -> None:
    assert not is_json(value)


@pytest.mark.parametrize(
    ("option", "value", "content_type", "form"),
    [
        (Video(), GREY.astype(np.uint16), "image", "array"), (Video(), COLOUR[:8, :8], "image", "jpeg"),
        (Jpeg(), np.zeros((4, 4, 4), np.uint8), "image", "array"), (Raw(), np.zeros((4, 4), np.int32), "image", "array"),
        (Audio(8000), np.zeros(4, np.float32), "array", "array"), (Exact(), {"a": 1}, "other", "json"),
    ],
)  # fmt: skip
def test_what_an_option_does_not_take_is_written_as_usual(
    option: Option, value: Any, content_type: str, form: str
) -> None:
    encoded = RecordEncoder("node", "record", option).encode(value, content_type, 1)
    assert (encoded.fallback, encoded.entry.form) == (True, form)


@pytest.mark.parametrize(
    "value",
    [np.zeros((0, 3)), np.array(7.5), np.array(["text", "é"]), np.array([1 + 2j]), np.array(["2024-02-29"], "M8[D]"),
     np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1], np.array([1, 2], ">u2"), np.array([True, False])],
)  # fmt: skip
def test_any_array_of_plain_elements_is_exact(value: np.ndarray) -> None:
    encoded = RecordEncoder("node", "record", None).encode(value, "array", 1)
    back = RecordDecoder().decode(encoded.entry, encoded.data)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert np.array_equal(back, value)
    assert not back.flags.writeable


@pytest.mark.parametrize("picture", [GREY, GREY[..., None], COLOUR, np.zeros((33, 47, 4), np.uint8)], ids=str)
def test_video_keeps_the_shape(picture: np.ndarray) -> None:
    encoder, decoder = RecordEncoder("node", "record", Video()), RecordDecoder()
    for n in range(3):
        encoded = encoder.encode(picture, "image", n * 33_000_000)
        assert decoder.decode(encoded.entry, encoded.data).shape == picture.shape


def test_a_packet_without_its_key_frame_is_not_decoded() -> None:
    encoder, decoder = RecordEncoder("node", "record", Video()), RecordDecoder()
    packets = [encoder.encode(COLOUR, "image", n * 33_000_000) for n in range(5)]
    decoder.decode(packets[0].entry, packets[0].data)
    for lost in packets[2:]:
        with pytest.raises(ChunkError, match="not all there"):
            decoder.decode(lost.entry, lost.data)
    decoder.decode(packets[0].entry, packets[0].data)


def test_a_key_frame_comes_each_second_and_when_it_is_asked_for() -> None:
    encoder = RecordEncoder("node", "record", Video(key=1.0))
    keys = [n for n in range(60) if encoder.encode(COLOUR, "image", n * 100_000_000, n == 17).entry.since_key == 0]
    assert keys == [0, 10, 17, 27, 37, 47, 57]
