"""The completion scripts: bash reads them and gives the right words; those of zsh and fish name all that there is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flowmesh.cli.completion import bash, fish, places, zsh
from flowmesh.cli.main import VERBS, make_parser

from .conftest import Ended

EVERYWHERE = list(places(make_parser()))


def completed(*words: str, cwd: Path) -> list[str]:
    """What bash offers in the place of the last word."""
    typed = " ".join(f"'{word}'" for word in ("flowmesh", *words))
    code = f'{bash(EVERYWHERE)}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; _flowmesh; echo "${{COMPREPLY[@]}}"'
    ended = subprocess.run(["bash", "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_is_printed_and_bash_can_read_it(shell: str, flowmesh: Ended) -> None:
    ended = flowmesh("completion", shell)
    assert ended.returncode == 0
    assert ended.stdout == {"bash": bash, "zsh": zsh}[shell](EVERYWHERE) + "\n"
    assert subprocess.run(["bash", "-n"], input=ended.stdout, text=True).returncode == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["st"], ["status", "stop"]),
        (["run", "--w"], ["--workers", "--wait-for"]),
        (["graph", "--format", ""], ["mermaid", "dot", "png", "svg"]),
        (["graph", "graph", "--format", "p"], ["png"]),
        (["token", ""], ["-h", "--help", "list", "new", "revoke"]),
        (["token", "new", "--e"], ["--expires"]),
        (["token", "list", "--e"], []),
        (["completion", "z"], ["zsh"]),
        (["logs", "--level", "w"], ["warning"]),
        (["status", "--manager", ""], []),
        (["status", "--json", "--m"], ["--manager"]),
    ],
)
def test_bash_offers_what_fits(words: list[str], offered: list[str], tmp_path: Path) -> None:
    assert completed(*words, cwd=tmp_path) == offered


def test_bash_offers_files_where_a_file_is_meant(tmp_path: Path) -> None:
    (tmp_path / "film.py").touch()
    assert completed("run", "fi", cwd=tmp_path) == ["film.py"]
    assert completed("graph", "--output", "fi", cwd=tmp_path) == ["film.py"]
    assert completed("token", "fi", cwd=tmp_path) == completed("status", "--manager", "fi", cwd=tmp_path) == []


def test_bash_offers_every_verb_and_every_option(tmp_path: Path) -> None:
    assert set(VERBS) < set(completed("", cwd=tmp_path))
    for place in EVERYWHERE:
        assert {word.text for word in place.words} <= set(completed(*place.path, "", cwd=tmp_path))


def test_fish_has_a_line_for_each_word(flowmesh: Ended) -> None:
    ended = flowmesh("completion", "fish")
    assert ended.stdout == fish(EVERYWHERE) + "\n"
    lines = ended.stdout.splitlines()
    assert all(line.startswith(("#", "complete -c flowmesh ")) for line in lines)
    assert all(line.replace("\\'", "").count("'") % 2 == 0 for line in lines[1:])
    assert "in so many seconds (3600)" in ended.stdout
    for place in EVERYWHERE:
        for word, _ in place.words:
            flag = word.lstrip("-")
            assert any(f"-l {flag} " in line or f"-s {flag} " in line or f"-a {flag} " in line for line in lines)
