"""What a test leaves behind, which is to be nothing. Nothing of flowmesh is imported here: it is judged from outside.

processes     descendants of this one, and whoever has the run's mark in its environment: an orphan has another parent
threads       of this process, daemons too
descriptors   of this process: files, pipes, sockets, memfds
mappings      of flowmesh's memfds in this process: they outlive their descriptors
files         with flowmesh in their name, in /dev/shm and in the folder for temporary files
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

MARK = "FLOWMESH_TEST_RUN"
_LOOK_EVERY = 0.01  # seconds, where the kernel offers nothing to wait for


class Snapshot:
    """What there is now, to be compared with what there is later.

    Args:
        mark: the value of the environment variable MARK that this run's processes inherit.
    """

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._pids = _pids()
        self._threads = set(threading.enumerate())
        self._holdings = _holdings()

    def left(self, within: float) -> list[str]:
        """What has come since and does not go within so many seconds, one line each; its processes are killed."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            if waited := [pid for pid in self._processes() if not _is_zombie(pid)]:
                _wait_for_one(waited, left)
            elif threads := self._new_threads():
                threads[0].join(left)
            elif not self._lines():
                return []
            else:
                gc.collect()  # what lies in a cycle is not held
                _let_others_close(left)
        gc.collect()
        lines = self._lines()
        for pid in self._processes():
            _end(pid)
        return lines

    def _lines(self) -> list[str]:
        processes = [f"process {pid}: {_command(pid)}" for pid in self._processes()]
        threads = [f"thread {thread.name}" for thread in self._new_threads()]
        return processes + threads + sorted(_holdings() - self._holdings)

    def _processes(self) -> list[int]:
        return sorted(pid for pid in _pids() - self._pids if self._is_ours(pid))

    def _is_ours(self, pid: int) -> bool:
        if _is_zombie(pid):
            return _parent(pid) == os.getpid()  # any other's parent has gone, or is about to reap it
        return self._mark in _read(pid, "environ").split(b"\0") or _descends(pid)

    def _new_threads(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in self._threads]


def _holdings() -> set[str]:
    return {*_descriptors(), *_mappings(), *_files()}


def _descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the listing itself
        if not target.startswith(sys.prefix):  # matplotlib keeps its fonts open, and may
            found.append(f"descriptor {name}: {target}")
    return found


def _mappings() -> list[str]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [f"mapping {line.split(None, 4)[4]}" for line in lines if "/memfd:flowmesh" in line]


def _files() -> list[str]:
    folders = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    return [f"file {path}" for folder in folders for path in folder.glob("*flowmesh*")]


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}


def _read(pid: int, name: str) -> bytes:
    """A file of a process; nothing when the process has gone or is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[bytes]:
    """The state, the parent and the rest: what follows the name, which may hold anything."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] in ([], [b"Z"], [b"X"])


def _parent(pid: int) -> int:
    return int((_stat(pid)[1:2] or [b"0"])[0])


def _descends(pid: int) -> bool:
    while pid > 1:
        pid = _parent(pid)
        if pid == os.getpid():
            return True
    return False


def _command(pid: int) -> str:
    line = _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    return line or "a zombie that nobody has waited for"


def _wait_for_one(pids: list[int], seconds: float) -> None:
    """Until one of them has ended."""
    handles = []
    try:
        for pid in pids:
            handles.append(os.pidfd_open(pid))
        select.select(handles, [], [], seconds)
    except ProcessLookupError:
        pass  # it has ended just now
    finally:
        for handle in handles:
            os.close(handle)


def _let_others_close(seconds: float) -> None:
    """A moment for threads that were there before: ZeroMQ's closes the connection of a peer that has just gone."""
    select.select([], [], [], min(seconds, _LOOK_EVERY))


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # not a child of ours: its parent reaps it
