"""How figures are printed. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from .comparison import Outcome

_HEAD = ("", "unit", "floor", "flowmesh", "ratio (min-max)", "gate", "reached")
_REACHED = {True: "yes", False: "no", None: ""}


def table(outcomes: Iterable[Outcome]) -> str:
    """A row for each figure: medians of all rounds, the median of the rounds' ratios with the extremes."""
    rows = [_HEAD, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def pair(outcome: Outcome) -> str:
    """The newest round of a figure, for a line of progress."""
    text = f"{outcome.label}: {number(outcome.flowmesh[-1])} {outcome.unit}"
    return f"{text} (floor {number(outcome.floor[-1])}, ratio {outcome.ratios[-1]:.2f})" if outcome.floor else text


def number(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    if not outcome.flowmesh:
        return outcome.label, outcome.unit, "", "not measured", "", str(outcome.gate or ""), _REACHED[outcome.reached]
    ratios = outcome.ratios
    return (
        outcome.label,
        outcome.unit,
        number(median(outcome.floor)) if ratios else "",
        number(median(outcome.flowmesh)),
        f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "",
        str(outcome.gate or ""),
        _REACHED[outcome.reached],
    )
