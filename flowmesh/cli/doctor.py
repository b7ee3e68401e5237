"""`flowmesh doctor`: whether this machine is fit for flowmesh, and what to do where it is not."""

from __future__ import annotations

import argparse
import json
import sys

from .diagnostics import Finding, examine, summary
from .exit_codes import FAILED, OK

DESCRIPTION = """Look whether this machine is fit: kernel, limits, ports, the user's key, packages and codecs, clock. Each
problem comes with its fix. A warning is something that not everybody needs. Exit status 1 if there is a problem."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON list of findings")


def run(asked: argparse.Namespace) -> int:
    findings = list(examine())
    text = json.dumps([finding._asdict() for finding in findings]) if asked.json else as_text(findings)
    sys.stdout.write(f"{text}\n")
    return FAILED if any(finding.state == "problem" for finding in findings) else OK


def as_text(findings: list[Finding]) -> str:
    """A line for each, a second one with what to do."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<7}  {finding.what:<{width}}  {finding.text}")
        if finding.fix:
            lines.append(f"{'':<7}  {'':<{width}}  fix: {finding.fix}")
    return "\n".join([*lines, summary(findings)])
