"""Recorded pictures, sound and arrays as films, WAV, FLAC, pictures and .npy files. No video is encoded anew."""

from __future__ import annotations

import wave
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FlowmeshError
from .assembly import RecordedChunk, StoredChunk
from .reader import SessionReader
from .schemas import StampRecord, parse_message
from .session import safe_name

_MICROSECOND = Fraction(1, 1_000_000)

Nodes = Collection[str] | None


def _messages(reader: SessionReader, nodes: Nodes, form: str) -> Iterator[tuple[StoredChunk, StampRecord, bytes]]:
    """All records that are written in a form, not decoded."""
    for stored in reader.stored(nodes):
        for entry, data in zip(stored.stamp.records, stored.messages, strict=True):
            if entry.form == form:
                yield stored, entry, data


def _stem(stored: StoredChunk | RecordedChunk, record: str) -> str:
    return f"{safe_name(stored.node)}-{safe_name(record)}"


class _Film:
    """An MP4 that packets are put into as they are."""

    def __init__(self, path: Path, shape: tuple[int, ...], begin_ns: int) -> None:
        av = _pyav()
        path.open("xb").close()
        self.path, self.shape, self._begin_ns = path, shape, begin_ns
        self._packet = av.Packet
        self._container = av.open(
            str(path), "w", format="mp4", options={"movflags": "faststart", "video_track_timescale": "1000000"}
        )
        self._stream = self._container.add_stream("libx264", options={"preset": "ultrafast"})
        context = self._stream.codec_context
        context.height, context.width = (side + side % 2 for side in shape[:2])
        context.pix_fmt, context.time_base = "yuv420p", _MICROSECOND
        self._stream.time_base = _MICROSECOND
        self._last = -1

    def add(self, data: bytes, time_ns: int, is_key: bool) -> None:
        if self._last < 0:
            self._stream.codec_context.extradata = _parameter_sets(data)
        packet = self._packet(data)
        self._last = max(self._last + 1, (time_ns - self._begin_ns + 500) // 1000)
        packet.stream, packet.time_base = self._stream, _MICROSECOND
        packet.pts = packet.dts = self._last
        packet.is_keyframe = is_key
        self._container.mux(packet)

    def close(self) -> None:
        self._container.close()


def export_mp4(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    films: dict[str, _Film] = {}
    made: list[Path] = []
    counts: dict[str, int] = {}
    try:
        for stored, entry, data in _messages(reader, nodes, "h264"):
            stem = _stem(stored, entry.name)
            film = films.get(stem)
            if film is None or film.shape != entry.shape:
                if entry.since_key:
                    continue  # a film begins with a key frame
                if film is not None:
                    film.close()
                counts[stem] = number = counts.get(stem, 0) + 1
                path = folder / (f"{stem}.mp4" if number == 1 else f"{stem}-{number}.mp4")
                film = films[stem] = _Film(path, entry.shape, stored.time_ns)
                made.append(path)
            film.add(parse_message("foxglove.CompressedVideo", data).data, stored.time_ns, entry.since_key == 0)
    finally:
        for film in films.values():
            film.close()
    return made


def _parameter_sets(data: bytes) -> bytes:
    """What stands before the first picture: the sequence's and picture's parameters, which MP4 keeps in its head."""
    end = data.find(b"\x00\x00\x01\x65")
    return data[:end].rstrip(b"\x00") if end > 0 else data[:200]


def export_wav(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    files: dict[str, wave.Wave_write] = {}
    made: list[Path] = []
    with ExitStack() as stack:
        for stored, entry, data in _messages(reader, nodes, "audio"):
            sound = parse_message("foxglove.RawAudio", data)
            stem = _stem(stored, entry.name)
            if stem not in files:
                path = folder / f"{stem}.wav"
                made.append(path)
                files[stem] = file = stack.enter_context(wave.open(stack.enter_context(path.open("xb")), "wb"))
                file.setnchannels(sound.number_of_channels)
                file.setsampwidth(2)
                file.setframerate(sound.sample_rate)
            files[stem].writeframes(sound.data)
    return made


def export_flac(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    av = _pyav()
    files: dict[str, tuple[Any, Any]] = {}
    made: list[Path] = []
    with ExitStack() as stack:
        for stored, entry, data in _messages(reader, nodes, "audio"):
            sound = parse_message("foxglove.RawAudio", data)
            stem, channels = _stem(stored, entry.name), sound.number_of_channels
            if channels not in (1, 2):
                raise FlowmeshError(f"flac: {stem} has {channels} channels; 1 and 2 can be written: take wav")
            if stem not in files:
                path = folder / f"{stem}.flac"
                made.append(path)
                container = stack.enter_context(av.open(stack.enter_context(path.open("xb")), "w", format="flac"))
                stream = container.add_stream("flac", rate=sound.sample_rate)
                stream.layout, stream.format = ("mono", "s16") if channels == 1 else ("stereo", "s16")
                files[stem] = container, stream
            container, stream = files[stem]
            samples = np.frombuffer(sound.data, np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono" if channels == 1 else "stereo")
            frame.sample_rate = sound.sample_rate
            container.mux(stream.encode(frame))
        for container, stream in files.values():
            container.mux(stream.encode(None))
    return made


def export_frames(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    made: dict[Path, None] = {}
    jpegs = {
        (stored.node, stored.stamp.run, stored.stamp.n, entry.name): data
        for stored, entry, data in _messages(reader, nodes, "jpeg")
    }
    for recorded in reader.chunks(nodes):
        for entry, (name, value, content_type) in zip(recorded.stamp.records, recorded.chunk.records(), strict=True):
            if content_type == "image":
                target = _frame_folder(folder, recorded, name, made)
                jpeg = jpegs.get((recorded.node, recorded.stamp.run, recorded.number, entry.name))
                _write_frame(target / f"{recorded.number:08}", value, jpeg)
    return list(made)


def _frame_folder(folder: Path, recorded: RecordedChunk, name: str, made: dict[Path, None]) -> Path:
    target = folder / _stem(recorded, name)
    if target not in made:
        target.mkdir()
        made[target] = None
    return target


def _write_frame(stem: Path, value: np.ndarray[Any, Any], jpeg: bytes | None) -> None:
    if jpeg is not None:
        stem.with_suffix(".jpg").write_bytes(parse_message("foxglove.CompressedImage", jpeg).data)
    elif value.dtype.name in ("uint8", "uint16"):
        import cv2

        done, content = cv2.imencode(".png", value)
        if not done:
            raise FlowmeshError(f"{stem}: the picture can't be written as PNG")
        stem.with_suffix(".png").write_bytes(content.tobytes())
    else:
        np.save(stem.with_suffix(".npy"), value)


def export_npy(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    made: dict[Path, None] = {}
    for recorded in reader.chunks(nodes):
        for name, value, _ in recorded.chunk.records():
            if isinstance(value, np.ndarray):
                np.save(_frame_folder(folder, recorded, name, made) / f"{recorded.number:08}.npy", value)
    return list(made)


def _pyav() -> Any:
    """PyAV, loaded on first use: it is large."""
    import av

    return av
