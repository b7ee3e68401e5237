"""What holds for every test: nothing is left behind, the user's own state is not touched, deadlines scale by one variable."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from .leak_check import MARK, Snapshot

ROOT = Path(__file__).parents[1]
SCALE = float(os.environ.get("FLOWMESH_TEST_SCALE", "1"))
SHARING = {
    "failing",
    "sharing",
}  # folders whose tests share workers and look themselves for what each leaves; the end tells
SETTLES_WITHIN = 30.0  # seconds: a worker whose script has gone tears its nodes down first

# Started in the background, a shell has us ignore these; the scripts that the tests start must not inherit that.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# A slow machine is no error of the code; what hangs is ended by pytest-timeout.
hypothesis.settings.register_profile("flowmesh", deadline=None)
hypothesis.settings.load_profile("flowmesh")


class Script(Protocol):
    """Runs a user's program; see the fixture `script`."""

    def __call__(
        self,
        source: str,
        *arguments: str,
        timeout: float = 60.0,
        cwd: Path | None = None,
        files: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def mark() -> str:
    """What this run's processes have in their environment."""
    return secrets.token_hex(8)


@pytest.fixture(scope="session", autouse=True)
def state_home(mark: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where flowmesh keeps the user's keys during the tests; and a last look when all of them have ended."""
    before = Snapshot(mark)
    home = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(home))
        environment.setenv(MARK, mark)
        yield home
    _nothing_is_left(before, "the whole run")


@pytest.fixture(autouse=True)
def nothing_is_left(mark: str, state_home: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that leaves a process, a thread, a descriptor, a mapping or a file behind."""
    before = Snapshot(mark)
    yield
    if request.path.parent.name not in SHARING:
        _nothing_is_left(before, "the test")


@pytest.fixture(scope="session")
def deadline() -> Callable[[float], float]:
    """Seconds on this machine: those of a quick one times FLOWMESH_TEST_SCALE."""
    return lambda seconds: seconds * SCALE


@pytest.fixture
def script(tmp_path: Path, mark: str) -> Script:
    """Runs a program in a fresh folder, as a user would, and checks that nothing that it started outlives it.

    `files` are written beside it; `cwd` is that folder unless given; `timeout` is scaled.
    """

    def run(
        source: str,
        *arguments: str,
        timeout: float = 60.0,
        cwd: Path | None = None,
        files: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        for name, text in {**(files or {}), "script.py": textwrap.dedent(source)}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        before = Snapshot(mark)
        ended = _run([sys.executable, str(tmp_path / "script.py"), *arguments], cwd or tmp_path, timeout * SCALE)
        _nothing_is_left(before, f"the script, which printed\n{ended.stdout}{ended.stderr}\nand")
        return ended

    return run


def _run(command: list[str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    # Files, not pipes: a process that outlives the script would keep a pipe open, and us waiting for its end.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        status: int | None = None
        try:
            status = subprocess.run(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, timeout=timeout
            ).returncode
        except subprocess.TimeoutExpired:
            pass
        out.seek(0)
        errors.seek(0)
        ended = subprocess.CompletedProcess(command, -1 if status is None else status, out.read(), errors.read())
    if status is None:
        pytest.fail(f"the script did not end within {timeout:g} s; it printed\n{ended.stdout}{ended.stderr}")
    return ended


def _nothing_is_left(before: Snapshot, what: str) -> None:
    if left := before.left(SETTLES_WITHIN * SCALE):
        pytest.fail("\n    ".join([f"{what} left behind:", *left]), pytrace=False)
