"""The texts of the files and notebook cells that code comes from, kept for tracebacks, debuggers and
`inspect.getsource`.

The Manager's side reads them where Python itself looks (`linecache`); a node process puts them into its own.
"""

from __future__ import annotations

import inspect
import linecache
import types


def source_text(code: types.CodeType) -> str:
    """The whole text of the file or cell of `code`; "" where Python does not know it."""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)
    if not lines:
        try:
            lines = inspect.findsource(code)[0]  # newer Pythons keep what was typed or given by -c elsewhere
        except (OSError, IndexError, SyntaxError):
            return ""
    return "".join(lines)


def file_text(path: str) -> str:
    """The text of a Python file; "" for what is no text, or not there."""
    linecache.checkcache(path)
    return "".join(linecache.getlines(path))


def remember_source(path: str, source: str) -> None:
    """Show the lines of `path` as they were shipped, also where another file has that path."""
    # without a time of modification, linecache does not compare the entry with a file
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
