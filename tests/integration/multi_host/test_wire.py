"""What an eavesdropper learns of a graph: nothing that it is made of, nothing that flows, no key."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
from zmq.utils import z85

from flowmesh.nodes.pattern import TestPattern

from .example_nodes import NOISE
from .harness import Site
from .network import Host

Deadline = Callable[[float], float]
GRAPH = """
film = Film('kingfisher-film', width=640, height=480, frames=30, rate=30)
graph.add_edge(film, Check('otter-check', report=report('otter-check')), codec='jpeg', quality=80)
graph.add_edge(Numbers('heron-numbers', count=30, size=100_000), Check('newt-check', report=report('newt-check')))
grey = Film('plover-film', width=320, height=240, frames=10)
graph.add_edge(grey, Check('vole-check', report=report('vole-check')), codec='raw')
"""
NAMES = ["kingfisher-film", "otter-check", "heron-numbers", "newt-check", "plover-film", "vole-check", "badger-worker"]
SAID = ["Registration", "Heartbeat", "class Check", "def teardown", "flowmesh", "number_of", "lossless"]
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"  # longer than what turns up by chance
SENDER = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=20) as connection:
    connection.sendall(open(sys.argv[2], "rb").read())
"""
TAKER = """
import socket
with socket.create_server(("", 7000)) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    with connection:
        while connection.recv(1 << 16):
            pass
"""


def test_a_capture_shows_no_frame_no_name_and_no_key(here: Host, there: Host, deadline: Deadline) -> None:
    capture = there.capture()
    checks = ["otter-check", "newt-check", "vole-check"]
    films = ["kingfisher-film", "heron-numbers", "plover-film"]
    site = Site(here, {"badger-worker": there}, GRAPH, {"here": films, "badger-worker": checks})
    site.finished()
    heard = capture.heard()
    assert len(heard) > 3_000_000  # it was there when the frames went by
    secrets = dict(_secrets(site, here, there))
    assert [what for what, secret in secrets.items() if secret in heard] == []

    clear = there.capture()  # the same, sent without flowmesh, is heard
    everything = there.folder / "everything"
    everything.write_bytes(b"\n".join(secrets.values()))
    taker = here.python(TAKER)
    taker.says("listening", deadline(10))
    there.python(SENDER, here.address, str(everything)).succeeds(deadline(20))
    taker.succeeds(deadline(20))
    heard = clear.heard()
    assert [what for what, secret in secrets.items() if secret not in heard] == []


def _secrets(site: Site, here: Host, there: Host) -> Iterator[tuple[str, bytes]]:
    """What nobody may hear, by what it is; each is long enough not to turn up by chance."""
    for text in (*NAMES, *SAID):
        yield text, text.encode()
    yield "a JPEG's head", JPEG
    for place in (0, 1000, 50_000):
        yield f"noise at {place}", NOISE[place : place + 24].tobytes()
    yield from _of_a_frame()
    keys = {f"{host} {name}": key for host in (here, there) for name, key in _keys(host.state)}
    assert len(keys) >= 2  # a pair at least
    for name, key in keys.items():
        yield f"{name} as text", key
        yield f"{name} as bytes", z85.decode(key)
    (token,) = set(re.findall(r"fm1-([\w-]+)", site.manager.output))
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    yield "the token", token.encode()
    yield "the token as bytes", raw
    for place in range(0, len(raw) - 24, 24):
        yield f"the token from {place}", raw[place : place + 24]


def _of_a_frame() -> Iterator[tuple[str, bytes]]:
    """Runs of a frame that was sent, as pixels and as a JPEG."""
    pattern = TestPattern("pattern", width=320, height=240)
    pattern.setup()
    frame = pattern.step().get("frame")["value"]
    for row in (100, 200):
        yield f"pixels of row {row}", frame[row, 100:120].tobytes()
    encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    yield "a JPEG's body", encoded[len(encoded) // 2 :][:24]


def _keys(state: Path) -> Iterator[tuple[str, bytes]]:
    """All that look like a key in the files of a user's state: 40 characters in Z85."""
    for path in sorted(state.rglob("*")):
        if path.is_file():
            for place, found in enumerate(
                re.findall(rb"(?<![!-~])[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}(?![!-~])", path.read_bytes())
            ):
                yield f"{path.name}#{place}", found
