"""The documents say what is so: their programs run and print what stands below them, their pictures are those of the tables.

A program is a block of Python with `if __name__ == "__main__":`. A `text` block right behind it is what it prints.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from flowmesh.wire.plan_specs import REASONS
from flowmesh.wire.states import GRAPH, NODE, diagram
from flowmesh.wire.task_states import TASK

from .conftest import ROOT, Script

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


class Block(NamedTuple):
    """A block of Python; `printed` is None where nothing is said of it."""

    where: str
    source: str
    printed: str | None


def blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(f"{document.relative_to(ROOT)}:{line}", match[1], match[2]))
    return found


ELSEWHERE = "docs/howto/two-machines.md"  # it needs two: tests/integration/multi_host/test_howto.py follows it
PROGRAMS = [
    block for block in blocks() if '__name__ == "__main__"' in block.source and not block.where.startswith(ELSEWHERE)
]


@pytest.fixture
def people(tmp_path: Path) -> None:
    """The film that the README's program reads."""
    writer = cv2.VideoWriter(str(tmp_path / "people.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for number in range(5):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda block: block.where)
def test_a_program_runs_and_prints_what_is_said(program: Block, script: Script) -> None:
    ended = script(program.source)
    assert ended.returncode == 0, ended.stderr
    if program.printed is not None:
        assert ended.stdout == program.printed


def test_the_tour_and_the_tutorial_have_their_programs() -> None:
    assert sum(program.where.startswith("README.md") for program in PROGRAMS) == 1
    assert sum(program.printed is not None for program in PROGRAMS) >= 6


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.where)
def test_every_block_of_python_can_be_parsed(block: Block) -> None:
    ast.parse(block.source)


@pytest.mark.parametrize("picture", [diagram(GRAPH), diagram(NODE), diagram(TASK)], ids=["graph", "node", "task"])
def test_the_life_cycle_is_that_of_the_table(picture: str) -> None:
    assert f"```mermaid\n{picture}\n```" in (ROOT / "docs/architecture.md").read_text()


def test_every_reason_of_a_drop_is_in_the_table() -> None:
    text = (ROOT / "docs/delivery.md").read_text()
    table = text.partition("| reason | the chunk was dropped because |\n|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(REASONS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    missing = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert missing == []


def test_the_reference_names_all_that_is_public() -> None:
    import flowmesh

    reference = (ROOT / "docs/reference.md").read_text()
    modules = {"flowmesh.errors", "flowmesh.status"}
    named = [name for name in flowmesh.__all__ if name != "__version__"]
    places = {name: getattr(flowmesh, name) for name in named}
    missing = [
        name
        for name, value in places.items()
        if value.__module__ not in modules and f"::: {value.__module__}.{name}\n" not in reference
    ]
    assert missing == []
