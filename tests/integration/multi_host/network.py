"""Hosts on one machine: network namespaces on a switch, with what befalls real ones: narrow lines, cuts, eavesdroppers.

A namespace lives as long as a process that waits for its standard input to close: all of it goes with the process that
made it, however that ends, and nothing has a name outside. It needs root and iproute2; `why_not` says what is missing.

        host a                 switch                 host b
      eth0 10.77.0.1  ──  a ─ bridge ─ b  ──  eth0 10.77.0.2
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from .capture import Capture
from .programs import Program

ROOT = Path(__file__).parents[3]
_NEEDED = ("ip", "tc", "nsenter", "unshare", "setpriv")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# A second user could not run an interpreter that lies in root's home: he may read what he likes. What is flowmesh's to
# refuse is so refused by flowmesh, not by the kernel.
_READS = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
_PREFIX = "10.77.0."
_GATEWAY = 254
_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp has it
NOBODY = 65534  # the second user

Way = Literal["in", "out"]


def why_not() -> str:
    """What keeps this machine from making hosts; empty where it can."""
    if os.geteuid() != 0:
        return "hosts are network namespaces, and to make them one has to be root"
    if missing := [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]:
        return f"hosts are network namespaces; this machine lacks {', '.join(missing)} (iproute2, util-linux)"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"network namespaces can't be made here: {tried.stderr.strip()}" if tried.returncode else ""


class Traffic(NamedTuple):
    """What has come in and gone out at a host's network card, in bytes, headers and all."""

    received: int
    sent: int


class Clocks(NamedTuple):
    """How far a host's clocks are ahead of this machine's: the wall clock in seconds, the monotonic one in whole seconds."""

    wall: float
    monotonic: int

    def environment(self, library: Path) -> dict[str, str]:
        """What shifts the wall clock of a process; the kernel shifts the other."""
        if not library.exists():
            source = Path(__file__).parent / "shifted.c"
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
        return {"LD_PRELOAD": str(library), "SHIFTED_NS": str(round(self.wall * 1e9))}


