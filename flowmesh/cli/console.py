"""Output of a run on stderr: lines of the log, and on a terminal a last line with its progress."""

from __future__ import annotations

import logging
import shutil
from types import TracebackType
from typing import TextIO

from ..wire.messages import AdminLogLine
from .logs import as_text

_LOG = "flowmesh"
_CLEAR = "\r\x1b[K"  # to the line's beginning, and away with what stood there


class Console(logging.Handler):
    """Writes to `out`; `status` works only where `live`. While it is entered, it has the log of flowmesh and its nodes,
    unless the user's program handles that itself."""

    def __init__(self, out: TextIO, live: bool) -> None:
        super().__init__(logging.INFO)
        self._out = out
        self._live = live
        self._status = ""
        self._told: set[str] = set()

    def status(self, text: str) -> None:
        """Replace the last line by this text; never wider than the terminal, where it could not be taken back."""
        if self._live and (text or self._status):
            before, self._status = self._status, text[: shutil.get_terminal_size().columns - 1]
            self._write(_CLEAR if before else "")

    def say(self, text: str) -> None:
        """Write a line, or several."""
        self._write(f"{_CLEAR if self._status else ''}{text}\n")

    def has_told(self, text: str) -> bool:
        """Whether the log has shown this already."""
        return text in self._told

    def emit(self, record: logging.LogRecord) -> None:
        node, text = getattr(record, "node", ""), record.getMessage()
        if record.levelno >= logging.WARNING or node:
            self._told.add(text)
            self.say(as_text(AdminLogLine(record.created, record.levelno, text, node, getattr(record, "worker", ""))))

    def __enter__(self) -> Console:
        log = logging.getLogger(_LOG)
        if not log.hasHandlers():
            log.addHandler(self)
            log.setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status("")
        logging.getLogger(_LOG).removeHandler(self)

    def _write(self, text: str) -> None:
        self.acquire()  # lines of the log come from the Manager's thread; handle() holds the lock already, and it may
        try:
            self._out.write(f"{text}{self._status}")
            self._out.flush()
        finally:
            self.release()
