"""Processes as /proc shows them: those that bear a mark, those below another, and what they hold open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MARK = "FLOWMESH_TEST_SCRIPT"


def marked(mark: str) -> set[int]:
    """The processes that were started with this mark in their environment, zombies left out."""
    return {pid for pid in _processes() if _environment(pid).get(MARK) == mark}


def descendants(root: int) -> set[int]:
    """All processes below `root`, zombies left out."""
    parents = {pid: parent for pid in _processes() if (parent := _parent(pid))}
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= new
    return found


def children(pid: int) -> set[int]:
    return {child for child in _processes() if _parent(child) == pid}


def command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def descriptors(pid: int) -> list[str]:
    """What the descriptors of a process are: "socket:[123]", "/memfd:flowmesh-page (deleted)", ..."""
    return sorted(_descriptors(pid))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def named_sockets(pids: set[int]) -> set[str]:
    """The inodes of the AF_UNIX sockets named flowmesh that these processes hold."""
    held = {target for pid in pids for target in descriptors(pid) if target.startswith("socket:")}
    return {inode for inode in all_named_sockets() if f"socket:[{inode}]" in held}


def all_named_sockets() -> set[str]:
    lines = _read(Path("/proc/net/unix")).splitlines()[1:]
    return {fields[6] for line in lines if len(fields := line.split()) > 7 and "flowmesh" in fields[7]}


def _processes() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit() and _state(int(name)) not in ("", "Z", "X"):
            yield int(name)


def _state(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].strip()[:1]


def _parent(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _environment(pid: int) -> dict[str, str]:
    pairs = (item.partition("=") for item in _read(Path(f"/proc/{pid}/environ")).split("\0"))
    return {name: value for name, _, value in pairs}


def _descriptors(pid: int) -> Iterator[str]:
    folder = Path(f"/proc/{pid}/fd")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(folder / name)
        except OSError:
            continue  # closed meanwhile: the listing's own, say


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has gone, or is another user's
        return ""
