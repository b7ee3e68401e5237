"""In whose thread the codecs work: the loop's, where nobody else waits for it."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator

import pytest

from flowmesh.errors import ChunkError
from flowmesh.gateway.codec_threads import LONG, SHORT, CodecThreads

from ..conftest import SCALE

DEADLINE = 20 * SCALE


@pytest.fixture
def pool() -> Iterator[CodecThreads]:
    made = CodecThreads()
    yield made
    made.close()


def done_here(pool: CodecThreads, size: int, lasts: float = 0.0) -> bool:
    """Whether work on so many bytes is done in this thread."""
    found: list[threading.Thread | ChunkError] = []

    def work() -> threading.Thread:
        until = time.monotonic() + lasts
        while time.monotonic() < until:
            pass
        return threading.current_thread()

    pool.submit(size, work, found.append)
    if not found:
        assert select.select([pool.bell], [], [], DEADLINE)[0]
        pool.finish()
    return found == [threading.main_thread()]


def test_who_is_alone_and_idle_need_not_wake_another_thread(pool: CodecThreads) -> None:
    assert done_here(pool, LONG)
    assert not done_here(pool, LONG + 1)
    pool.shared = True
    assert not done_here(pool, LONG)
    assert not done_here(pool, SHORT + 1)
    assert done_here(pool, SHORT)


def test_work_that_follows_at_once_is_handed_over(pool: CodecThreads) -> None:
    assert done_here(pool, LONG, lasts=1.0)
    assert not done_here(pool, LONG)


def test_nothing_is_done_here_while_a_thread_works(pool: CodecThreads) -> None:
    goes_on, found = threading.Event(), []
    pool.run_in_thread(lambda: goes_on.wait(DEADLINE), found.append)
    assert not done_here(pool, LONG)
    goes_on.set()
    while not found:
        assert select.select([pool.bell], [], [], DEADLINE)[0]
        pool.finish()


@pytest.mark.parametrize("shared", [False, True])
def test_what_can_not_be_coded_is_told(pool: CodecThreads, shared: bool) -> None:
    pool.shared = shared
    error, found = ChunkError("damaged"), []

    def work() -> None:
        raise error

    pool.submit(LONG, work, found.append)
    if shared:
        assert select.select([pool.bell], [], [], DEADLINE)[0]
        pool.finish()
    assert found == [error]
