"""JPEG: how close the picture is, what the options do, and files that nobody here has made."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from flowmesh.codecs import jpeg, parallel
from flowmesh.codecs.jpeg import JpegCodec
from flowmesh.errors import ChunkError

from .cases import Target, arrived, picture

SIZES = [(720, 1280), (97, 131), (16, 16), (33, 7), (1, 1), (1, 50), (50, 1)]


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """In dB; the peak is 255."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_smooth_picture_comes_back_almost_as_it_was(size: tuple[int, int], channels: int) -> None:
    original = picture(*size, channels)
    for image in [
        original,
        np.asfortranarray(original),
        original[::-1],
        *([original[:, :, 0]] if channels == 1 else []),
    ]:
        assert psnr(arrived(JpegCodec(), image), image) > 33
        assert psnr(arrived(JpegCodec(95, full_colour=True), image), image) > 40


def test_colours_keep_their_order() -> None:
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[:, :, 0] = 255
    for image in (blue, blue[:, :, ::-1]):
        assert np.abs(arrived(JpegCodec(), image).astype(int) - image).max() < 4


def test_a_better_quality_is_longer_and_closer() -> None:
    image = picture(200, 300)
    lengths = [len(JpegCodec(quality).encode(image).data) for quality in (1, 50, 80, 100)]
    closeness = [psnr(arrived(JpegCodec(quality), image), image) for quality in (1, 50, 80, 100)]
    assert lengths == sorted(set(lengths))
    assert closeness == sorted(set(closeness))


def test_full_colour_keeps_thin_lines_of_colour() -> None:
    lines = np.full((64, 64, 3), 40, np.uint8)
    lines[:, ::2, 2] = 220
    assert (
        psnr(arrived(JpegCodec(90, full_colour=True), lines), lines) > psnr(arrived(JpegCodec(90), lines), lines) + 10
    )


# --- strips ----------------------------------------------------------------------------------------------------------

LARGE = picture(1079, 1931)


@pytest.fixture
def believing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the codec believe that there are so many."""

    def believe(count: int) -> None:
        monkeypatch.setattr(parallel, "CORES", set(range(count)))
        monkeypatch.setattr(jpeg, "_STRIPS", count)

    return believe


@pytest.mark.parametrize("full_colour", [False, True])
def test_a_large_picture_is_as_close_in_strips_as_in_one(full_colour: bool, believing: Callable[[int], None]) -> None:
    codec = JpegCodec(full_colour=full_colour)
    closeness = []
    for count in (1, 3):
        believing(count)
        encoded = codec.encode(LARGE)
        assert bytes(encoded.data).count(b"\xff\xd8\xff\xe0") == count
        believing(1)  # strips come from hosts with more cores, too
        target = Target(LARGE.nbytes)
        codec.decode(encoded.parameters, encoded.data, target.view)
        closeness.append(psnr(np.frombuffer(target.view, np.uint8).reshape(LARGE.shape), LARGE))
    assert closeness[1] == pytest.approx(closeness[0], abs=0.1)


@pytest.mark.parametrize("image", [LARGE, LARGE[:, :, 0], np.asfortranarray(LARGE)], ids=["colour", "grey", "fortran"])
def test_strips_come_back_in_their_places(image: np.ndarray[Any, Any]) -> None:
    assert psnr(arrived(JpegCodec(95), image), image) > 38


def test_a_damaged_strip_fails_the_picture_and_nothing_is_written_afterwards() -> None:
    encoded = JpegCodec().encode(LARGE)
    data = bytes(encoded.data)
    tables = data.rindex(b"\xff\xc4") + 5
    target = Target(LARGE.nbytes)
    for damaged in (data[:tables] + b"\xff" * 16 + data[tables + 16 :], data[: data.rindex(b"\xff\xd8")]):
        with pytest.raises(ChunkError, match=r"its data is damaged|claims to be a picture of"):
            JpegCodec().decode(encoded.parameters, damaged, target.view)
        seen = bytes(target.view)
        JpegCodec().encode(LARGE)
        assert bytes(target.view) == seen


def test_a_picture_in_more_strips_than_are_made_is_refused() -> None:
    """Thousands of one pixel would hold the link's thread for seconds, although the picture is small."""
    target = Target(5 * 16 * 16)
    data = bytes(JpegCodec().encode(np.zeros((16, 16), np.uint8)).data)
    JpegCodec().decode((64, 16, 1, 0), data * 4, target.view[: 64 * 16])
    with pytest.raises(ChunkError, match="more than 4 strips"):
        JpegCodec().decode((80, 16, 1, 0), data * 5, target.view)


