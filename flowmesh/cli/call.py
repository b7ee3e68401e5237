"""`flowmesh call`: a function that lives on workers is called by its name, and its result printed."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ..errors import DeadlineError
from .connection import add_manager_option, named, the_only_one
from .exit_codes import FAILED, OK, UsageError

DESCRIPTION = """Call a function that lives on workers (`flowmesh-worker --functions FILE`) as a task of a running Manager, and
print what it returns. Each argument that is JSON goes as that value, any other as a text: `flowmesh call add 1 2`."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the function's name")
    parser.add_argument("arguments", nargs="*", metavar="ARG", help="its arguments")
    parser.add_argument("--kind", metavar="K", help="the kind of worker (python)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds that the call may take (60)")
    parser.add_argument(
        "--wait-timeout", type=float, default=10.0, metavar="S", help="seconds to wait for a worker that has it (10)"
    )
    add_manager_option(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(asked: argparse.Namespace) -> int:
    from ..jobs.executor import Executor
    from ..tasks import remote

    for option in ("timeout", "wait_timeout"):
        if not 0 < getattr(asked, option) < 1e6:
            raise UsageError(f"--{option.replace('_', '-')} must be a positive number of seconds")
    host, port = named(asked.manager) if asked.manager else the_only_one()
    limits = {"timeout": asked.timeout, "wait_timeout": asked.wait_timeout}
    with Executor(f"{host}:{port}", name="call", **limits) as executor:
        task = executor.submit(remote(asked.name, asked.kind), *map(_value, asked.arguments))
        try:
            result = task.result()
        except DeadlineError:
            raise
        except Exception as error:
            cause = error.__cause__ if error.__cause__ is not None else error
            sys.stderr.write(f"flowmesh call: {cause}\n")
            return FAILED
    sys.stdout.write(f"{_json(result) if asked.json else result}\n")
    return OK


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(result: Any) -> str:
    try:
        return json.dumps(result)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the result has no JSON: {error}; leave --json out") from error
