"""`flowmesh doctor`: fit here, and each thing that is not is told with its fix."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowmesh.cli import diagnostics, doctor
from flowmesh.cli.diagnostics import Finding, examine
from flowmesh.security.keys import user_keys

from .conftest import Ended


def findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in examine()}


def test_this_machine_is_fit(flowmesh: Ended) -> None:
    ended = flowmesh("doctor", "--json")
    assert ended.returncode == 0, ended.stdout
    found = {each["what"]: each for each in json.loads(ended.stdout)}
    assert {
        "flowmesh",
        "kernel",
        "open files",
        "state directory",
        "opencv-python-headless",
        "ports",
        "clock",
    } <= found.keys()
    assert all(each["fix"] for each in found.values() if each["state"] != "ok")
    assert flowmesh("doctor").stdout.splitlines()[-1].startswith("0 problems, ")


def test_a_key_that_others_can_read_is_a_problem(flowmesh: Ended, own_state: Path) -> None:
    user_keys()
    (own_state / "flowmesh" / "user.key").chmod(0o644)
    ended = flowmesh("doctor")
    assert ended.returncode == 1
    assert "chmod 600" in ended.stdout
    (own_state / "flowmesh" / "user.key").chmod(0o600)
    (own_state / "flowmesh").chmod(0o777)
    ended = flowmesh("doctor")
    assert ended.returncode == 1
    assert "fix: others can write there: chmod 700" in ended.stdout


def test_a_package_that_is_broken_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "NEEDED", {"blosc3": "arrays"})
    monkeypatch.setattr(diagnostics, "EXTRAS", {"plot3": ("plot3>=18", "pictures")})
    found = findings()
    assert found["blosc3"].state == "problem"
    assert found["blosc3"].fix == "pip install --force-reinstall blosc3"
    assert found["plot3"] == Finding("plot3", "ok", 'not there, for pictures: pip install "plot3>=18"')


@pytest.mark.parametrize(
    ("name", "value", "what", "state"),
    [
        ("KERNEL", (99, 0), "kernel", "problem"),
        ("PYTHON", (9, 9), "python", "problem"),
        ("FILES", 2**40, "open files", "problem"),
        ("PROCESSES", 2**40, "processes", "warning"),
        ("BUFFER", 2**40, "socket buffers, wmem_max", "warning"),
    ],
)
def test_what_is_too_small(name: str, value: object, what: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, name, value)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    finding = findings()[what]
    assert finding.state == state
    assert finding.fix


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def test_ports_that_are_taken_and_no_network(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "PORTS", (taken, 0))
    monkeypatch.setattr(diagnostics, "reachable", lambda _: ("127.0.0.1",))
    found = findings()
    assert found["ports"].state == found["addresses"].state == "warning"


def test_a_look_that_fails_is_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def _broken() -> Iterator[Finding]:
        raise OSError("no /proc")

    monkeypatch.setattr(diagnostics, "_LOOKS", (_broken,))
    assert findings() == {"broken": Finding("broken", "warning", "can't be looked at: OSError: no /proc")}
    assert doctor.as_text(list(examine())) == (
        "warning  broken  can't be looked at: OSError: no /proc\n0 problems, 1 warning"
    )


def test_a_manager_of_ones_own_is_named(flowmesh: Ended) -> None:
    import flowmesh as fm

    with fm.Manager() as manager:
        assert f"one of yours listens at 127.0.0.1:{manager.port}" in flowmesh("doctor").stdout