# --- files of others -------------------------------------------------------------------------------------------------

IMAGE = picture(40, 56)
ENCODED = JpegCodec().encode(IMAGE)
FILE = bytes(ENCODED.data)
FRAME = FILE.index(b"\xff\xc0")
SCAN = FILE.index(b"\xff\xda")
ORIENTED = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def changed(place: int, new: bytes) -> bytes:
    return FILE[:place] + new + FILE[place + len(new) :]


def written(*options: int) -> bytes:
    return cv2.imencode(".jpg", IMAGE, options)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (changed(FRAME + 5, struct.pack(">HH", 56, 40)), r"claims to be a picture of \(56, 40, 3\), not \(40, 56, 3\)"),
        (changed(FRAME + 5, struct.pack(">HH", 65500, 65500)), r"claims to be a picture of \(65500, 65500, 3\)"),
        (changed(FRAME + 5, b"\0\0"), r"claims to be a picture of \(0, 56, 3\)"),
        (changed(FRAME + 9, b"\4"), r"claims to be a picture of \(40, 56, 4\)"),
        (bytes(JpegCodec().encode(IMAGE[:, :, 0]).data), r"claims to be a picture of \(40, 56, 1\)"),
        (bytes(JpegCodec().encode(IMAGE[:-1]).data), r"claims to be a picture of \(39, 56, 3\)"),
        (changed(FRAME + 4, b"\x0c"), "not one picture of one scan"),
        (changed(FRAME + 1, b"\xc9"), f"header is damaged at byte {FRAME}"),
        (written(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), f"header is damaged at byte {FRAME}"),
        (FILE[:2] + ORIENTED + FILE[2:], "header is damaged at byte 2"),
        (FILE[:FRAME] + FILE[FRAME : FRAME + 19] + FILE[FRAME:], f"header is damaged at byte {FRAME + 19}"),
        (FILE[:FRAME] + FILE[FRAME + 19 :], "not one picture of one scan"),
        (FILE[:2] + b"\0" + FILE[2:], "header is damaged at byte 2"),
        (FILE[:SCAN], "header is cut off"),
        (changed(4, b"\xff\xff"), "header is cut off"),
        (FILE[:-2], "not one picture of one scan"),
        (FILE[:-1] + b"\xda", "not one picture of one scan"),
        (FILE + b"\0", "header is cut off"),
        (FILE[:-2] + FILE[SCAN:], "not one picture of one scan"),
        (b"\xff\xd9" + FILE[2:], "not one picture of one scan"),
        (cv2.imencode(".png", IMAGE)[1].tobytes(), "header is damaged at byte 2"),
        (b"", "header is cut off"),
        (FILE + FILE, r"claims to be a picture of \(80, 56, 3\), not \(40, 56, 3\)"),
        (changed(FILE.index(b"\xff\xc4") + 5, b"\xff" * 16), "its data is damaged"),
    ],
)  # fmt: skip
def test_another_file_is_refused(data: bytes, why: str) -> None:
    target = Target(IMAGE.nbytes)
    with pytest.raises(ChunkError, match=why):
        JpegCodec().decode(ENCODED.parameters, data, target.view)
    assert bytes(target.view) == b"\xff" * IMAGE.nbytes


def test_a_file_that_claims_far_more_than_it_has_is_refused() -> None:
    height, width = 33_000, 33_000
    data = bytearray(JpegCodec().encode(IMAGE[:, :, 0]).data)
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = struct.pack(">HH", height, width)
    with (
        mmap.mmap(-1, height * width) as untouched,
        memoryview(untouched) as target,
        pytest.raises(ChunkError, match="premature end"),
    ):
        JpegCodec().decode((height, width, 1, 0), bytes(data), target)
