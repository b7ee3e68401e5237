"""NetworkVideo on real streams of real servers: MJPEG and MPEG-TS by HTTP, RTSP; killed, started again, silent, absent."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.node import registered_methods
from flowmesh.nodes import NetworkVideo, TestPattern
from flowmesh.nodes.av_stream import without_password

from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain
from . import video_servers
from .conftest import until


@pytest.fixture
def serve() -> Iterator[Callable[..., video_servers.Server]]:
    """Starts servers; those that still run are closed at the end."""
    started: list[video_servers.Server] = []

    def start(speak: Callable[[video_servers.Connection], None], port: int = 0) -> video_servers.Server:
        started.append(video_servers.Server(speak, port))
        return started[-1]

    yield start
    for server in started:
        if not server.ending.is_set():
            server.server_close()


@pytest.fixture
def started() -> Iterator[Callable[..., NetworkVideo]]:
    """Makes nodes that are set up, and torn down at the end."""
    made: list[NetworkVideo] = []

    def start(url: str, **options: Any) -> NetworkVideo:
        made.append(NetworkVideo("door", url, **options))
        made[-1].setup()
        return made[-1]

    yield start
    for node in made:
        node.teardown()


def numbers(node: NetworkVideo, count: int) -> list[int]:
    """The numbers that are read in the next frames."""
    got: list[int] = []

    def step() -> bool:
        if (chunk := node.step()) is not None:
            frame = chunk.get("frame")
            assert frame["content-type"] == "image"
            assert frame["value"].shape == (video_servers.SIZE[1], video_servers.SIZE[0], 3)
            got.append(TestPattern.read_number(frame["value"]))
        return len(got) == count

    until(step)
    return got


Start = Callable[..., NetworkVideo]
Serve = Callable[..., video_servers.Server]
WAYS = pytest.mark.parametrize(
    ("speak", "url", "codec"),
    [
        (video_servers.mjpeg, "http://127.0.0.1:{}/it", "mjpeg"),
        (video_servers.mpeg_ts, "http://127.0.0.1:{}/it", "h264"),
        (video_servers.rtsp, "rtsp://127.0.0.1:{}/it", "h264"),
    ],
    ids=["mjpeg", "mpeg-ts", "rtsp"],
)


@WAYS
def test_frames_come_in_order(serve: Serve, started: Start, speak: Any, url: str, codec: str) -> None:
    node = started(url.format(serve(speak).port))
    got = numbers(node, 30)
    assert got == sorted(set(got))
    says = node.info()
    assert (says["width"], says["height"], says["codec"], says["connected"]) == (*video_servers.SIZE, codec, True)
    assert node.reconnects() == 0
    assert registered_methods(node) == ("info", "reconnects")


@WAYS
def test_a_server_that_is_killed_and_started_again(
    serve: Serve, started: Start, caplog: pytest.LogCaptureFixture, speak: Any, url: str, codec: str
) -> None:
    server = serve(speak)
    node = started(url.format(server.port), timeout=15.0)  # a server that is killed breaks off: nobody is waited for
    numbers(node, 5)
    for times in (1, 2):
        server.server_close()
        until(lambda: not node.info()["connected"])
        while node.step() is not None:
            pass
        server = serve(speak, server.port)
        numbers(node, 5)
        assert node.reconnects() == times
    assert caplog.text.count("it is tried again in") >= 2
    assert "(reconnects: 2)" in caplog.text


def test_who_comes_late_gets_the_newest(serve: Serve, started: Start) -> None:
    node = started(f"http://127.0.0.1:{serve(video_servers.mjpeg).port}/it")
    until(lambda: node.info()["missed"] >= 20)
    assert numbers(node, 1)[0] >= 20


def test_a_silent_server_holds_up_no_step_and_no_end(
    serve: Serve, started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    node = started(f"http://127.0.0.1:{serve(video_servers.silent).port}/it", timeout=0.2)
    begun = time.monotonic()
    assert node.step() is None
    assert time.monotonic() - begun < 2
    until(lambda: caplog.text.count("nothing came for 0.2 s") >= 2)
    begun = time.monotonic()
    node.teardown()
    assert time.monotonic() - begun < 3


def test_a_stream_that_falls_silent_is_lost(serve: Serve, started: Start, caplog: pytest.LogCaptureFixture) -> None:
    mended = video_servers.threading.Event()

    def stalls(connection: video_servers.Connection) -> None:
        write, left = connection.wfile.write, iter(range(40))

        def write_some(data: bytes) -> int:
            if next(left, None) is None:
                mended.wait(60)
            return write(data)

        connection.wfile.write = write_some  # type: ignore[method-assign]
        video_servers.mjpeg(connection)

    node = started(f"http://127.0.0.1:{serve(stalls).port}/it", timeout=1.0)
    numbers(node, 3)
    until(lambda: "it broke off: nothing came for 1 s" in caplog.text)
    before = node.reconnects()
    mended.set()
    until(lambda: node.step() is not None and node.reconnects() > before)


@pytest.mark.parametrize(
    ("speak", "text"), [(video_servers.not_found, "404 Not Found"), (None, "Connection refused")], ids=["404", "nobody"]
)
def test_why_it_can_not_be_reached_is_told_without_secrets(
    serve: Serve, started: Start, caplog: pytest.LogCaptureFixture, speak: Any, text: str
) -> None:
    server = serve(speak or video_servers.not_found)
    if speak is None:
        server.server_close()
    node = started(f"http://me:secret@127.0.0.1:{server.port}/it?key=secret")
    until(lambda: text in caplog.text)
    assert f"http://127.0.0.1:{server.port}/it: it can't be opened" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in repr(node)


def test_a_playlist_may_not_name_files_of_this_host(
    serve: Serve, started: Start, film: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def playlist(connection: video_servers.Connection) -> None:
        connection.request_lines()
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{film}\n#EXT-X-ENDLIST\n"
        head = f"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nContent-Length: {len(text)}\r\n\r\n"
        connection.wfile.write((head + text).encode())

    node = started(f"http://127.0.0.1:{serve(playlist).port}/it.m3u8")
    until(lambda: "tried again" in caplog.text)
    assert node.step() is None


def test_passwords_are_left_out() -> None:
    assert without_password("rtsp://me:a@b@host:554/a?token=1") == "rtsp://host:554/a"
    assert without_password("udp://@239.0.0.1:1234") == "udp://239.0.0.1:1234"


@pytest.mark.parametrize("url", ["", "film.mp4", "/dev/video0", "file:///film.mp4", 5, None, "http://"])
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(GraphError, match="url is the address of a stream"):
        NetworkVideo("door", url)


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": "5"}, {"longest_pause": -1}, {"ffmpeg": {"a": 1}}, {"timeout": None}]
)
def test_what_can_not_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=f"door: {next(iter(wrong))} is"):
        NetworkVideo("door", "rtsp://host/it", **wrong)


def test_without_pyav_the_extra_is_named() -> None:
    program = """
        import sys
        sys.modules["av"] = None
        from flowmesh.nodes import NetworkVideo
        NetworkVideo("door", "rtsp://host/it").setup()
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert 'door needs PyAV on its host: pip install "av>=18"' in ended.stderr


def test_in_a_graph_frames_go_on_after_the_server_was_away(
    serve: Serve, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(video_servers.mjpeg)
    url = f"http://127.0.0.1:{server.port}/it"
    manager = cluster.commit(chain(NetworkVideo("door", url), Collect("sink", hold=1000)))
    with caplog.at_level(logging.WARNING):
        manager.start()
        cluster.until_steps("sink", 5)
        server.server_close()
        cluster.until(lambda: "it is tried again in" in caplog.text)
        manager.stop()  # also while there is nothing: no step hangs
        serve(video_servers.mjpeg, server.port)
        manager.start()
        seen = manager.status().nodes["sink"].steps
        cluster.until_steps("sink", seen + 5)
    assert manager.request_registered_method("door", "reconnects") == 1
    assert manager.status().edges["door", "sink"].policy == "drop_oldest"
