"""Pictures of a graph: Mermaid and Graphviz text, an SVG, a matplotlib figure. All flow from left to right.

It draws names and arrows: no Graph, no Node and no networkx here. An invalid graph can be drawn, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

from ..errors import FlowmeshError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOX, HEIGHT, GAP, ROW = 150, 34, 70, 54  # a node's box, the room for arrows, the distance of rows; pixels
BOW = 44  # how far an arrow that passes a column bends aside, so that it does not hide behind a node
SHOWN = 20  # letters of a name that fit into the box


class Arrow(NamedTuple):
    """An edge to draw; the label is empty where it has nothing unusual to say."""

    source: str
    target: str
    label: str = ""


def layers(names: Sequence[str], arrows: Sequence[Arrow]) -> list[list[str]]:
    """The names in columns: each arrow leads to a later column. What is in or below a cycle shares the last one."""
    columns, left = [], dict.fromkeys(names)
    while left:
        waiting = {arrow.target for arrow in arrows if arrow.source in left}
        column = [name for name in left if name not in waiting] or list(left)
        columns.append(column)
        left = dict.fromkeys(name for name in left if name not in column)
    return columns


def mermaid(names: Sequence[str], arrows: Sequence[Arrow]) -> str:
    """The graph as a Mermaid flowchart."""
    ids = {name: f"n{index}" for index, name in enumerate(names)}
    lines = ["flowchart LR", *(f'    {ids[name]}["{_quoted(name)}"]' for name in names)]
    for source, target, label in arrows:
        text = f'|"{_quoted(label)}"|' if label else ""
        lines.append(f"    {ids[source]} -->{text} {ids[target]}")
    return "\n".join(lines)


def dot(names: Sequence[str], arrows: Sequence[Arrow]) -> str:
    """The graph in the language of Graphviz (https://graphviz.org/doc/info/lang.html)."""
    lines = ["digraph {", "    rankdir=LR", "    node [shape=box style=rounded]"]
    lines += [f"    {_literal(name)}" for name in names]
    for source, target, label in arrows:
        text = f" [label={_literal(label)}]" if label else ""
        lines.append(f"    {_literal(source)} -> {_literal(target)}{text}")
    return "\n".join([*lines, "}"])


def svg(names: Sequence[str], arrows: Sequence[Arrow]) -> str:
    """The graph as an SVG element that stands in a web page by itself, in that page's own colour."""
    places = _places(names, arrows)
    width = BOX + max((x for x, _ in places.values()), default=0) * (BOX + GAP) + 2
    height = HEIGHT + max((y for _, y in places.values()), default=0) * ROW + BOW / 2 + 1
    corners = {name: (1 + x * (BOX + GAP), BOW / 2 + y * ROW) for name, (x, y) in places.items()}
    parts = [_curve(corners[source], corners[target], label) for source, target, label in arrows]
    parts += [_box(*corners[name], name) for name in names]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" fill="none"'
        ' stroke="currentColor" font-family="sans-serif" font-size="12" text-anchor="middle">'
        '<defs><marker id="flowmesh-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def plot(names: Sequence[str], arrows: Sequence[Arrow], path: str | PathLike[str] | None = None) -> Figure:
    """The graph as a matplotlib figure, saved to `path` if one is given (its ending says the format).

    Raises:
        FlowmeshError: matplotlib is not installed, or can't write there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FlowmeshError('plot() draws with matplotlib: pip install "matplotlib>=3.10.8"') from error
    places = _places(names, arrows)
    columns, rows = (1 + max(axis, default=0) for axis in zip(*places.values(), strict=True)) if places else (1, 1)
    figure = Figure(figsize=(2.2 * columns, 0.8 * rows + 0.2), layout="tight")
    axes = figure.subplots()
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.axis("off")
    # Names are texts, not formulas: a "$" in one would be read as TeX.
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white"}
    texts = {
        name: axes.text(x, y, _short(name), ha="center", va="center", bbox=box, parse_math=False)
        for name, (x, y) in places.items()
    }
    for source, target, label in arrows:
        (x, y), (to_x, to_y) = places[source], places[target]
        bow = -0.2 if to_x - x > 1 else 0
        style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bow}"}
        ends = {"patchA": texts[source].get_bbox_patch(), "patchB": texts[target].get_bbox_patch()}
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=style | ends, zorder=1)
        axes.text((x + to_x) / 2, (y + to_y) / 2, label, ha="center", va="bottom", fontsize="small", parse_math=False)
    if path is not None:
        _save(figure, path)
    return figure


def _save(figure: Figure, path: str | PathLike[str]) -> None:
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise FlowmeshError(f"the drawing can't be saved as {str(path)!r}: {error}") from error


def _places(names: Sequence[str], arrows: Sequence[Arrow]) -> dict[str, tuple[int, float]]:
    """{name: (column, row)}, rows centred around the longest column."""
    columns = layers(names, arrows)
    longest = max(map(len, columns), default=0)
    return {
        name: (x, y + (longest - len(column)) / 2) for x, column in enumerate(columns) for y, name in enumerate(column)
    }


def _curve(start: tuple[float, float], end: tuple[float, float], label: str) -> str:
    (x, y), (to_x, to_y) = (start[0] + BOX, start[1] + HEIGHT / 2), (end[0], end[1] + HEIGHT / 2)
    bend, bow = GAP / 2, BOW if to_x - x > GAP else 0
    path = f"M{x:g} {y:g}C{x + bend:g} {y - bow:g} {to_x - bend:g} {to_y - bow:g} {to_x:g} {to_y:g}"
    drawn = f'<path d="{path}" marker-end="url(#flowmesh-tip)"/>'
    return drawn + (_text((x + to_x) / 2, (y + to_y) / 2 - bow * 0.75 - 5, label, 'font-size="10"') if label else "")


def _box(x: float, y: float, name: str) -> str:
    box = f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{HEIGHT}" rx="6"/>'
    return f"<g><title>{escape(name)}</title>{box}{_text(x + BOX / 2, y + HEIGHT / 2 + 4, _short(name))}</g>"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="currentColor" stroke="none" {more}>{escape(text)}</text>'


def _short(name: str) -> str:
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…"


def _literal(text: str) -> str:
    """Text as a quoted word of Graphviz, which reads a backslash as the beginning of something of its own."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quoted(text: str) -> str:
    """Text for a quoted label of Mermaid, which reads #34; as the character of that number."""
    return "".join(letter if letter.isalnum() or letter in " _-.()" else f"#{ord(letter)};" for letter in text)
