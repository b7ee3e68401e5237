"""The web server of MjpegServer: a page that lists the streams, each as a picture and as a stream of pictures.

    /                    the page                /NAME.jpg     the newest picture of a sender's first picture record
    /NAME/RECORD.jpg     of another record       .mjpg         instead of .jpg: a stream (multipart/x-mixed-replace)

A thread a viewer: one that reads slowly waits in its own, is sent the newest picture next, and is let go when it takes
nothing for some seconds. Only pictures are given away, and only to pages of this server.
"""

from __future__ import annotations

import html
import io
import ipaddress
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ..errors import ChunkError, FlowmeshError
from .view_streams import ViewFrame, ViewStreams

_BOUNDARY = "flowmesh-frame"
_PATIENCE = 10.0  # seconds after which a viewer that takes nothing is let go; and in which a request has to be complete
_LOOK = 1.0  # seconds without a picture after which we look whether the viewer is still there
_FIRST = 2.0  # seconds that a picture of a sender which has sent none yet is waited for
_SEND_BUFFER = 256 * 1024  # bytes: more would only be pictures that are old when they are seen
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>{refresh}
<style>body{{font:16px sans-serif;margin:1em;background:#222;color:#ddd}}a{{color:#9cf}}img{{max-width:100%;display:block}}
figure{{display:inline-block;margin:.5em;vertical-align:top;max-width:calc(50% - 1em)}}</style>
<h1>{title}</h1>{body}</html>"""


class ViewServer(ThreadingHTTPServer):
    """Serves what is shown, from `start` to `stop`.

    Args:
        shown: the streams.
        title: of the page.
        host: the address to listen at.
        port: 0 takes a free one.
        most_viewers: connections at a time; further ones get the answer that it is busy.

    Raises:
        FlowmeshError: it can't listen there.
    """

    daemon_threads = False  # they are joined at the end
    request_queue_size = 32

    def __init__(self, shown: ViewFrame, title: str, host: str, port: int, most_viewers: int) -> None:
        self.shown, self.title = shown, title
        self._places = threading.BoundedSemaphore(most_viewers)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ending = False
        self._host = host
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise FlowmeshError(f"it can't listen at {host}:{port}: {error}") from error
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.5}, name="flowmesh-view", daemon=True
        )

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        host = socket.gethostname() if self._host in ("", "0.0.0.0", "::") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close every connection; returns when all threads have ended."""
        self.shown.close()
        self.shutdown()
        self._thread.join()
        with self._lock:
            self._ending = True
            still_open = list(self._open)
        for connection in still_open:
            _cut(connection)
        self.server_close()

    def is_asked_for(self, host: str | None) -> bool:
        """Whether a request's Host header names this server. At loopback, a page of a stranger could else be given a name
        that leads here, and its script read the pictures (DNS rebinding)."""
        if host is None or not _is_loopback(str(self.server_address[0])):  # a browser always names one
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name == self._host or _is_loopback(name)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            _turn_away(request)
            self.shutdown_request(request)
            return
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if not self._ending:
                super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a viewer that has gone is no error
            super().handle_error(request, client_address)

    def server_bind(self) -> None:
        # Not HTTPServer's: that asks the name service for our name, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    timeout = _PATIENCE
    server_version, sys_version = "flowmesh", ""

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Request(self.connection, self.timeout))

    def do_GET(self) -> None:
        self.connection.settimeout(self.timeout)  # from here on, that of each write
        path = urlsplit(self.path).path
        if not self.server.is_asked_for(self.headers.get("Host")):
            self._say(HTTPStatus.FORBIDDEN, "this server has another name: use the address that it was given")
        elif path == "/":
            self._send("text/html; charset=utf-8", _page(self.server.title, self.server.shown).encode())
        elif path.endswith((".jpg", ".mjpg")):
            self._picture(path)
        else:
            self._say(HTTPStatus.NOT_FOUND, self._what_there_is())

    def log_message(self, format: str, *arguments: Any) -> None:
        """No line a request."""

    def _picture(self, path: str) -> None:
        name, _, ending = path.removeprefix("/").rpartition(".")
        sender, slash, record = name.partition("/")
        showing = self.server.shown.find(unquote(sender), unquote(record) if slash else None, _FIRST)
        if showing is None:
            self._say(HTTPStatus.NOT_FOUND, self._what_there_is())
            return
        try:
            if ending == "mjpg":
                self._stream(showing)
            elif newest := showing.newer(0, 0.0):
                self._send("image/jpeg", newest[1])
        except ChunkError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _stream(self, showing: ViewStreams) -> None:
        self._begin(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        showing.came()
        try:
            number = showing.frames - 1  # the newest that is there already is the first
            while (newest := self._next(showing, number)) is not None:
                showing.has_skipped(newest[0] - number - 1)
                number, jpeg = newest
                self.wfile.write(_part(number, jpeg))
        except OSError:  # it has gone, or takes nothing any more
            pass
        finally:
            showing.went()

    def _next(self, showing: ViewStreams, number: int) -> tuple[int, bytes] | None:
        """The next picture; None when there will be none, or the viewer has gone."""
        while (newest := showing.newer(number, _LOOK)) is None:
            if showing.closed or _has_gone(self.connection):
                return None
        return newest

    def _what_there_is(self) -> str:
        paths = [_path(sender, record) for sender, record in self.server.shown.streams()]
        return f"there are: {', '.join(f'{path}.jpg' for path in paths) or 'no pictures yet'}"

    def _begin(self, status: HTTPStatus, content_type: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content_type: str, content: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._begin(status, content_type, len(content))
        self.wfile.write(content)

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send("text/plain; charset=utf-8", f"{text}\n".encode(), status)


class _Request(io.RawIOBase):
    """The request of a viewer, with one deadline for all of it, so that a slow sender can't keep a connection."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._deadline = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def _part(number: int, jpeg: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Number: {number}\r\n\r\n"
    return b"".join((head.encode(), jpeg, b"\r\n"))


def _path(sender: str, record: str) -> str:
    return f"/{quote(sender, safe='')}/{quote(record, safe='')}"


def _page(title: str, shown: ViewFrame) -> str:
    figures = []
    for (sender, record), showing in shown.streams().items():
        path, name = _path(sender, record), html.escape(f"{sender}: {record}")
        told = f"{showing.frames} pictures, {showing.viewers} viewers"
        figures.append(
            f'<figure><figcaption><a href="{path}.mjpg">{name}</a> ({told}, <a href="{path}.jpg">newest</a>)</figcaption>'
            f'<img src="{path}.mjpg" alt="{name}"></figure>'
        )
    refresh = "" if figures else '<meta http-equiv="refresh" content="1">'
    body = "".join(figures) or "<p>No picture has come yet.</p>"
    return _PAGE.format(title=html.escape(title), refresh=refresh, body=body)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other side has closed; a viewer sends nothing after its request."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _turn_away(connection: socket.socket) -> None:
    try:
        connection.settimeout(0.0)
        connection.sendall(b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\ntoo many viewers\n")
    except OSError:
        pass


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has gone already
        pass
