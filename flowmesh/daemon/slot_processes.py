"""The processes of a worker's slots: a fork server of their own, message sockets, logs, folders and kills. The Machine
decides.

They exist only after the first task has come.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence

from ..channel.message_socket import MessageSocket, close_all
from ..channel.packet_socket import PeerGone
from ..control.jobs.slots import ForkSlot, SendToJobs, SendToSlot, SignalSlot, SlotEffect, SlotsMachine
from ..errors import LinkError, WorkerError
from ..forkserver.client import ForkServerClient
from ..forkserver.protocol import Forked
from ..wire.job_messages import SetUpSlot, decode_job, encode_job
from ..wire.messages import TaskPacket

SLOT = "flowmesh.jobs.process"  # what a slot's process runs
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LOG_KEPT = 64 * 1024  # bytes
_LOG_TRIMMED = 4 * 1024**2  # bytes of a log beyond which its beginning is given back


class SlotProcess:
    """The daemon's record of one slot process."""

    def __init__(self, pipe: MessageSocket, log: int, folder: str) -> None:
        self.pipe: MessageSocket | None = pipe
        self.log = log
        self.folder = folder
        self.pid = 0
        self.awaited_signal: int | None = None

    def read_log(self) -> str:
        """The last of what it printed."""
        size = os.fstat(self.log).st_size
        return os.pread(self.log, _LOG_KEPT, max(0, size - _LOG_KEPT)).decode(errors="replace")


