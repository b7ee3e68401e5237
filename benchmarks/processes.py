"""What a process and all its descendants use, as the kernel counts it."""

from __future__ import annotations

import os
from collections import defaultdict
from glob import glob
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and its descendants; those that end meanwhile are left out."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _text(f"/proc/{entry}/stat")):
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry))
    found = [pid]
    for member in found:
        found += children[member]
    return found


def memory(pids: list[int]) -> float:
    """Their proportional set size in MB (10⁶ bytes): pages that n processes share count 1/n in each."""
    lines = (line.split() for pid in pids for line in _text(f"/proc/{pid}/smaps_rollup").splitlines())
    return sum(int(line[1]) for line in lines if line[0] == "Pss:") * 1024 / 1e6


def processor_time(pids: list[int]) -> float:
    """The seconds that all their threads ran."""
    files = (file for pid in pids for file in glob(f"/proc/{pid}/task/*/schedstat"))
    return sum(int(text.split()[0]) for file in files if (text := _text(file))) / 1e9


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # it has just ended
        return ""