class Network:
    """A switch and the hosts on it. `routed`: each has a default route, as where there is an Internet.

    Args:
        folder: where each host has its home.
    """

    def __init__(self, folder: Path, *, routed: bool = True) -> None:
        self.hosts: dict[str, Host] = {}
        self._folder, self._routed = folder, routed
        self._switch = Namespace()
        self._switch.ip(
            "link add bridge type bridge", "link set bridge up", f"addr add {_PREFIX}{_GATEWAY}/24 dev bridge"
        )

    def host(self, name: str, clocks: Clocks | None = None) -> Host:
        """A new host, or the one of that name; `clocks` says how wrong those of a new one are."""
        if name not in self.hosts:
            self.hosts[name] = self._plug_in(name, len(self.hosts) + 1, clocks)
        return self.hosts[name]

    def _plug_in(self, name: str, number: int, clocks: Clocks | None) -> Host:
        inside = Namespace(clocks)
        self._switch.ip(
            f"link add {name} type veth peer name eth0 netns {inside.pid}", f"link set {name} master bridge up"
        )
        inside.ip("link set lo up", f"addr add {_PREFIX}{number}/24 dev eth0", "link set eth0 up")
        if self._routed:
            inside.ip(f"route add default via {_PREFIX}{_GATEWAY}")
        host = Host(name, f"{_PREFIX}{number}", inside, Line(self._switch, name), self._folder / name)
        if clocks is not None:
            host.environment |= clocks.environment(self._folder / "shifted.so")
        return host

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        self._switch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Namespace:
    """A network namespace, held by a process; with `clocks`, a time namespace, too."""

    def __init__(self, clocks: Clocks | None = None) -> None:
        made = ["unshare", "--net"]
        if clocks is not None:
            made += ["--time", f"--monotonic={clocks.monotonic}", f"--boottime={clocks.monotonic}"]
        self._holder = subprocess.Popen([*made, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(b".")
        self._holder.stdin.flush()
        if not self._holder.stdout.read(1):  # it answers from inside
            raise OSError("a network namespace could not be made; what unshare said stands above")
        self.pid = self._holder.pid
        namespaces = f"/proc/{self.pid}/ns"
        self._enter = ["nsenter", f"--net={namespaces}/net"]
        if clocks is not None:
            self._enter.append(f"--time={namespaces}/time_for_children")

    def enter(self, *command: str) -> list[str]:
        """The command line that runs a command inside. It keeps its process id."""
        return [*self._enter, "--", *command]

    def ip(self, *lines: str) -> None:
        self._run("ip", "-batch", "-", given="\n".join(lines))

    def tc(self, *words: str) -> None:
        self._run("tc", *words)

    def _run(self, *command: str, given: str = "") -> None:
        environment = os.environ | {"PATH": _PATH}
        done = subprocess.run(self.enter(*command), input=given, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise OSError(f"{' '.join(command)} {given!r}: {done.stderr.strip()}")

    def close(self) -> None:
        for pipe in (self._holder.stdin, self._holder.stdout):
            assert pipe is not None
            pipe.close()
        self._holder.wait()


class Line:
    """One direction of a cable: what goes into a device of a namespace. It may be narrow, or cut."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        self._namespace, self._device = namespace, device
        self._rate: str | None = None
        self._is_cut = self._is_shaped = False

    def limit(self, rate: str | None) -> None:
        self._rate = rate
        self._apply()

    def cut(self, is_cut: bool) -> None:
        self._is_cut = is_cut
        self._apply()

    def _apply(self) -> None:
        device = ("dev", self._device, "root")
        if self._is_cut:  # a queue that has room for nothing: packets vanish without a word
            self._namespace.tc("qdisc", "replace", *device, "pfifo", "limit", "0")
        elif self._rate:
            self._namespace.tc(
                "qdisc", "replace", *device, "tbf", "rate", self._rate, "burst", "64kb", "limit", "256kb"
            )
        elif self._is_shaped:
            self._namespace.tc("qdisc", "del", *device)
        self._is_shaped = self._is_cut or self._rate is not None


class Host:
    """A host: what runs on it sees its network only, and has a home and keys of its own.

    Attributes:
        address: at which the others reach it.
        folder: where its programs run; `state` within it is its XDG_STATE_HOME.
        environment: what all of them have in theirs.
    """

    def __init__(self, name: str, address: str, inside: Namespace, inbound: Line, folder: Path) -> None:
        self.name, self.address, self.folder = name, address, folder
        self._inside = inside
        self._lines: dict[Way, Line] = {"in": inbound, "out": Line(inside, "eth0")}
        self._started: list[Program | Capture] = []
        self._lost: set[str] = set()
        self.environment: dict[str, str] = {}
        folder.mkdir()
        self.state.mkdir()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    # --- programs ----------------------------------------------------------------------------------------------------

    def start(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        cwd: Path | None = None,
    ) -> Program:
        """Start a command. As another `user` it has a home and keys of that user's own."""
        home = self.folder if user is None else self._home_of(user)
        if user is not None:
            command = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *_READS, *command)
        whole = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{_PATH}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
        }
        program = Program(self._inside.enter(*command), cwd or home, whole | self.environment | dict(environment or {}))
        self._started.append(program)
        return program

    def python(
        self,
        source: str,
        *arguments: str,
        name: str = "script.py",
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> Program:
        """Start a program, written into the host's folder."""
        (self.folder / name).write_text(source)
        script = str(self.folder / name)
        return self.start(sys.executable, script, *arguments, environment=environment, user=user)

    def worker(self, *arguments: str, environment: Mapping[str, str] | None = None, user: int | None = None) -> Program:
        """Start `flowmesh-worker` with these arguments."""
        command = (sys.executable, "-m", "worker_entry.main", *arguments)
        return self.start(*command, environment=environment, user=user)

    def pids(self) -> list[int]:
        """All processes that run on this host, but for the one that holds it."""
        ours = os.readlink(f"/proc/{self._inside.pid}/ns/net")
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        return [pid for pid in pids if pid != self._inside.pid and _network_of(pid) == ours]

    def listeners(self) -> dict[int, int]:
        """{TCP port: process} of all that listen here."""
        rows = [line.split() for line in Path(f"/proc/{self._inside.pid}/net/tcp").read_text().splitlines()[1:]]
        ports = {f"socket:[{row[9]}]": int(row[1].partition(":")[2], 16) for row in rows if row[3] == _LISTENING}
        return {ports[target]: pid for pid in self.pids() for target in _descriptors(pid) if target in ports}

    def _home_of(self, user: int) -> Path:
        home = self.folder / f"user-{user}"
        if not home.exists():
            for folder in (home, home / "state"):
                folder.mkdir()
                os.chown(folder, user, user)
        return home

    # --- the cable ---------------------------------------------------------------------------------------------------

    def limit(self, rate: str | None, *ways: Way) -> None:
        """At most so much, as tc writes it ("100mbit"), in both directions or in one. None: as fast as it goes."""
        for way in ways or ("in", "out"):
            self._lines[way].limit(rate)

    def cut(self, *ways: Way) -> None:
        """From now on packets vanish, in both directions or in one; neither side is told."""
        for way in ways or ("in", "out"):
            self._lines[way].cut(True)

    def lose(self, *others: Host) -> None:
        """From now on what goes from here to those hosts vanishes, and what they send arrives."""
        for other in others:  # the address of a card that nobody has
            self._inside.ip(f"neigh replace {other.address} lladdr 02:00:00:00:00:00 nud permanent dev eth0")
            self._lost.add(other.address)

    def mend(self) -> None:
        """The end of all cuts and losses."""
        for line in self._lines.values():
            line.cut(False)
        while self._lost:
            self._inside.ip(f"neigh del {self._lost.pop()} dev eth0")

    def traffic(self) -> Traffic:
        """Of its network card, since it was made."""
        text = Path(f"/proc/{self._inside.pid}/net/dev").read_text()
        (line,) = [line for line in text.splitlines() if line.strip().startswith("eth0:")]
        figures = line.partition(":")[2].split()
        return Traffic(int(figures[0]), int(figures[8]))

    def capture(self) -> Capture:
        """Listen to all that its network card sends and receives, from now on."""
        capture = Capture(self._inside.enter(), self.folder / f"capture-{len(self._started)}")
        self._started.append(capture)
        return capture

    def close(self) -> None:
        for started in reversed(self._started):
            started.close()
        self._inside.close()

    def __repr__(self) -> str:
        return f"<host {self.name} {self.address}>"


def _descriptors(pid: int) -> list[str]:
    try:
        return [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []  # it has ended


def _network_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""