class SlotProcesses:
    """All slots of a worker. `send` takes what goes to the Manager."""

    def __init__(self, worker: str, slots: int, functions: str, send: Callable[[TaskPacket], object]) -> None:
        self._worker = worker
        self._functions = functions
        self._send = send
        self._machine = SlotsMachine(worker, slots)
        self._spawner: ForkServerClient | None = None
        self._processes: dict[int, SlotProcess] = {}
        self._cleaners: list[threading.Thread] = []

    @property
    def is_empty(self) -> bool:
        """Whether no process is left."""
        return not self._processes

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        return self._machine.due

    def descriptors(self) -> list[int]:
        """The file descriptors to read."""
        server = [self._spawner.fileno()] if self._spawner is not None else []
        return server + [each.pipe.fileno() for each in self._processes.values() if each.pipe is not None]

    # --- events -------------------------------------------------------------------------------------------------------

    def received(self, packet: TaskPacket, now: float) -> None:
        """Handle a packet of the Manager, which sends a damaged one again."""
        try:
            self._do(self._machine.received(packet, now), now)
        except LinkError:
            pass

    def disowned(self, now: float) -> None:
        """End all: the Manager has given up the worker, and all that runs here."""
        self._do(self._machine.disowned(now), now)

    def end_all(self, now: float, *, at_once: bool = False) -> None:
        """End all: the worker leaves."""
        self._do(self._machine.end_all(now, at_once=at_once), now)

    def turn(self, now: float) -> None:
        """Read the messages of the processes and the fork server, and check deadlines."""
        for slot in list(self._processes):
            self._hear(slot, now)
        self._hear_spawner(now)
        if now >= self._machine.due:
            self._do(self._machine.tick(now), now)

    def beat(self) -> None:
        """Send again what waits, and trim logs. Called from time to time."""
        for process in self._processes.values():
            if process.pipe is not None:
                process.pipe.flush()
            _trim(process.log)

    def close(self) -> None:
        """Leave nothing behind; kill what still runs."""
        for slot, process in list(self._processes.items()):
            self._signal(slot, signal.SIGKILL)
            self._release(process)
        self._processes.clear()
        if self._spawner is not None:
            self._spawner.close()
        for cleaner in self._cleaners:
            cleaner.join(5.0)

    def _hear(self, slot: int, now: float) -> None:
        """Read what a process has sent; its end of file only ends the reading."""
        process = self._processes.get(slot)
        try:
            while process is not None and process.pipe is not None and (received := process.pipe.receive()) is not None:
                close_all(received[1])
                try:
                    self._do(self._machine.slot_said(slot, decode_job(received[0]), now), now)
                except LinkError:
                    pass  # the task has closed, or written to, what is not its own
        except PeerGone:
            if process is not None and process.pipe is not None:
                process.pipe.close()
                process.pipe = None

    def _hear_spawner(self, now: float) -> None:
        if self._spawner is None:
            return
        try:
            happened = self._spawner.news()
        except WorkerError:
            self._spawner.close()
            self._spawner = None
            for slot in list(self._processes):
                self._exited(slot, -signal.SIGKILL, now)
            return
        for news in happened:
            if isinstance(news, Forked):
                self._forked(news.seat, news.pid)
            else:
                for ended in [slot for slot, each in self._processes.items() if each.pid == news.pid]:
                    self._exited(ended, news.status, now)

    def _forked(self, slot: int, pid: int) -> None:
        process = self._processes.get(slot)
        if process is None:
            return
        process.pid = pid
        if process.awaited_signal is not None:
            self._signal(slot, process.awaited_signal)

    def _exited(self, slot: int, status: int, now: float) -> None:
        self._hear(slot, now)
        process = self._processes.pop(slot)
        log = process.read_log()
        self._release(process)
        self._do(self._machine.exited(slot, status, log, now), now)

    # --- effects --------------------------------------------------------------------------------------------------------

    def _do(self, effects: Sequence[SlotEffect], now: float) -> None:
        for effect in effects:
            match effect:
                case SendToJobs(packet=packet):
                    self._send(packet)
                case ForkSlot(slot=slot):
                    self._fork(slot)
                case SendToSlot(slot=slot, message=message):
                    process = self._processes.get(slot)
                    if process is not None and process.pipe is not None:
                        process.pipe.send(encode_job(message))
                case SignalSlot(slot=slot, kill=kill):
                    self._signal(slot, signal.SIGKILL if kill else signal.SIGTERM)

    def _fork(self, slot: int) -> None:
        if self._spawner is None:
            self._spawner = ForkServerClient(SLOT, environment=_ONE_THREAD)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._spawner.fork(slot, SLOT, theirs.fileno())
        theirs.close()
        log = os.memfd_create("flowmesh-task-log", os.MFD_CLOEXEC)
        # appended to, whatever the processes that share it do: opened anew, as a memfd has no such flag at first
        appending = os.open(f"/proc/self/fd/{log}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.close(log)
        # Its process makes the folder, so that nothing is left of a daemon that dies before that process knows its name.
        folder = os.path.join(tempfile.gettempdir(), f"flowmesh-task-{secrets.token_hex(8)}")
        process = SlotProcess(MessageSocket(ours.detach()), appending, folder)
        self._processes[slot] = process
        setup = SetUpSlot(process.folder, self._worker, self._functions)
        assert process.pipe is not None
        process.pipe.send(encode_job(setup), [appending])

    def _signal(self, slot: int, number: int) -> None:
        process = self._processes.get(slot)
        if process is None:
            return
        if not process.pid:
            process.awaited_signal = number
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _release(self, process: SlotProcess) -> None:
        if process.pipe is not None:
            process.pipe.close()
        os.close(process.log)
        self._cleaners = [each for each in self._cleaners if each.is_alive()]
        if os.path.isdir(process.folder):
            cleaner = threading.Thread(target=shutil.rmtree, args=(process.folder, True), name="flowmesh-remove")
            cleaner.start()
            self._cleaners.append(cleaner)


def _trim(log: int) -> None:
    """Give the beginning of a long log back to the kernel; what is kept stays where it is."""
    size = os.fstat(log).st_size
    if os.fstat(log).st_blocks * 512 > _LOG_TRIMMED:
        import ctypes

        keep_size, punch_hole = 1, 2
        ctypes.CDLL(None, use_errno=True).fallocate(
            log, keep_size | punch_hole, ctypes.c_long(0), ctypes.c_long(max(0, size - _LOG_KEPT) // 4096 * 4096)
        )
