"""The command as such: its verbs, their help, wrong usage, how quick it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from flowmesh import __version__
from flowmesh.cli.docs_page import page
from flowmesh.cli.main import VERBS, main

from ..conftest import ROOT, SCALE
from .conftest import Ended

HEAVY = {"numpy", "cv2", "zmq", "networkx", "msgspec", "cloudpickle", "asyncio", "importlib.metadata", "logging"}


@pytest.mark.parametrize(
    "verb", [(), *((verb,) for verb in VERBS), ("token", "new"), ("token", "list"), ("token", "revoke")]
)
def test_every_verb_has_help(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: flowmesh", *verb]))


def test_help_is_there_at_once_and_imports_nothing_heavy(deadline: Callable[[float], float]) -> None:
    times: list[float] = []
    while len(times) < 30 and min(times, default=9.9) >= deadline(0.2):  # a busy machine delays some, not all
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "flowmesh", "--help"], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    assert min(times) < deadline(0.2)
    code = (
        "import sys\nfrom flowmesh.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(told.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("verb", ["status", "logs", "top", "stop", "token", "completion"])
def test_verbs_that_only_ask_spare_numpy_and_networkx(verb: str) -> None:
    code = f"import sys, flowmesh.cli.{verb}; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "cv2", "networkx"} & set(told.stdout.split())


def test_the_version(flowmesh: Ended) -> None:
    assert flowmesh("--version").stdout == f"flowmesh {__version__}\n"


def test_the_script_is_installed_with_the_package() -> None:
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="flowmesh")
    assert script.load() is main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["--fly"],
        ["--", "doctor", "x"],
        ["run"],
        ["run", "a.py", "b.py"],
        ["run", "a.py", "--wor", "2"],
        ["run", "missing.py"],
        ["check", "missing.py:graph"],
        ["graph", "a.py", "--format", "jpeg"],
        ["logs", "--level", "loud"],
        ["top", "--interval", "0"],
        ["top", "--count", "0"],
        ["stop", "--drain", "-1"],
        ["status", "--manager", "here"],
        ["status", "--manager", "127.0.0.1:99999"],
        ["token"],
        ["token", "revoke"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "flowmesh" in told.err
    assert "Traceback" not in told.err


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == page(), "run: python -m flowmesh.cli.docs_page > docs/cli.md"


def test_who_has_read_enough_may_go(flowmesh: Ended) -> None:
    command = f"{sys.executable} -m flowmesh doctor --json | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60 * SCALE)
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
