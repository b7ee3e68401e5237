"""`flowmesh VERB ...`: finds the verb's module, and turns errors into words and exit statuses.

Nothing is imported here but argparse: `flowmesh --help` is there at once. A verb is a module with two functions,
`configure(parser)` and `run(asked)`, which returns the exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import FlowmeshError
from .exit_codes import FAILED, INTERRUPTED, USAGE, UsageError

VERBS = {
    "run": "run the graph of a Python file to its end",
    "check": "find all that is wrong with a graph, and tell the guarantees of each sink",
    "graph": "draw a graph",
    "status": "show the workers, nodes and edges of a running Manager",
    "top": "show them live: rates, queues, drops, processor, memory",
    "logs": "show the log of a running Manager",
    "stop": "stop the graph of a running Manager in order",
    "call": "call a function that lives on workers, by its name",
    "token": "list, make and revoke the tokens with which workers join",
    "record": "run the graph of a Python file and record its streams",
    "replay": "run the graph of a Python file with its sources played from a recording",
    "info": "show what a recorded session holds, and what is missing in it",
    "recover": "write whole files beside those of a session that were cut or damaged",
    "export": "write a session's streams as MP4, WAV, CSV and other files",
    "compare": "compare two recorded sessions",
    "doctor": "look whether this machine is fit, and tell how to mend what is not",
    "completion": "print the completion script of a shell",
}

DESCRIPTION = "Real-time dataflow across processes and machines: run graphs, look at them, direct them."
EPILOG = (
    "Exit status: 0 done, 1 what was asked for failed, 2 wrong usage, 3 a recording is incomplete. "
    "`flowmesh VERB --help` tells more."
)


def make_parser(configured: Sequence[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """The parser of the command; only the `configured` verbs have their arguments."""
    parser = argparse.ArgumentParser("flowmesh", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"flowmesh {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for verb, purpose in VERBS.items():
        under = verbs.add_parser(verb, help=purpose, allow_abbrev=False)
        if verb in configured:
            module = import_module(f".{verb}", __package__)
            under.description = module.DESCRIPTION
            under.formatter_class = argparse.RawDescriptionHelpFormatter
            module.configure(under)
            under.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = make_parser([word for word in words if word in VERBS][:1])
    if not words:
        parser.print_help(sys.stderr)
        return USAGE
    asked = parser.parse_args(words)
    try:
        status = int(asked.run(asked))
        sys.stdout.flush()  # here, where a failure is reported
        return status
    except UsageError as error:
        return _complain(asked.verb, error, USAGE)
    except FlowmeshError as error:
        return _complain(asked.verb, error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output (head, less) has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _complain(verb: str, error: Exception, status: int) -> int:
    sys.stderr.write("\n".join([f"flowmesh {verb}: {error}", *getattr(error, "__notes__", ())]) + "\n")
    return status
