"""Which codec a blob goes through, what the edge's options may be, and what goes raw because nothing else is worth it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowmesh.codecs import selection
from flowmesh.codecs.codec import Blob
from flowmesh.codecs.jpeg import JpegCodec
from flowmesh.codecs.registry import CODECS
from flowmesh.codecs.selection import LEAST_RATIO, OPTIONS, RETRY_AFTER, CodecSelection, choose, option_error
from flowmesh.errors import ChunkError

from .cases import BGR, GREY, picture

DEPTH = GREY.astype(np.uint16)
TEXT = b"flowmesh " * 500


@pytest.mark.parametrize(
    ("content_type", "blob", "codec", "name"),
    [
        ("image", BGR, None, "jpeg"),
        ("image", GREY, None, "jpeg"),
        ("image", GREY[:, :, None], None, "jpeg"),
        ("image", np.asfortranarray(BGR), "jpeg", "jpeg"),
        ("image", BGR, "jpeg-444", "jpeg"),
        ("image", BGR, "exact", "exact"),
        ("image", BGR, "raw", "raw"),
        ("image", picture(40, 40, 4), None, "exact"),
        ("image", DEPTH, "jpeg", "exact"),
        ("image", BGR / 255, None, "exact"),
        ("image", GREY > 100, None, "exact"),
        ("array", BGR, None, "exact"),
        ("array", BGR, "jpeg", "exact"),
        ("array", DEPTH, "raw", "raw"),
        ("other", BGR, None, "exact"),
        ("bytes", TEXT, None, "lz4"),
        ("text", memoryview(TEXT), "exact", "lz4"),
        ("images", memoryview(TEXT), "jpeg", "lz4"),
        ("other", bytearray(TEXT), "raw", "raw"),
        ("image", BGR[:9, :9], None, "raw"),
        ("bytes", TEXT[:900], None, "raw"),
        ("bytes", b"", None, "raw"),
        ("array", np.zeros((0, 4)), None, "raw"),
        ("array", np.full(2000, None), None, "raw"),
    ],
)
def test_content_type_blob_and_option_choose(content_type: str, blob: Blob, codec: str | None, name: str) -> None:
    assert choose(content_type, blob, codec).name == name
    assert option_error(codec, None) is None


def test_the_edge_says_how_good_a_jpeg_is() -> None:
    def options(*arguments: Any) -> tuple[int, bool]:
        codec = choose("image", BGR, *arguments)
        assert isinstance(codec, JpegCodec)
        return codec.quality, codec.full_colour

    assert [options(), options("jpeg"), options(None, 95)] == [(80, False), (80, False), (95, False)]
    assert [options("jpeg-444"), options("jpeg-444", 1)] == [(80, True), (1, True)]


@pytest.mark.parametrize(
    ("codec", "quality", "error"),
    [
        ("png", None, "codec is 'jpeg', 'jpeg-444', 'exact', 'raw' or None, not 'png'"),
        (7, None, "or None, not 7"),
        (None, 0, "quality is JPEG's, a whole number from 1 to 100, not 0"),
        (None, 101, "from 1 to 100, not 101"),
        ("jpeg", True, "from 1 to 100, not True"),
        ("jpeg", 80.0, "from 1 to 100, not 80.0"),
        ("exact", 90, "quality is JPEG's, and codec='exact' loses nothing: leave quality out"),
        ("raw", 90, "quality is JPEG's, and codec='raw' loses nothing: leave quality out"),
    ],
)
def test_a_wrong_option_is_named(codec: Any, quality: Any, error: str) -> None:
    assert error in (option_error(codec, quality) or "")


def test_right_options_are_let_through() -> None:
    assert [option_error(codec, None) for codec in (None, *OPTIONS)] == [None] * 5
    assert [option_error(codec, quality) for codec in (None, "jpeg", "jpeg-444") for quality in (1, 100)] == [None] * 6


# --- raw where nothing is gained -------------------------------------------------------------------------------------


def noise(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (40, 60), np.uint8)


def names(choice: CodecSelection, record: object, content_type: str, blobs: list[Any]) -> list[str]:
    return [CODECS[choice.encode(record, content_type, blob).codec].name for blob in blobs]


def test_what_gains_nothing_goes_raw_and_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    encode = selection.ExactCodec.encode

    def counted(self: Any, blob: Blob) -> Any:
        tried.append(1)
        return encode(self, blob)

    monkeypatch.setattr(selection.ExactCodec, "encode", counted)
    choice = CodecSelection()
    assert names(choice, "x", "array", [noise(n) for n in range(3 * (1 + RETRY_AFTER))]) == ["raw"] * 3 * (
        1 + RETRY_AFTER
    )
    assert len(tried) == 3


def test_a_stream_that_changes_is_encoded_again() -> None:
    choice = CodecSelection()
    assert (
        names(choice, "x", "array", [noise(1)] + [GREY] * (RETRY_AFTER + 2))
        == ["raw"] * (1 + RETRY_AFTER) + ["exact"] * 2
    )


def test_records_do_not_stand_in_each_others_way() -> None:
    choice = CodecSelection()
    assert names(choice, "x", "array", [noise(1)]) + names(choice, "y", "array", [GREY]) == ["raw", "exact"]
    assert names(choice, ("x", 1), "array", [GREY]) + names(choice, "x", "array", [GREY]) == ["exact", "raw"]


def test_any_codec_must_be_worth_it() -> None:
    assert names(CodecSelection("jpeg-444", 100), "x", "image", [noise(1)]) == ["raw"]
    assert names(CodecSelection(), "x", "bytes", [np.random.default_rng(1).bytes(5000), TEXT]) == ["raw", "raw"]
    assert names(CodecSelection(), "x", "bytes", [TEXT, TEXT]) == ["lz4", "lz4"]
    assert names(CodecSelection("raw"), "x", "image", [BGR]) == ["raw"]


def test_the_limit_is_the_ratio() -> None:
    # Of 10,000 bytes, that many are random: LZ4 keeps these and all but loses the rest.
    for random, name in ((8800, "lz4"), (9300, "raw")):
        blob = np.random.default_rng(1).bytes(random) + bytes(10_000 - random)
        assert names(CodecSelection(), "x", "bytes", [blob]) == [name]
        assert (len(CODECS[3].encode(blob).data) * LEAST_RATIO <= len(blob)) == (name == "lz4")


def test_a_raw_blob_is_a_view() -> None:
    assert np.shares_memory(np.frombuffer(CodecSelection("raw").encode("x", "image", BGR).data, np.uint8), BGR)


def test_ever_new_names_do_not_fill_the_memory() -> None:
    choice, blob = CodecSelection(), np.random.default_rng(1).bytes(2000)
    for name in range(1000):
        choice.encode(f"record {name}", "bytes", blob)
    assert len(choice._raw) <= 256


def test_objects_are_refused() -> None:
    with pytest.raises(ChunkError, match="raw can't take object.*references to objects"):
        CodecSelection().encode("x", "other", np.full(2000, None))
