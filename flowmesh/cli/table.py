"""Tables of plain text, and the formats of sizes and times in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB")


def table(heading: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> list[str]:
    """The lines of a table. A column whose heading begins with ">" stands at the right; fractions have one digit."""
    texts = [[word.removeprefix(">") for word in heading], *([_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [_line(text, widths, heading) for text in texts]


def _line(texts: Sequence[str], widths: Sequence[int], heading: Sequence[str]) -> str:
    columns = zip(texts, widths, heading, strict=True)
    return "  ".join(
        text.rjust(width) if word.startswith(">") else text.ljust(width) for text, width, word in columns
    ).rstrip()


def _text(cell: str | int | float) -> str:
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)


def counted(count: int, what: str) -> str:
    """A count with its noun: "1 edge", "2 edges"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def size(count: float) -> str:
    """A size in bytes, with three digits: "1.52 MB"."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} B" if not unit else f"{count:.3g} {_UNITS[unit]}"


def milliseconds(seconds: float) -> str:
    """Seconds in milliseconds: "0.0056", "12.3", "1234"."""
    return f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"
