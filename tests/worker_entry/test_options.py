"""The command line of flowmesh-worker, and where its token may come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowmesh.errors import LinkError
from worker_entry.options import hide_token, parser, read_token

SECRET = "fm1-" + "s" * 30


@pytest.mark.parametrize(
    "arguments",
    [["--token", SECRET], ["--join", SECRET], [f"--token={SECRET}"], [f"--join={SECRET}"]],
    ids=lambda arguments: arguments[0][:8],
)
def test_a_token_is_taken_out_of_the_arguments(arguments: list[str]) -> None:
    given = ["--name", "n", *arguments, "--stay"]
    assert hide_token(given) == SECRET
    assert SECRET not in " ".join(given)
    asked = parser().parse_args(given)
    assert (asked.name, asked.stay, asked.token) == ("n", True, "")


def test_without_one_nothing_changes() -> None:
    given = ["--name", "n"]
    assert hide_token(given) is None
    assert given == ["--name", "n"]


def test_a_variable_is_taken_out_of_the_environment_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWMESH_TOKEN", SECRET)
    assert hide_token([]) == SECRET
    assert "FLOWMESH_TOKEN" not in os.environ
    monkeypatch.setenv("FLOWMESH_TOKEN", SECRET)
    assert hide_token(["--token", "@file"]) == "@file"
    assert "FLOWMESH_TOKEN" not in os.environ


def test_proc_shows_neither_of_them_any_more() -> None:
    source = """
import sys
from pathlib import Path
from worker_entry.options import hide_token
print(hide_token(sys.argv[1:]) == sys.argv[2])
for name in ("cmdline", "environ"):
    print(sys.argv[2] in Path(f"/proc/self/{name}").read_text(), Path(f"/proc/self/{name}").read_text().count("*" * 34))
print("KEPT=yes" in Path("/proc/self/environ").read_text())
"""
    run = subprocess.run(
        [sys.executable, "-c", source, "--token", SECRET],
        env={**os.environ, "FLOWMESH_TOKEN": SECRET, "KEPT": "yes", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["True", "False", "1", "False", "1", "True"]


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    assert read_token(f"@{tmp_path / 'token'}") == SECRET
    assert read_token(SECRET) == SECRET
    assert read_token(None) is None
    with pytest.raises(LinkError, match="--token is empty"):
        read_token("")
    with pytest.raises(FileNotFoundError):
        read_token("@nowhere")


@pytest.mark.parametrize(
    "arguments", [["--port", "0"], ["--port", "x"], ["--wport", "70000"], ["--tok", SECRET], ["--name", ""]]
)
def test_what_can_not_be_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert "invalid" not in capsys.readouterr().err  # argparse's own words, which name a function of ours


def test_help_is_quick_to_give_and_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    for flag in (
        "--name",
        "--ip",
        "--port",
        "--id",
        "--wport",
        "--token",
        "--join",
        "--recordings",
        "--no-pickle",
        "--stay",
        "--zeroconf",
    ):
        assert flag in shown
    code = "import sys; import worker_entry.main; print([m for m in ('zmq', 'numpy', 'networkx') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
