"""The allow-list, asked as libzmq asks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq
from zmq.utils import z85

from flowmesh.errors import LinkError
from flowmesh.security.keys import KeyPair
from flowmesh.transport.allowlist import AllowList
from flowmesh.transport.sockets import Context

from .conftest import DEADLINE

KEY = KeyPair.make().public
RAW = z85.decode(KEY)
REQUEST = [b"1.0", b"7", b"flowmesh", b"127.0.0.1", b"", b"CURVE"]


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def allowed(context: Context) -> AllowList:
    return AllowList(context)


def ask(context: Context, allowed: AllowList, request: list[bytes]) -> list[bytes]:
    socket = context.socket(zmq.REQ)
    socket.connect("inproc://zeromq.zap.01")
    socket.send_multipart(request)
    allowed.serve()
    assert socket.poll(round(DEADLINE * 1000))
    answer = socket.recv_multipart()
    socket.close(linger=0)
    return answer


def test_a_key_is_in_from_allow_to_revoke(context: Context, allowed: AllowList) -> None:
    request = [*REQUEST, RAW]
    assert KEY not in allowed
    assert ask(context, allowed, request)[2] == b"400"
    allowed.allow(KEY)
    assert KEY in allowed
    assert ask(context, allowed, request) == [b"1.0", b"7", b"200", b"OK", KEY.encode(), b""]
    allowed.revoke(KEY)
    allowed.revoke(KEY)
    assert KEY not in allowed
    assert ask(context, allowed, request) == [b"1.0", b"7", b"400", b"this key is not allowed", b"", b""]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ([*REQUEST[:5], b"NULL"], b"400"),
        ([*REQUEST[:5], b"PLAIN", b"name", b"password"], b"400"),
        ([*REQUEST, RAW[:-1]], b"400"),
        ([*REQUEST, RAW, b"more"], b"400"),
        (REQUEST, b"400"),
        ([b"2.0", *REQUEST[1:], RAW], b"500"),
        (REQUEST[:2], b"500"),
        ([b"1.0"], b"500"),
        ([b""], b"500"),
    ],
    ids=["NULL", "PLAIN", "short key", "two keys", "no key", "other version", "no mechanism", "no number", "empty"],
)
def test_whatever_is_not_a_request_of_curve_is_denied(
    context: Context, allowed: AllowList, request_: list[bytes], status: bytes
) -> None:
    allowed.allow(KEY)
    answer = ask(context, allowed, request_)
    assert (answer[0], answer[2], answer[4:]) == (b"1.0", status, [b"", b""])
    assert ask(context, allowed, [*REQUEST, RAW])[2] == b"200"


def test_what_has_no_envelope_is_passed_over(context: Context, allowed: AllowList) -> None:
    socket = context.socket(zmq.DEALER)
    socket.connect("inproc://zeromq.zap.01")
    socket.send_multipart([b"no", b"envelope"])
    allowed.serve()
    socket.close(linger=0)


def test_all_that_wait_are_answered_and_none_is_waited_for(context: Context, allowed: AllowList) -> None:
    allowed.allow(KEY)
    sockets = [context.socket(zmq.REQ) for _ in range(5)]
    for socket in sockets:
        socket.connect("inproc://zeromq.zap.01")
        socket.send_multipart([*REQUEST, RAW])
    allowed.serve()
    assert all(socket.poll(round(DEADLINE * 1000)) for socket in sockets)
    allowed.serve()
    for socket in sockets:
        socket.close()


def test_a_context_has_one_list(context: Context, allowed: AllowList) -> None:
    with pytest.raises(LinkError, match="allow-list"):
        AllowList(context)
