"""The page on two machines is followed word for word: its programs, its commands, and what it says they print.

A line `here$ command` in a `console` block is typed on that host; the lines below it are what it prints: `…` stands for
anything, and alone in a line for what comes later, while the next commands run. Numbers in what is printed may be others.
A program is saved under the name that stands above it.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .network import ROOT, Host
from .programs import Program

PAGE = (ROOT / "docs/howto/two-machines.md").read_text()
SAVED = re.compile(r"Save [^\n]*?`(\w+\.py)`(?:(?!```).)*```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(here|there)\$ (.*)$")
TOKEN = "fm1-…"
LATER = "…"
COMMANDS = {"flowmesh": "flowmesh", "flowmesh-worker": "worker_entry.main"}  # as modules: they need not be installed

Deadline = Callable[[float], float]


class Typed(NamedTuple):
    """A command, and what the page says it prints: at once, and later."""

    host: str
    command: str
    at_once: list[str]
    later: list[str]


class Running(NamedTuple):
    typed: Typed
    program: Program


def typed() -> Iterator[Typed]:
    for block in CONSOLE.findall(PAGE):
        first, *lines = block.splitlines()
        found = PROMPT.match(first)
        assert found is not None, f"no prompt: {first}"
        until = lines.index(LATER) if LATER in lines else len(lines)
        yield Typed(found[1], found[2], lines[:until], lines[until + 1 :])


def test_the_page_is_true(here: Host, there: Host, deadline: Deadline) -> None:
    programs = dict(SAVED.findall(PAGE))
    assert len(programs) == 2
    for name, source in programs.items():
        (here.folder / name).write_text(source)
    hosts = {"here": here, "there": there}
    running: list[Running] = []
    for one in typed():
        if one.command.startswith(("flowmesh run", "python ")):  # the next program: the one before is over
            _end(running, deadline)
        if one.command == "flowmesh status":
            _look(hosts[one.host], one, deadline)
            continue
        program = hosts[one.host].start(*_command(one.command, running, deadline))
        running.append(Running(one, program))
        _prints(program, one.at_once, deadline)
    _end(running, deadline)


def _look(host: Host, one: Typed, deadline: Deadline) -> None:
    """A command that shows what is now: it is typed again until what it shows has come about."""
    until = time.monotonic() + deadline(20)
    while True:
        program = host.start(*_command(one.command, [], deadline))
        program.succeeds(deadline(20))
        try:
            return _prints(program, one.at_once + one.later, deadline)
        except AssertionError:
            if time.monotonic() > until:
                raise


def _command(line: str, running: list[Running], deadline: Deadline) -> list[str]:
    if TOKEN in line:
        line = line.replace(TOKEN, running[-1].program.says(r"(fm1-\S+)", deadline(20))[1])
    name, *arguments = shlex.split(line)
    return [sys.executable, *(["-m", COMMANDS[name]] if name in COMMANDS else []), *arguments]


def _end(running: list[Running], deadline: Deadline) -> None:
    """All of them end well, and have printed all that is said."""
    for one in running:
        assert one.program.ends(deadline(60)) == 0, one.program.output
        _prints(one.program, one.typed.at_once + one.typed.later, deadline)
    running.clear()


def _prints(program: Program, lines: list[str], deadline: Deadline) -> None:
    """Each of the lines, in their order."""
    since = 0
    for line in filter(str.strip, lines):
        since = program.says(_pattern(line), deadline(40), since).end()


def _pattern(line: str) -> str:
    parts = re.findall(r"(…)|(\s+)|(\d[\d.,]*(?: [kM]?B\b)?)|([^…\s\d]+)", line)
    kinds = (".*", r"\s+", r"[\d.,]+(?: [kM]?B)?")
    return rf"^{''.join(re.escape(part[3]) or kinds[[bool(text) for text in part].index(True)] for part in parts)}\s*$"
