"""MjpegServer by real HTTP: pages, pictures and streams; viewers that are slow, stop reading or go; its end."""

from __future__ import annotations

import http.client
import re
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

import flowmesh as fm
from flowmesh.chunk import DataChunk
from flowmesh.errors import FlowmeshError, GraphError
from flowmesh.nodes import MjpegServer, TestPattern, http_server

from ..conftest import SCALE
from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect
from .conftest import chunk_of, until


@pytest.fixture
def view() -> Iterator[Callable[..., MjpegServer]]:
    """Makes servers that are set up, and torn down at the end; the leftovers' fixture looks for threads and sockets."""
    made: list[MjpegServer] = []

    def start(**options: Any) -> MjpegServer:
        made.append(MjpegServer("view", **options))
        made[-1].setup()
        return made[-1]

    yield start
    for node in made:
        node.teardown()


class Viewer:
    """A browser that watches a stream, part by part."""

    def __init__(self, url: str, path: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        self._connection.request("GET", path)
        self.response = self._connection.getresponse()
        assert self.response.status == 200
        kind = self.response.headers["Content-Type"]
        self._boundary = re.fullmatch("multipart/x-mixed-replace; boundary=(.+)", kind)[1].encode()  # type: ignore[index]

    def part(self) -> tuple[int, np.ndarray] | None:
        """The number and the picture of the next part; None at the end."""
        if not (line := self.response.readline()):
            return None
        assert line == b"--" + self._boundary + b"\r\n"
        head = http.client.parse_headers(self.response)
        assert head["Content-Type"] == "image/jpeg"
        jpeg = self.response.read(int(head["Content-Length"]))
        assert self.response.readline() == b"\r\n"
        return int(head["X-Number"]), decoded(jpeg)

    def close(self) -> None:
        self.response.close()
        self._connection.close()


def decoded(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def get(url: str, path: str = "", **headers: str) -> tuple[int, str, bytes]:
    """The status, content type and content."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def stopped_reader(url: str, path: str) -> socket.socket:
    """A viewer that asks for a stream and takes nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((urlsplit(url).hostname, urlsplit(url).port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def pattern(count: int) -> list[DataChunk]:
    node = TestPattern("film", width=320, height=240)
    node.setup()
    return [node.step() for _ in range(count)]


View = Callable[..., MjpegServer]


def test_a_stream_has_every_picture_for_whoever_is_quick_enough(view: View) -> None:
    node = view()
    viewer, seen = None, []
    for chunk in pattern(20):
        node.step({"film": chunk})
        viewer = viewer or Viewer(node.address(), "/film.mjpg")
        seen.append(viewer.part())
    assert viewer is not None
    assert viewer.response.headers["Cache-Control"] == "no-store"
    viewer.close()
    assert [(number, TestPattern.read_number(picture)) for number, picture in seen] == [(n + 1, n) for n in range(20)]
    assert node.info()["streams"]["film/frame"]["skipped"] == 0


def test_the_newest_picture(view: View) -> None:
    node = view()
    for chunk in pattern(3):
        node.step({"film": chunk})
    status, kind, jpeg = get(node.address(), "film.jpg")
    assert (status, kind, TestPattern.read_number(decoded(jpeg))) == (200, "image/jpeg", 2)
    assert get(node.address(), "film/frame.jpg")[2] == jpeg


def test_the_page_lists_every_picture_of_every_sender(view: View) -> None:
    node = view()
    assert b"No picture has come yet" in get(node.address())[2]
    node.step({"film": pattern(1)[0], "<b> & co": chunk_of(heat=np.eye(9), n=1, mask=np.eye(9) > 0)})
    status, kind, page = get(node.address())
    assert (status, kind) == (200, "text/html; charset=utf-8")
    paths = re.findall(r'<img src="(.+?)\.mjpg"', page.decode())
    assert paths == ["/film/frame", "/%3Cb%3E%20%26%20co/heat", "/%3Cb%3E%20%26%20co/mask"]
    assert b"&lt;b&gt; &amp; co: heat" in page
    for path in paths:
        assert get(node.address(), f"{path[1:]}.jpg")[0] == 200


def test_pictures_of_other_kinds_can_be_seen(view: View) -> None:
    node = view()
    depth = np.linspace(500, 4000, 64 * 48).reshape(48, 64)
    node.step(
        {"depth": DataChunk.of(depth.astype(np.uint16)), "alpha": chunk_of(frame=np.full((8, 8, 4), 9, np.uint8))}
    )
    seen = decoded(get(node.address(), "depth.jpg")[2])
    assert (seen.shape, seen.min() < 5, seen.max() > 250) == ((48, 64), True, True)
    assert decoded(get(node.address(), "alpha.jpg")[2]).shape == (8, 8, 3)


def test_who_asks_before_the_first_picture_waits_for_it(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_FIRST", 20.0)
    node, [chunk] = view(), pattern(1)
    threading.Timer(0.2, node.step, [{"film": chunk}]).start()
    assert get(node.address(), "film.jpg")[0] == 200


def test_what_there_is_not_is_said_beside_what_there_is(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_FIRST", 0.05)
    node = view()
    assert get(node.address(), "film.jpg") == (404, "text/plain; charset=utf-8", b"there are: no pictures yet\n")
    node.step({"film": pattern(1)[0]})
    for path in ("other.jpg", "film/mask.mjpg", "favicon.ico", "..%2f..%2fetc/passwd.jpg"):
        assert get(node.address(), path)[::2] == (404, b"there are: /film/frame.jpg\n")


def test_a_chunk_without_a_picture_is_counted_and_told_once(view: View, caplog: pytest.LogCaptureFixture) -> None:
    node = view(record="mask")
    for _ in range(3):
        node.step({"film": pattern(1)[0]})
    assert node.info() == {"streams": {}, "without_picture": {"film": 3}}
    assert caplog.messages == ["what film sends holds no picture 'mask', only: frame (picture), index (int)"]


def test_viewers_share_and_each_has_its_own_pace(view: View) -> None:
    node, chunks = view(), pattern(30)
    node.step({"film": chunks[0]})
    quick, slow = Viewer(node.address(), "/film.mjpg"), Viewer(node.address(), "/film.mjpg")
    assert quick.part()[0] == slow.part()[0] == 1  # type: ignore[index]
    assert node.info()["streams"]["film/frame"]["viewers"] == 2
    for number, chunk in enumerate(chunks[1:], 2):
        node.step({"film": chunk})
        assert quick.part()[0] == number  # type: ignore[index]
    for viewer in (quick, slow):
        viewer.close()
    until(lambda: (node.step({"film": chunks[0]}), node.info())[1]["streams"]["film/frame"]["viewers"] == 0)


def test_a_viewer_that_stops_reading_holds_nobody_up_and_is_let_go(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 3.0 * SCALE)
    node = view(quality=100)
    noise = [chunk_of(frame=np.random.default_rng(n).integers(0, 255, (480, 640, 3), np.uint8)) for n in range(3)]
    node.step({"film": noise[0]})
    stuck, other = stopped_reader(node.address(), "/film.mjpg"), Viewer(node.address(), "/film.mjpg")
    number = other.part()[0]  # type: ignore[index]
    until(lambda: node.info()["streams"]["film/frame"]["viewers"] == 2)

    def still_watched() -> bool:
        nonlocal number
        node.step({"film": noise[number % 3]})
        number += 1
        assert other.part()[0] == number  # type: ignore[index]
        return bool(node.info()["streams"]["film/frame"]["viewers"] == 2)

    until(lambda: not still_watched())
    assert number > 5
    stuck.close()
    other.close()


def test_too_many_viewers_are_refused(view: View) -> None:
    node = view(most_viewers=1)
    node.step({"film": pattern(1)[0]})
    viewer = Viewer(node.address(), "/film.mjpg")
    viewer.part()
    assert get(node.address())[0] == 503
    viewer.close()
    until(lambda: get(node.address())[0] == 200)


def test_who_sends_a_byte_now_and_then_loses_its_place_when_the_time_of_a_request_is_over(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 0.5)
    node = view(most_viewers=1)
    node.step({"film": pattern(1)[0]})
    begun = time.monotonic()
    with socket.create_connection((node.host, urlsplit(node.address()).port)) as slow:
        slow.sendall(b"GET / HTTP/1.0\r\nX: ")
        while not select.select([slow], [], [], 0.05)[0]:  # readable: it was closed
            assert time.monotonic() - begun < 10 * SCALE
            slow.sendall(b"x")
    until(lambda: get(node.address())[0] == 200)


def test_its_end_ends_every_viewer(view: View) -> None:
    node = MjpegServer("view")
    node.setup()
    node.step({"film": pattern(1)[0]})
    viewer, stuck = Viewer(node.address(), "/film.mjpg"), stopped_reader(node.address(), "/film.mjpg")
    silent = socket.create_connection((urlsplit(node.address()).hostname, urlsplit(node.address()).port))
    viewer.part()
    node.teardown()
    assert viewer.part() is None
    for connection in (silent, stuck):
        connection.close()
    viewer.close()
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(node.address())


def test_only_this_machine_can_reach_it_and_only_by_its_name(view: View) -> None:
    node = view()
    assert node.address().startswith("http://127.0.0.1:")
    assert get(node.address(), Host="localhost:1")[0] == 200
    assert get(node.address(), Host="[::1]:1")[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "[", ""):
        assert get(node.address(), Host=host)[0] == 403


def test_with_a_host_all_may_ask(view: View) -> None:
    node = view(host="0.0.0.0")
    assert node.address() == f"http://{socket.gethostname()}:{urlsplit(node.address()).port}/"
    assert get(f"http://127.0.0.1:{urlsplit(node.address()).port}/", Host="camera.example")[0] == 200


def test_ipv6(view: View) -> None:
    node = view(host="::1")
    assert node.address().startswith("http://[::1]:")
    assert get(node.address())[0] == 200


def test_a_port_that_is_taken_is_named(view: View) -> None:
    port = urlsplit(view().address()).port
    with pytest.raises(FlowmeshError, match=rf"view: it can't listen at 127\.0\.0\.1:{port}: .*choose another port"):
        view(port=port)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"port": port} for port in ("80", -1, 70_000, True, None)),
        *({"quality": quality} for quality in (0, 101, "80")),
        {"host": 5},
        {"most_viewers": 0},
    ],
)
def test_what_can_not_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=f"view: {next(iter(wrong))} is"):
        MjpegServer("view", **wrong)


def test_in_a_graph_a_stuck_viewer_holds_nothing_up(cluster: Cluster) -> None:
    film = TestPattern("film", width=1280, height=720, rate=100)
    graph = fm.Graph()
    graph.add_edge(film, MjpegServer("view", quality=100))
    graph.add_edge(film, Collect("sink", hold=0), policy="latest")
    manager = cluster.commit(graph)
    manager.start()
    url = manager.request_registered_method("view", "address")
    cluster.until_steps("view", 1)
    stuck, viewer = stopped_reader(url, "/film.mjpg"), Viewer(url, "/film.mjpg")
    first = viewer.part()
    for _ in range(5):
        last = viewer.part()
    assert first is not None
    assert last is not None
    assert TestPattern.read_number(last[1]) - TestPattern.read_number(first[1]) == last[0] - first[0] >= 5
    cluster.until_steps("view", 150)
    manager.stop()
    edge = manager.status().edges["film", "view"]
    told = manager.request_registered_method("view", "info")["streams"]["film/frame"]
    assert edge.dropped == {}
    assert told["frames"] == edge.received == edge.sent
    stuck.close()
    viewer.close()
