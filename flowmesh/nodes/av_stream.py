"""Network video streams, opened and decoded by PyAV. No nodes, no threads; every wait has a limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import av

from .reconnecting_reader import StreamLostError

# What FFmpeg may open on behalf of a stream: a playlist that came over the network must not name files of this host.
_PROTOCOLS = "crypto,hls,http,httpproxy,https,mmsh,rtmp,rtmpe,rtmps,rtmpt,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
# nobuffer: what was read to find out the formats is not played late. TCP: RTSP over UDP loses packets and hides behind NAT.
_OPTIONS = {"fflags": "nobuffer", "protocol_whitelist": _PROTOCOLS}
_RTSP_OPTIONS = {"rtsp_transport": "tcp"}


class AvStream:
    """An opened stream: a Feed of av.VideoFrame.

    Args:
        url: where it is.
        timeout: seconds that opening it, and waiting for data, may take each.
        options: more options for FFmpeg.

    Raises:
        StreamLostError: it can't be opened, or holds no video.
    """

    def __init__(self, url: str, timeout: float, options: Mapping[str, str]) -> None:
        self._timeout = timeout
        known = _OPTIONS | (_RTSP_OPTIONS if url.lower().startswith("rtsp") else {})
        try:
            self._container = av.open(url, options=known | dict(options), timeout=(timeout, timeout))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise StreamLostError(self._why("it can't be opened", error)) from error
        if not self._container.streams.video:
            self._container.close()
            raise StreamLostError("it holds no video")
        self._stream = self._container.streams.video[0]
        self._frames = self._decoded()

    def says(self) -> dict[str, object]:
        """Width and height in pixels, fps (1/s, as declared; None if it is not) and the codec's name."""
        stream, rate = self._stream, self._stream.average_rate or self._stream.guessed_rate
        fps = float(rate) if rate else None
        return {"width": stream.width, "height": stream.height, "fps": fps, "codec": stream.codec_context.name}

    def read(self) -> av.VideoFrame:
        """The next frame.

        Raises:
            StreamLostError: the stream has ended, broke, or nothing came in time.
        """
        try:
            frame = next(self._frames, None)
        except (av.FFmpegError, OSError) as error:
            raise StreamLostError(self._why("it broke off", error)) from error
        if frame is None:
            raise StreamLostError("it has ended")
        return frame

    def close(self) -> None:
        self._container.close()

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # damaged, or of before the first key frame: the next may be whole
                continue

    def _why(self, what: str, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):
            return f"{what}: nothing came for {self._timeout:g} s"
        return f"{what} ({getattr(error, 'strerror', None) or type(error).__name__})"


def without_password(url: str) -> str:
    """The URL in a form that is safe to show: no user, no password, no query."""
    return re.sub(r"//.*@", "//", url).partition("?")[0]
