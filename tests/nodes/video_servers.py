"""Real servers of real video for the tests: MPEG-TS and MJPEG over HTTP, MPEG-TS over RTSP. Frames hold their own number.

Each connection gets a film of its own from frame 0 on, at 50 frames a second, until the server is closed.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

import av
import cv2
import numpy as np

from flowmesh.nodes import TestPattern

FPS = 50
SIZE = (320, 240)


class Connection(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.server.speak(self)

    def request_lines(self) -> list[str]:
        """A request's lines up to the empty one; none when the other side has gone."""
        lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), "")
        return list(lines)


class Server(socketserver.ThreadingTCPServer):
    """Serves by one of the functions below, from `with` to its end; `port` 0 takes a free one, another one takes it again."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, speak: Callable[[Connection], None], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.speak = speak
        self.port = int(self.server_address[1])
        self.connections = 0
        self.ending = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections += 1
        self._open.append(connection)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that has gone."""

    def server_close(self) -> None:
        """As a server that is killed: every connection breaks off."""
        self.ending.set()
        self.shutdown()
        self._thread.join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


def mjpeg(connection: Connection) -> None:
    """MJPEG over HTTP, as network cameras do it."""
    connection.request_lines()
    connection.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=part\r\n\r\n")
    for frame in frames(connection.server):
        jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
        head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        connection.wfile.write(head.encode() + jpeg + b"\r\n")


def mpeg_ts(connection: Connection) -> None:
    """MPEG-TS over HTTP, H.264."""
    connection.request_lines()
    connection.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
    encode(connection.server, connection.wfile)  # type: ignore[arg-type]


def silent(connection: Connection) -> None:
    """Takes the request and never says a word."""
    connection.server.ending.wait()


def not_found(connection: Connection) -> None:
    connection.request_lines()
    connection.wfile.write(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def rtsp(connection: Connection) -> None:
    """RTSP 1.0 (RFC 2326): MPEG-TS in RTP, interleaved in the one TCP connection."""
    while lines := connection.request_lines():
        verb = lines[0].split()[0]
        known = dict(line.split(": ", 1) for line in lines[1:])
        head = [f"RTSP/1.0 200 OK\r\nCSeq: {known['CSeq']}\r\nSession: 1\r\n"]
        body = ""
        if verb == "OPTIONS":
            head.append("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        elif verb == "DESCRIBE":
            body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=it\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
            head.append(f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n")
        elif verb == "SETUP":
            assert "TCP" in known["Transport"]
            head.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
        connection.wfile.write(("".join(head) + "\r\n" + body).encode())
        if verb == "PLAY":
            encode(connection.server, Interleaved(connection.wfile))  # type: ignore[arg-type]


class Interleaved:
    """A file that sends what is written to it as RTP packets of seven TS packets each."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._rest, self._numbers = out, b"", itertools.count()

    def write(self, data: bytes) -> int:
        self._rest += bytes(data)
        while len(self._rest) >= 7 * 188:
            payload, self._rest = self._rest[: 7 * 188], self._rest[7 * 188 :]
            stamp = int(time.monotonic() * 90_000) & 0xFFFFFFFF
            rtp = struct.pack(">BBHII", 0x80, 33, next(self._numbers) & 0xFFFF, stamp, 1) + payload
            self._out.write(struct.pack(">BBH", 0x24, 0, len(rtp)) + rtp)
        return len(data)


def encode(server: Server, out: IO[bytes]) -> None:
    with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = 10
        for frame in frames(server):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))


def frames(server: Server) -> Iterator[np.ndarray]:
    """Frames of TestPattern, at their time, until the server ends."""
    pattern = TestPattern("pattern", width=SIZE[0], height=SIZE[1])
    pattern.setup()
    begun = time.monotonic()
    for number in itertools.count():
        yield pattern.step().get("frame")["value"]
        if server.ending.wait(max(0.0, begun + (number + 1) / FPS - time.monotonic())):
            return
