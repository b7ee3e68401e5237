"""Decoded frames as BGR images, turned as players show them. FFmpeg's own filters do it: its pixels are ours.

PyAV's `to_ndarray(format="bgr24")` alone is not used: it takes chroma from elsewhere than FFmpeg's programs do in films of
10 bit, converts field by field what is only marked as interlaced, and is slower.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.filter import Graph

_MATRIX = np.dtype("=i4")  # of a display matrix, which libavutil keeps in the host's byte order
_UPRIGHT = (1, 0, 0, 1)
# (a, b, c, d) of the matrix, by which the pixel (x, y) comes to (a x + c y, b x + d y), and the filters that do so.
_FILTERS: dict[tuple[int, ...], tuple[tuple[str, str | None], ...]] = {
    _UPRIGHT: (),
    (-1, 0, 0, 1): (("hflip", None),),
    (1, 0, 0, -1): (("vflip", None),),
    (-1, 0, 0, -1): (("hflip", None), ("vflip", None)),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


class BgrConverter:
    """Converts the frames of one stream, in one thread; a change of size or format in mid-stream is no trouble."""

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] = ()
        self._graph: Graph

    def convert(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as BGR, uint8, height×width×3, in memory of its own; alpha is left out."""
        turn = _turn(frame)
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, turn)
        if kind != self._kind:
            self._graph, self._kind = _graph(frame, turn), kind
        self._graph.vpush(frame)
        image: np.ndarray = self._graph.vpull().to_ndarray()
        return image


def _turn(frame: av.VideoFrame) -> tuple[int, ...]:
    """The frame's display matrix as one of the keys above; upright where it has none, or one of another angle."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return _UPRIGHT
    a, b, _, c, d = np.frombuffer(data, _MATRIX)[:5].tolist()
    largest = max(abs(value) for value in (a, b, c, d))
    turn = tuple(round(value / largest) if largest else 0 for value in (a, b, c, d))
    return turn if turn in _FILTERS else _UPRIGHT


def _graph(frame: av.VideoFrame, turn: tuple[int, ...]) -> Graph:
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)]
    nodes += [graph.add(name, arguments) for name, arguments in _FILTERS[turn]]
    nodes += [graph.add("format", "bgr24"), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    return graph
