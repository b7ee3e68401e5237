"""The imports of a piece of code, as dotted names, and its globals. Nothing is imported or looked up here.

`from a import b` gives "a" and "a.b": whether b is a module is for others to find.
"""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterator


def imports_of_source(source: str, package: str) -> set[str]:
    """The names that a module's text imports, anywhere in it; none of a text that can't be parsed.

    Args:
        source: the text.
        package: the package that relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for statement in _statements(tree):
        if isinstance(statement, ast.Import):
            names.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            attributes = [alias.name for alias in statement.names]
            names.update(_from(statement.module or "", attributes, statement.level, package))
    return names


def imports_of_code(code: types.CodeType, package: str) -> set[str]:
    """The names that a function imports when it runs, with those of the functions inside it."""
    names: set[str] = set()
    before: list[object] = [None, None]
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            # the compiler puts the level and the names after `from` right before it
            level, attributes = before
            count = level if isinstance(level, int) else 0
            names.update(
                _from(instruction.argval, list(attributes) if isinstance(attributes, tuple) else [], count, package)
            )
        before = [before[1], instruction.argval]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= imports_of_code(constant, package)
    return names


def globals_of_code(code: types.CodeType) -> set[str]:
    """The names of the globals that a function reads or writes, with those of the functions inside it."""
    names = {
        i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL")
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= globals_of_code(constant)
    return names


def _from(module: str, attributes: list[str], level: int, package: str) -> Iterator[str]:
    if level:
        parts = package.split(".")
        module = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
    if module:
        yield module
        yield from (f"{module}.{attribute}" for attribute in attributes if attribute != "*")


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    # only statements are visited: a tenth of what ast.walk would do
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                todo += inner
