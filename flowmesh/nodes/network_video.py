"""NetworkVideo: a live source of a network camera's frames. PyAV: av_stream.py; thread: reconnecting_reader.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GraphError
from ..node import is_number
from .live_source import LiveSource
from .reconnecting_reader import ReconnectingReader

if TYPE_CHECKING:
    import av

    from .av_stream import AvStream

_URL = re.compile(r"[a-z][a-z0-9+.-]*://.", re.IGNORECASE)


class NetworkVideo(LiveSource["av.VideoFrame"]):
    """A live source of the frames of a stream: RTSP, RTMP, HTTP (MJPEG, MPEG-TS, HLS, ...), SRT, UDP.

    Each chunk holds "frame" (image, BGR, uint8, height×width×3), "index" (int, from 0: the frames that were sent) and
    "media_time" (float: when the frame came, in seconds from the first). What comes while the graph is busy is left out:
    the newest frame counts. While the stream can't be reached, and after it broke off, it is tried again, after half a
    second and then ever longer; each loss and each return is a line in the log, which shows no user, password or query
    of the URL.

    It is for what is live: a film on a web server would be read faster than it plays.

    >>> door = NetworkVideo("door", "rtsp://user:password@192.168.0.20/stream1")
    >>> manager.request_registered_method("door", "reconnects")  # doctest: +SKIP

    Args:
        name: the node's name.
        url: the stream's address, seen from the host on which the node runs.
        timeout: seconds without any data after which the stream counts as lost.
        longest_pause: seconds between two attempts to reach it, at most.
        ffmpeg: more options for FFmpeg by name, such as {"rtsp_transport": "udp"}.
        options: options of Node: `rate`, `hold`, ...

    Raises:
        GraphError: a value that can't be.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        timeout: float = 5.0,
        longest_pause: float = 30.0,
        ffmpeg: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not isinstance(url, str) or not _URL.match(url) or url.lower().startswith("file:"):
            raise GraphError(
                f"{self.name}: url is the address of a stream such as 'rtsp://host/path'; for a file: VideoFile"
            )
        for option, value in (("timeout", timeout), ("longest_pause", longest_pause)):
            if not is_number(value) or not 0 < value < float("inf"):
                raise GraphError(f"{self.name}: {option} is a number of seconds above 0, not {value!r}")
        if ffmpeg is not None and not all(isinstance(text, str) for item in dict(ffmpeg).items() for text in item):
            raise GraphError(f"{self.name}: ffmpeg is a dict of texts, as in {{'rtsp_transport': 'udp'}}")
        self.url, self.timeout, self.longest_pause, self.ffmpeg = url, timeout, longest_pause, dict(ffmpeg or {})
        self._receiver = None

    def setup(self) -> None:
        from .av_stream import without_password  # PyAV is loaded where it is used
        from .bgr_converter import BgrConverter

        self._converter = BgrConverter()
        self._index = 0
        self._says = dict.fromkeys(("width", "height", "fps", "codec"))
        self._receiver = ReconnectingReader(without_password(self.url), self._open, self.logger, self.longest_pause)
        self._receiver.start()

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        return self._converter.convert(frame)

    def _open(self) -> AvStream:
        from .av_stream import AvStream

        feed = AvStream(self.url, self.timeout, self.ffmpeg)
        self._says = feed.says()
        return feed
