from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.errors import FlowmeshError
from flowmesh.graph.drawing import Arrow, dot, layers, mermaid, plot, svg

NAMES = ["film", "edges", "faces", "show"]
ARROWS = [
    Arrow("film", "edges"),
    Arrow("film", "faces"),
    Arrow("edges", "show"),
    Arrow("faces", "show", "latest"),
    Arrow("film", "show"),
]
HOSTILE = ['"]; click n0 "x', "<b>&amp;</b>", "#quot;", "`md`", "$\\frac$", "カメラ", "end", "a|b"]
SPACE = "{http://www.w3.org/2000/svg}"
texts = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12)


def test_layers_lead_from_sources_to_sinks() -> None:
    assert layers(NAMES, ARROWS) == [["film"], ["edges", "faces"], ["show"]]
    assert layers(NAMES, []) == [NAMES]
    assert layers([], []) == []


def test_a_cycle_and_what_follows_it_share_a_layer() -> None:
    arrows = [Arrow("film", "edges"), Arrow("edges", "faces"), Arrow("faces", "edges"), Arrow("faces", "show")]
    assert layers(NAMES, arrows) == [["film"], ["edges", "faces", "show"]]


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1])))
def test_every_arrow_leads_to_a_later_layer(pairs: set[tuple[int, int]]) -> None:
    names = [f"n{index}" for index in range(10)]
    columns = layers(names, [Arrow(names[a], names[b]) for a, b in pairs])
    column = {name: x for x, there in enumerate(columns) for name in there}
    assert sorted(column) == names
    assert all(column[names[a]] < column[names[b]] for a, b in pairs)


def test_dot_names_nodes_and_policies() -> None:
    text = dot(["film", 'a "b\\'], [Arrow("film", 'a "b\\', "latest")])
    assert text.splitlines()[3:] == [
        '    "film"',
        '    "a \\"b\\\\"',
        '    "film" -> "a \\"b\\\\" [label="latest"]',
        "}",
    ]


def test_mermaid_names_nodes_and_policies() -> None:
    assert mermaid(NAMES, ARROWS).splitlines() == [
        "flowchart LR",
        '    n0["film"]',
        '    n1["edges"]',
        '    n2["faces"]',
        '    n3["show"]',
        "    n0 --> n1",
        "    n0 --> n2",
        "    n1 --> n3",
        '    n2 -->|"latest"| n3',
        "    n0 --> n3",
    ]


@given(st.lists(st.one_of(texts, st.sampled_from(HOSTILE)), unique=True, min_size=1), texts)
def test_mermaid_labels_hold_any_text_and_nothing_but_text(names: list[str], label: str) -> None:
    lines = mermaid(names, [Arrow(names[0], names[-1], label)]).splitlines()
    drawn = [re.fullmatch(r'    n\d+\["([\w .()#;-]*)"\]', line) for line in lines[1:-1]]
    assert [match and decoded(match[1]) for match in drawn] == names
    edge = re.fullmatch(r'    n0 -->\|"([\w .()#;-]*)"\| n\d+', lines[-1])
    assert edge
    assert decoded(edge[1]) == label


def decoded(text: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), text)


@given(st.lists(st.one_of(texts, st.sampled_from(HOSTILE)), unique=True), texts)
def test_svg_holds_any_text(names: list[str], label: str) -> None:
    arrows = [Arrow(names[0], names[-1], label)] if names else []
    root = ElementTree.fromstring(svg(names, arrows))
    assert [title.text for title in root.iter(f"{SPACE}title")] == names
    assert {label} <= {text.text for text in root.iter(f"{SPACE}text")} or not names


def test_svg_draws_boxes_and_arrows_inside_its_frame() -> None:
    root = ElementTree.fromstring(svg(NAMES, ARROWS))
    boxes = list(root.iter(f"{SPACE}rect"))
    assert len(boxes) == len(NAMES)
    assert len([path for path in root.iter(f"{SPACE}path") if "marker-end" in path.attrib]) == len(ARROWS)
    for box in boxes:
        assert 0 < float(box.attrib["x"]) < float(root.attrib["width"]) - float(box.attrib["width"])
        assert 0 < float(box.attrib["y"]) < float(root.attrib["height"]) - float(box.attrib["height"])
    assert len({(box.attrib["x"], box.attrib["y"]) for box in boxes}) == len(NAMES)


def test_svg_needs_nothing_from_elsewhere() -> None:
    drawn = svg(NAMES, ARROWS)
    assert set(re.findall(r"https?://[^\"]*", drawn)) == {"http://www.w3.org/2000/svg"}
    assert not re.search("<script|href|style=|@import", drawn)


def test_a_long_name_is_cut_in_its_box_and_whole_in_its_title() -> None:
    name = "a&" * 100
    drawn = svg([name], [])
    assert f"<title>{html.escape(name)}</title>" in drawn
    assert f"{html.escape(name[:19])}…</text>" in drawn


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot_saves_what_it_draws(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"graph.{ending}"
    figure = plot([*NAMES, "$\\frac$"], ARROWS, path)
    assert path.stat().st_size > 1000
    assert {*NAMES, "$\\frac$", "latest"} <= {text.get_text() for text in figure.axes[0].texts}


def test_plot_draws_layers_from_left_to_right() -> None:
    places = {text.get_text(): text.get_position() for text in plot(NAMES, ARROWS).axes[0].texts}
    assert [places[name][0] for name in NAMES] == [0, 1, 1, 2]
    assert places["edges"][1] != places["faces"][1]


def test_an_empty_graph_is_drawn_empty() -> None:
    assert mermaid([], []) == "flowchart LR"
    assert len(ElementTree.fromstring(svg([], []))) == 1
    assert list(plot([], []).axes[0].texts) == []


@pytest.mark.parametrize("name", ["nowhere/graph.png", "graph.nonsense"])
def test_a_drawing_that_cannot_be_saved_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(FlowmeshError, match=f"can't be saved as '.*{name}'"):
        plot(NAMES, ARROWS, tmp_path / name)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FlowmeshError, match='pip install "matplotlib>=3.10.8"'):
        plot(NAMES, ARROWS)
