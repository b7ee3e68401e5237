"""The threads of a recorder: encoders, which finish in any order, and the writer, which writes in the order of `put`.

The file is flushed each second: that is what a crash costs.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from ..errors import FlowmeshError
from .backlog import Backlog, BacklogChunk, BacklogItem, BacklogMark, SegmentEnd
from .session import StreamTotals, write_part_totals
from .writer import DiskFullError, SessionWriter

FLUSH_EVERY = 1.0  # seconds: what a crash costs
_AT_ONCE = 64  # chunks between two looks at the time
_TOTALS_EVERY = 10.0  # seconds
_PROBE = 8 << 20  # bytes that are written to see how fast the disk is


class RecorderThreads:
    """The threads of a recorder, from `setup` to `teardown`.

    Args:
        name: the recorder's, for errors.
        fails_when_full: whether a full disk is an error.

    Attributes:
        full: why nothing more is written; "" while it is.
    """

    def __init__(self, name: str, writer: SessionWriter, logger: logging.Logger, *, fails_when_full: bool) -> None:
        self.backlog = Backlog()
        self.full = ""
        self._name, self._writer, self._logger, self._fails_when_full = name, writer, logger, fails_when_full
        self._lock = threading.Lock()  # of the writer's totals
        self._segment_asked = False
        self._reported: set[tuple[str, str]] = set()
        self._failure: BaseException | None = None
        self._flushed = self._summed = 0.0  # when the file was flushed, and the totals written
        self._pools: dict[tuple[str, str] | None, ThreadPoolExecutor] = {}
        self._probe()
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    def pool_of(self, key: tuple[str, str] | None) -> ThreadPoolExecutor:
        """The threads that encode a stream of H.264, or all else."""
        pool = self._pools.get(key)
        if pool is None:
            count = 1 if key is not None else max(1, min(4, len(os.sched_getaffinity(0)) - 1))
            pool = self._pools[key] = ThreadPoolExecutor(count, "encoder")
        return pool

    def put(self, item: BacklogItem) -> None:
        """Hand on; waits while too much is on the way."""
        self.backlog.put(item)

    def begins_segment(self) -> bool:
        """Whether what follows goes into a new file."""
        if not self._segment_asked and self._writer.is_full_segment:
            self._segment_asked = True
            self.backlog.put(SegmentEnd())
            return True
        return False

    def raise_if_failed(self) -> None:
        """Raise what has ended the writer, or that the disk is full and that is to fail the graph."""
        if self._failure is not None:
            raise FlowmeshError(f"{self._name}: the writer has failed: {self._failure}") from self._failure
        if self.full and self._fails_when_full:
            raise FlowmeshError(f"{self._name}: {self.full}")

    def totals(self) -> list[StreamTotals]:
        """The totals of all streams so far."""
        with self._lock:
            return [msgspec.structs.replace(one) for one in self._writer.totals]

    def close(self) -> None:
        """Write all that waits, and close the file. What has failed meanwhile, `raise_if_failed` tells."""
        self.backlog.close()
        self._thread.join()
        for pool in self._pools.values():
            pool.shutdown()

    def leave_totals(self) -> None:
        """Write the totals beside the files: these may have been closed before the last chunk came."""
        try:
            write_part_totals(self._writer.part, self._writer.totals)
        except OSError as error:
            self._logger.error("the totals can't be written: %s", error.strerror)

    def _probe(self) -> None:
        """Find out before the first chunk whether there is room, and how fast the disk is."""
        part = self._writer.part
        free = self._writer.free_bytes()
        if free < _PROBE:
            self._writer.close()
            raise FlowmeshError(
                f"{self._name}: {part} has {max(free, 0) >> 20} MiB above the reserve of {self._writer.reserve >> 20} MiB: "
                "free some room, or give a smaller reserve"
            )
        path = part / ".probe"
        try:
            with path.open("wb", buffering=0) as file:
                begun = time.monotonic()
                file.write(bytes(_PROBE))
                os.fdatasync(file.fileno())
                took = time.monotonic() - begun
        except OSError as error:
            self._writer.close()
            raise FlowmeshError(f"{self._name}: {part} can't be written: {error.strerror}") from error
        finally:
            path.unlink(missing_ok=True)
        self._logger.info("records into %s (%.0f MB/s)", part, _PROBE / 1e6 / max(took, 1e-6))

    # --- the writer's thread -----------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        try:
            self._act(self._writer.flush)  # schemas, before anything else can be lost
            self._flushed = self._summed = time.monotonic()
            while not self.backlog.is_done:
                items = self.backlog.take(max(0.0, self._flushed + FLUSH_EVERY - time.monotonic()))
                for begin in range(0, len(items), _AT_ONCE):
                    some = items[begin : begin + _AT_ONCE]
                    for item in some:
                        self._write(item)
                    self.backlog.written(some)
                    self._flush_if_due()
                self._flush_if_due()
            self._act(self._writer.close)
        except BaseException as error:
            self._failure = error
            self.backlog.close()

    def _flush_if_due(self) -> None:
        now = time.monotonic()
        if now - self._flushed < FLUSH_EVERY:
            return
        if now - self._summed >= _TOTALS_EVERY:
            self._summed = now
            self._act(lambda: self._writer.write_totals(time.time_ns()))
        self._act(self._writer.flush)
        self._flushed = time.monotonic()

    def _write(self, item: BacklogItem) -> None:
        if isinstance(item, BacklogMark):
            self._act(lambda: self._writer.write_mark(item.time_ns, item.text))
        elif isinstance(item, SegmentEnd):
            self._act(self._writer.next_segment)
            self._segment_asked = False
        else:
            self._write_chunk(item)

    def _write_chunk(self, item: BacklogChunk) -> None:
        messages = []
        try:
            for record in item.records:
                encoded = record.result() if isinstance(record, Future) else record
                if encoded.fallback:
                    self._report(item.node, encoded.entry.name, f"is not what its option takes: {encoded.entry.form}")
                item.stamp.records.append(encoded.entry)
                messages.append(encoded.data)
        except Exception as error:  # of a codec: one chunk is lost, the recording goes on
            self._report(item.node, "a chunk", f"can't be recorded: {error}")
            self._skip(item, "failed")
            return
        if self.full:
            self._skip(item, "disk_full")
            return
        try:
            with self._lock:
                self._writer.write_chunk(item.node, item.created_ns, item.stamp, messages)
        except DiskFullError as error:
            self._become_full(error)
            self._skip(item, "disk_full")

    def _skip(self, item: BacklogChunk, reason: str) -> None:
        with self._lock:
            self._writer.skip_chunk(item.node, item.stamp.run, item.stamp.n, reason)

    def _act(self, action: Callable[[], None]) -> None:
        if not self.full:
            try:
                action()
            except DiskFullError as error:
                self._become_full(error)

    def _become_full(self, error: DiskFullError) -> None:
        self.full = f"the recording has ended: {error}"
        self._logger.error("%s", self.full)

    def _report(self, node: str, record: str, what: str) -> None:
        """Once for each record."""
        if (node, record) not in self._reported:
            self._reported.add((node, record))
            self._logger.warning("%s of %s %s", record, node, what)
