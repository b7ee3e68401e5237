"""A program that runs beside the test: its output is kept as it comes, and every wait for it has an end."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_SHOWN = 6000  # characters of a failed program's output


class Program:
    """A running command. What it prints, to either stream, is in `output`."""

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.output = ""
        self._command = command
        self._heard = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {command[-1]}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def says(self, pattern: str, within: float, since: int = 0) -> re.Match[str]:
        """Wait until its output, from the character `since` on, has what the pattern finds."""
        sought = re.compile(pattern, re.MULTILINE)
        until = time.monotonic() + within
        with self._heard:
            while (found := sought.search(self.output, since)) is None:
                left = until - time.monotonic()
                over = not self._reader.is_alive()
                if left <= 0 or over:
                    why = "it has ended" if over else f"not within {within:g} s"
                    raise AssertionError(f"{self} did not say {pattern!r} ({why}); it said:\n{self.output[-_SHOWN:]}")
                self._heard.wait(left)
        return found

    def ends(self, within: float) -> int:
        """Wait for its end and give its exit status."""
        try:
            status = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} did not end within {within:g} s; it said:\n{self.output[-_SHOWN:]}") from None
        self._reader.join(5)  # the rest of its output; a child of it may keep that open
        return status

    def succeeds(self, within: float) -> str:
        """Wait for its end, which must be a good one, and give its output."""
        status = self.ends(within)
        assert status == 0, f"{self} ended with {status}; it said:\n{self.output[-_SHOWN:]}"
        return self.output

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def close_input(self) -> None:
        """The end of its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.join(10)
        if not self._reader.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._heard:
                self.output += line
                self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def __repr__(self) -> str:
        return f"<{' '.join(self._command)[-120:]}>"
