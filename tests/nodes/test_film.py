"""Film: every kind of film gives the pixels of an independent decoder, its own times, and no word where all is well."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flowmesh.errors import FlowmeshError
from flowmesh.nodes.film import Film

from . import films
from .films import COUNT, RATE, damaged, h264, joined, make, turned

Made = tuple[list[np.ndarray], list[float], Film]


def read(path: Path) -> Made:
    film = Film(path)
    images, times = [], []
    try:
        for frame in film:
            images.append(frame.image())
            times.append(float(frame.media_time))
    finally:
        film.close()
    return images, times, film


def assert_same(path: Path, images: list[np.ndarray]) -> None:
    """The pixels of ffmpeg, but for rounding: another version of it may be behind PyAV."""
    height, width = images[0].shape[:2]
    wanted = films.expected(path, height, width)
    assert len(images) == len(wanted)
    for number, (image, other) in enumerate(zip(images, wanted, strict=True)):
        assert np.abs(image.astype(int) - other).mean() < 0.5, f"frame {number}"


WHOLE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "8 bit": ("a.mp4", h264),
    "10 bit": ("a.mp4", lambda p: make(p, "-c:v", "libx264", "-pix_fmt", "yuv420p10le")),
    "4:2:2": ("a.mp4", lambda p: make(p, "-c:v", "libx264", "-pix_fmt", "yuv422p")),
    "4:4:4": ("a.mp4", lambda p: make(p, "-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "interlaced H.264": ("a.ts", lambda p: make(p, "-c:v", "libx264", "-x264opts", "tff=1:interlaced=1")),
    "interlaced MPEG-2": ("a.mpg", lambda p: make(p, "-c:v", "mpeg2video", "-q:v", "3", "-flags", "+ildct+ilme")),
    "BT.709": ("a.mp4", lambda p: h264(p, "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709")),
    "full range": ("a.mp4", lambda p: make(p, "-c:v", "libx264", "-pix_fmt", "yuvj420p")),
    "odd size": ("a.mkv", lambda p: make(p, "-c:v", "ffv1", "-pix_fmt", "yuv420p", "-vf", "crop=151:127:exact=1")),
    "grey": ("a.mkv", lambda p: make(p, "-c:v", "ffv1", "-pix_fmt", "gray")),
    "grey H.264": ("a.mp4", lambda p: make(p, "-c:v", "libx264", "-pix_fmt", "gray")),
    "alpha": ("a.mov", lambda p: make(p, "-c:v", "qtrle", "-vf", "format=argb,colorchannelmixer=aa=0.5")),
    "alpha, planar": ("a.mkv", lambda p: make(p, "-c:v", "ffv1", "-pix_fmt", "yuva420p")),
    "no time stamps": ("a.h264", h264),
    "AVI": ("a.avi", lambda p: make(p, "-c:v", "mpeg4")),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_film_has_the_pixels_of_an_independent_decoder(tmp_path: Path, kind: str) -> None:
    name, make_it = WHOLE[kind]
    make_it(tmp_path / name)
    images, times, film = read(tmp_path / name)
    assert_same(tmp_path / name, images)
    assert len(images) == COUNT
    assert times == pytest.approx([number / RATE for number in range(COUNT)], abs=1e-3)
    assert (film.damaged, film.first_damage, film.missing()) == (0, None, "")


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (("-display_rotation", "90"), (160, 128, 3)),
        (("-display_rotation", "180"), (128, 160, 3)),
        (("-display_rotation", "270"), (160, 128, 3)),
        (("-display_hflip",), (128, 160, 3)),
        (("-display_vflip",), (128, 160, 3)),
        (("-display_rotation", "90", "-display_hflip"), (160, 128, 3)),
        (("-display_rotation", "270", "-display_hflip"), (160, 128, 3)),
    ],
)
def test_a_turned_film_stands_as_players_show_it(
    tmp_path: Path, options: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    path = turned(h264(tmp_path / "upright.mp4"), tmp_path / "turned.mp4", *options)
    images, _, _ = read(path)
    assert images[0].shape == shape
    assert_same(path, images)


@pytest.mark.parametrize(
    ("ending", "where"),
    [(ending, where) for ending in ("mp4", "ts", "mpg") for where in (0.15, 0.5, 0.8)]
    + [("avi", 0.15), ("avi", 0.5), ("h264", 0.5), ("mkv", 0.15), ("mkv", 0.5)],
)
def test_damage_is_passed_over_and_counted(tmp_path: Path, ending: str, where: float) -> None:
    options = ("-cluster_time_limit", "100") if ending == "mkv" else ()
    encoder = make if ending == "mpg" else h264
    whole = encoder(tmp_path / f"whole.{ending}", *options)
    path = damaged(whole, tmp_path / f"damaged.{ending}", where)
    images, times, film = read(path)
    before, _, _ = read(whole)
    wanted = films.expected(path, 128, 160)
    assert len(images) == len(wanted) >= COUNT - 12
    # Threads repair what is damaged as they come to it: only what is whole again is the same everywhere.
    same = [np.abs(image.astype(int) - other).mean() < 0.5 for image, other in zip(images, wanted, strict=True)]
    assert sum(same) >= COUNT - 24
    if where > 0.2:
        assert np.array_equal(images[0], before[0])
    assert film.damaged > 0
    assert 0 <= film.first_damage <= 2
    assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize("ending", ["ts", "mpg"])
def test_films_joined_end_to_end_go_on_in_time(tmp_path: Path, ending: str) -> None:
    codec = "libx264" if ending == "ts" else "mpeg1video"
    one = make(tmp_path / f"one.{ending}", "-c:v", codec)
    path = joined(one, tmp_path / f"two.{ending}")
    images, times, film = read(path)
    assert_same(path, images)
    assert times == pytest.approx([number / RATE for number in range(2 * COUNT)], abs=1e-3)
    assert film.damaged == 0


def test_a_film_that_is_cut_short_gives_all_that_is_there_and_says_so(tmp_path: Path) -> None:
    path = films.cut(h264(tmp_path / "whole.mp4", "-movflags", "+faststart"), tmp_path / "cut.mp4", 0.6)
    images, _, film = read(path)
    assert_same(path, images)
    assert film.missing() == f"after {len(images)} of {COUNT} frames"


def test_a_packet_that_the_container_passes_over_is_missed(tmp_path: Path) -> None:
    path = damaged(h264(tmp_path / "whole.avi"), tmp_path / "damaged.avi", 0.8)
    images, _, film = read(path)
    assert film.missing() == f"after {len(images)} of {COUNT} frames"


def test_an_edit_of_a_film_is_no_damage(tmp_path: Path) -> None:
    whole = h264(tmp_path / "whole.mp4")
    films.ffmpeg("-ss", "0.7", "-i", whole, "-t", "0.6", "-c", "copy", tmp_path / "part.mp4")
    images, times, film = read(tmp_path / "part.mp4")
    assert_same(tmp_path / "part.mp4", images)
    assert times[0] == 0
    assert (film.damaged, film.missing()) == (0, "")


def test_a_matroska_that_is_cut_short_says_how_much_is_missing(tmp_path: Path) -> None:
    path = films.cut(h264(tmp_path / "whole.mkv"), tmp_path / "cut.mkv", 0.5)
    _, times, film = read(path)
    assert film.missing() == f"after {times[-1] + 1 / RATE:.2f} of 2.00 s"


def test_a_film_without_frames_gives_none(tmp_path: Path) -> None:
    path = make(tmp_path / "none.avi", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-frames:v", "0")
    images, _, film = read(path)
    assert images == []
    assert film.finished
    assert film.frames_read == 0


def test_a_file_of_audio_only_is_named(tmp_path: Path) -> None:
    films.ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", tmp_path / "song.m4a")
    with pytest.raises(FlowmeshError, match=r"song\.m4a holds no video, only audio"):
        Film(tmp_path / "song.m4a")


def test_the_cover_of_a_song_is_no_film(tmp_path: Path) -> None:
    cover = make(tmp_path / "cover.png", "-frames:v", "1")
    sine = ("-f", "lavfi", "-i", "sine=duration=1")
    films.ffmpeg(*sine, "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic",
                 tmp_path / "song.m4a")  # fmt: skip
    with pytest.raises(FlowmeshError, match=r"song\.m4a holds no video, only audio"):
        Film(tmp_path / "song.m4a")


def test_an_empty_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(FlowmeshError, match=r"empty\.mp4 can't be read as a video: it is empty \(0 bytes\)"):
        Film(tmp_path / "empty.mp4")
    with pytest.raises(FlowmeshError, match=r"there is no video file .*missing\.mp4"):
        Film(tmp_path / "missing.mp4")


def test_a_film_of_noise_is_an_error(tmp_path: Path) -> None:
    path = h264(tmp_path / "whole.mp4", "-movflags", "+faststart")
    content = path.read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + b"\xa5" * (len(content) - begin))
    with pytest.raises(FlowmeshError, match="no frame of .* can be decoded: it is damaged from beginning to end"):
        read(path)


def test_the_first_of_several_video_streams_is_read(tmp_path: Path) -> None:
    first, second = h264(tmp_path / "a.mp4"), make(tmp_path / "b.mp4", "-c:v", "libx264", size="320x240")
    films.ffmpeg("-i", first, "-i", second, "-map", "0", "-map", "1", "-c", "copy", tmp_path / "both.mp4")
    images, _, film = read(tmp_path / "both.mp4")
    assert images[0].shape == (128, 160, 3)
    assert film.other_videos == 1
