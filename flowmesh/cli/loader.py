"""A graph out of a Python file: the file is run as the script of this process, and its graph is taken from it.

Its code runs as `__main__`, so that its classes and sibling modules are shipped as a script's; but it does not see
itself as the script: `if __name__ == "__main__":`, where a file has its own Manager, is false.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import traceback
import types
import typing
from pathlib import Path

from ..errors import FlowmeshError, GraphError
from ..graph.graph import Graph
from .exit_codes import UsageError

_kept: list[types.ModuleType] = []  # the command's own `__main__`: were it collected, its names would become None


class ProgramError(FlowmeshError):
    """The file can't be run; the text holds its own frames of the traceback."""


def load(wanted: str) -> Graph:
    """The graph of FILE, or the one of that name in FILE:NAME (a Graph, or a function that returns one).

    Raises:
        UsageError: there is no such file, no such name, no graph, or several.
        ProgramError: the file's code raised.
    """
    path, name = _divided(wanted)
    main = _run(path)
    return _named(main, path, name) if name else _only(main, path)


def _divided(wanted: str) -> tuple[Path, str]:
    file, colon, name = wanted.rpartition(":")
    if not colon or Path(wanted).is_file():
        file, name = wanted, ""
    if not Path(file).is_file():
        raise UsageError(f"there is no file {file!r}")
    return Path(file), name


def _run(path: Path) -> types.ModuleType:
    code = _compiled(path.absolute())
    main = types.ModuleType("__main__")
    main.__file__ = str(path.absolute())
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    # As `python FILE` has it: its siblings can be imported.
    sys.path[: 0 if sys.flags.safe_path else 1] = [str(path.resolve().parent)]
    sys.argv = [str(path)]
    try:
        exec(code, vars(main))
    except FlowmeshError as error:
        raise ProgramError(f"{error}\n{_frames(error)}") from error
    except SystemExit as error:
        raise ProgramError(f"{path} ends itself by SystemExit({error.code!r}):\n{_frames(error)}") from error
    except Exception as error:
        raise ProgramError(f"{path} raised {_told(error)}:\n{_frames(error)}") from error
    return main


def _compiled(path: Path) -> types.CodeType:
    try:
        tree = ast.parse(importlib.util.decode_source(path.read_bytes()), str(path))
        return compile(_NotTheScript().visit(tree), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OSError) as error:
        raise ProgramError(f"{path} can't be read as Python: {_told(error)}") from error


class _NotTheScript(ast.NodeTransformer):
    """Makes `__name__ == "__main__"` false, and `!=` true."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        match node:
            case (
                ast.Compare(left=ast.Name(id="__name__"), ops=[operator], comparators=[ast.Constant(value="__main__")])
                | ast.Compare(
                    left=ast.Constant(value="__main__"), ops=[operator], comparators=[ast.Name(id="__name__")]
                )
            ) if isinstance(operator, ast.Eq | ast.NotEq):
                return ast.copy_location(ast.Constant(isinstance(operator, ast.NotEq)), node)
        self.generic_visit(node)
        return node


def _named(main: types.ModuleType, path: Path, name: str) -> Graph:
    if not hasattr(main, name):
        raise UsageError(f"{path} has no {name!r}; {_there(main)}")
    found = getattr(main, name)
    if not isinstance(found, Graph) and callable(found):
        found = _called(found, path, name)
    if not isinstance(found, Graph):
        raise UsageError(
            f"{name!r} of {path} gives no Graph, but something of type {type(found).__name__}; {_there(main)}"
        )
    return found


def _only(main: types.ModuleType, path: Path) -> Graph:
    graphs = {id(graph): graph for graph in _graphs(main).values()}
    makers = _makers(main)
    if len(graphs) == 1:
        return next(iter(graphs.values()))
    if graphs or len(makers) > 1:
        names = ", ".join(f"{path}:{name}" for name in (*_graphs(main), *makers))
        raise UsageError(f"{path} has several graphs, say which one is meant: {names}")
    if not makers:
        raise UsageError(
            f"{path} has no graph: write `graph = flowmesh.Graph()` at the top level, "
            f"or a function `def build() -> flowmesh.Graph:`, or name a function that returns one: {path}:NAME"
        )
    return _named(main, path, makers[0])


def _graphs(main: types.ModuleType) -> dict[str, Graph]:
    return {name: value for name, value in vars(main).items() if isinstance(value, Graph)}


def _makers(main: types.ModuleType) -> list[str]:
    """The functions of the file that say that they return a Graph."""
    functions = {name: value for name, value in vars(main).items() if isinstance(value, types.FunctionType)}
    return [name for name, function in functions.items() if function.__module__ == "__main__" and _returns(function)]


def _returns(function: types.FunctionType) -> bool:
    try:
        return typing.get_type_hints(function).get("return") is Graph
    except Exception:  # a hint may name what is not there, and evaluating it may do anything
        return False


def _there(main: types.ModuleType) -> str:
    return f"its graphs are: {', '.join((*_graphs(main), *_makers(main))) or 'none'}"


def _called(function: typing.Any, path: Path, name: str) -> object:
    try:
        return function()
    except GraphError as error:
        raise ProgramError(f"{error}\n{_frames(error)}") from error
    except Exception as error:
        raise ProgramError(f"{name}() of {path} raised {_told(error)}:\n{_frames(error)}") from error


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _frames(error: BaseException) -> str:
    """The traceback without what stands above the file's own code, and without flowmesh's."""
    here = os.path.dirname(os.path.dirname(__file__))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(here)]
    return "".join(traceback.format_list(frames)).rstrip()
