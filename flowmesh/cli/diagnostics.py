"""Checks of a machine's fitness for flowmesh. They change nothing, except that they make a missing user's key.

A check never raises: a failed check is a finding.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import platform
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..errors import FlowmeshError
from ..membership.local_discovery import managers
from ..nodes import opencv
from ..security.addresses import reachable
from ..security.keys import KeyPair, user_keys
from ..transport.control_link import PORTS
from .table import counted, size

KERNEL = (5, 3)  # pidfd_open; memfd_create and its seals are older
PYTHON = (3, 11)
FILES = 1024  # descriptors: a node takes some ten of its worker
BUFFER = 212_992  # bytes, the kernel's own default: a packet of a channel has up to 208 kB
PROCESSES = 256

NEEDED = {
    "numpy": "arrays",
    "cv2": "pictures and cameras in the ready-made nodes",
    "av": "films and network cameras in the ready-made nodes",
    "simplejpeg": "JPEG pictures between hosts",
    "blosc2": "exact arrays between hosts",
    "lz4.frame": "texts and bytes between hosts",
    "msgspec": "messages",
    "cloudpickle": "code",
    "networkx": "graphs",
    "zmq": "links",
}
EXTRAS = {
    "matplotlib": ("matplotlib>=3.10.8", "PNG pictures of graphs"),
    "zeroconf": ("zeroconf>=0.132.2", "finding Managers on the local network"),
}
_PACKAGES = {"cv2": "opencv-python-headless", "lz4.frame": "lz4", "zmq": "pyzmq"}

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        what: the subject of the check.
        state: "ok", "warning" (some things will not work) or "problem".
        text: the result.
        fix: what to do about it.
    """

    what: str
    state: str
    text: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """All findings."""
    for look in _LOOKS:
        try:
            yield from look()
        except Exception as error:  # a check that fails is a finding, too
            yield Finding(look.__name__.strip("_"), "warning", f"can't be looked at: {type(error).__name__}: {error}")


def _versions() -> Iterator[Finding]:
    running = sys.version_info[:2]
    yield _judged("flowmesh", True, f"{__version__}, on Python {platform.python_version()}")
    if running < PYTHON:
        yield Finding("python", "problem", f"{running[0]}.{running[1]}", "install Python 3.11 or a newer one")


def _kernel() -> Iterator[Finding]:
    text = f"{platform.system()} {platform.release()} on {platform.machine()}"
    numbers = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdecimal())
    fits = platform.system() == "Linux" and numbers >= KERNEL
    yield _judged("kernel", fits, text, f"flowmesh needs Linux {KERNEL[0]}.{KERNEL[1]} or newer")
    with ExitStack() as stack:
        memory = os.memfd_create("flowmesh-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        stack.callback(os.close, memory)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        stack.callback(os.close, os.pidfd_open(os.getpid()))
    yield Finding("shared memory", "ok", "sealed files in memory and process descriptors work; /dev/shm is not used")


def _limits() -> Iterator[Finding]:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _judged(
        "open files",
        _unlimited(most) or most >= FILES,
        f"{soft}, and workers raise it to {_shown(most)}",
        f"raise it to {FILES} or more: `ulimit -Hn`, or LimitNOFILE= of the systemd unit",
    )
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    yield _judged(
        "processes",
        _unlimited(most) or most >= PROCESSES,
        f"{_shown(most)}; a node is a process",
        "raise it: `ulimit -u`, or TasksMax= of the systemd unit",
        "warning",
    )
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield Finding("memory locks", "ok", f"{_shown(soft)} bytes; flowmesh locks no memory")
    for name in ("wmem_default", "wmem_max", "rmem_max"):
        count = int(Path(f"/proc/sys/net/core/{name}").read_text())
        fix = f"sysctl -w net.core.{name}={BUFFER}"
        yield _judged(f"socket buffers, {name}", count >= BUFFER, size(count), fix, "warning")


def _state() -> Iterator[Finding]:
    try:
        user_keys()
    except FlowmeshError as error:
        yield Finding("state directory", "problem", str(error), "do what it says: without the key nobody can join")
        return
    folder = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "flowmesh"
    mode = folder.stat().st_mode & 0o777
    text = f"{folder} ({mode:o}); the key is this user's alone"
    yield _judged("state directory", not mode & 0o022, text, f"others can write there: chmod 700 {folder}")


def _packages() -> Iterator[Finding]:
    for module, purpose in NEEDED.items():
        error = _import_error(module)
        text = f"{_version(module)}, for {purpose}" if not error else f"for {purpose}: {error}"
        yield _judged(_package(module), not error, text, f"pip install --force-reinstall {_package(module)}")
    for module, (requirement, purpose) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        text = (
            f"{_version(module)}, for {purpose}" if there else f'not there, for {purpose}: pip install "{requirement}"'
        )
        yield Finding(_package(module), "ok", text)
    text, repair = opencv.conflict(opencv.installed())
    if text:
        yield Finding("opencv", "problem", text, repair)
    KeyPair.make()
    yield Finding("encryption", "ok", "libzmq has CURVE")


def _ports() -> Iterator[Finding]:
    for manager in managers(user_keys().public):
        yield Finding("manager", "ok", f"one of yours listens at {manager.host}:{manager.port} (process {manager.pid})")
    free = next((port for port in PORTS if port and _is_free(port)), 0)
    text = f"a Manager here would take {free}" if free else "9000 to 9099 are all taken: a Manager takes any free one"
    yield _judged("ports", bool(free), text, "give the Manager a port: Manager(port=...)", "warning")
    others = [address for address in reachable("0.0.0.0") if not address.startswith("127.")]
    yield _judged(
        "addresses",
        bool(others),
        f"other machines may reach this one at {', '.join(others) or 'none'}",
        "connect it to a network, if workers are to join from other machines",
        "warning",
    )


def _clock() -> Iterator[Finding]:
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only reads
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    yield _judged(
        "clock",
        state != _TIME_ERROR,
        "synchronised" if state != _TIME_ERROR else "not synchronised (or a container can't see it)",
        "run chrony or systemd-timesyncd; flowmesh measures the difference between its hosts' clocks by itself",
        "warning",
    )


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (_versions, _kernel, _limits, _state, _packages, _ports, _clock)


def _judged(what: str, fits: bool, text: str, fix: str = "", otherwise: str = "problem") -> Finding:
    return Finding(what, "ok", text) if fits else Finding(what, otherwise, text, fix)


def _unlimited(limit: int) -> bool:
    return limit == resource.RLIM_INFINITY


def _shown(limit: int) -> str:
    return "without limit" if _unlimited(limit) else str(limit)


def _package(module: str) -> str:
    if module == "cv2":
        return next(iter(opencv.installed()), _PACKAGES[module])
    return _PACKAGES.get(module, module)


def _version(module: str) -> str:
    try:
        return metadata.version(_package(module))
    except metadata.PackageNotFoundError:
        return "there, installed in another way"


def _import_error(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # what a broken package raises when it is imported may be anything
        return f"{type(error).__name__}: {error}"
    return ""


def _is_free(port: int) -> bool:
    with socket.socket() as trying:
        try:
            trying.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def summary(findings: list[Finding]) -> str:
    """All of it in one line."""
    problems = sum(finding.state == "problem" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    return f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}"
