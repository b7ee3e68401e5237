"""What of an exception the user sees, and how much."""

from __future__ import annotations

import sys
import traceback

import pytest

import flowmesh as fm
from flowmesh import nodes
from flowmesh.failures import LONGEST, add_note, chunks, headline, is_users, listed, shortened, users_frames, verb


def test_whose_code_a_file_is() -> None:
    assert is_users(__file__)
    assert is_users(nodes.__file__.replace("__init__", "resize"))  # a node like the user's own
    assert not is_users(fm.__file__)
    assert not is_users("/usr/lib/python3/site-packages/cloudpickle/cloudpickle.py")


def test_what_a_step_had_in_words() -> None:
    assert chunks(4, {}) == "chunk 4"
    assert chunks(4, {"film": 4}) == "chunk 4 of 'film'"
    assert (
        chunks(4, {"film": 4, "imu": 71, "pose": 3}) == "chunk 4 of 'film', with chunk 71 of 'imu', chunk 3 of 'pose'"
    )
    assert chunks(1, {f"n{number}": 1 for number in range(20)}).endswith("chunk 1 of 'n7', 12 more")


@pytest.mark.parametrize("letter", ["a", "ü", "日", "\udcff"])
def test_a_long_text_keeps_its_beginning_and_its_end(letter: str) -> None:
    text = shortened(f"begin {letter * 100_000} end", 5000)
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert "bytes are left out" in text
    assert len(text.encode(errors="backslashreplace")) <= 5000
    assert shortened(letter, 5000) == letter


def test_the_line_of_an_error() -> None:
    text = (
        "node 'a' failed in step (chunk 3):\nTraceback (most recent call last):\n  File ...\nValueError: no\nmore\n  so"
    )
    assert headline(text) == "node 'a' failed in step (chunk 3): ValueError: no"
    assert headline("the process of node 'a' was killed") == "the process of node 'a' was killed"
    assert len(headline("x" * 5000)) <= 1000


def test_notes_keep_an_error_within_its_bound() -> None:
    error = fm.NodeError("first:\n" + "x" * 60_000)
    for _ in range(10):
        add_note(error, "afterwards: node 'b' failed in teardown:\n" + "y" * 2000 + "\nValueError: no")
    for _ in range(1000):
        add_note(error, "afterwards: node 'c' failed:\n" + "z" * 3000 + "\nOSError: gone")
    text = "\n".join([str(error), *error.__notes__])
    assert len(text.encode()) <= LONGEST + 1000
    assert error.__notes__[0].endswith("ValueError: no")
    assert error.__notes__[-1] == "afterwards: node 'c' failed: OSError: gone"


def test_frames_between_the_user_s_are_left_out() -> None:
    graph = fm.Graph()

    class Bad(fm.Node):
        def step(self) -> None:
            raise KeyError("mine")

    graph.add_edge(Bad(name="bad"), nodes.Print(name="show"))
    with pytest.raises(fm.NodeError) as raised:
        fm.run(graph, inline=True)
    assert (raised.value.number, raised.value.inputs, raised.value.phase) == (1, {}, "step")
    cause = raised.value.__cause__
    assert isinstance(cause, KeyError)
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["step"]
    names = [frame.filename for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names == [__file__, sys.modules[verb.__module__].__file__]


def test_all_frames_are_shown_if_the_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWMESH_TRACEBACKS", "all")
    graph = fm.Graph()

    class Bad(fm.Node):
        def step(self) -> None:
            raise KeyError("mine")

    graph.add_edge(Bad(name="bad"), nodes.Print(name="show"))
    with pytest.raises(fm.NodeError) as raised:
        fm.run(graph, inline=True)
    assert len(traceback.extract_tb(raised.value.__traceback__)) > 4


def test_no_frame_is_left_of_what_is_all_ours() -> None:
    with pytest.raises(fm.GraphError) as raised:
        fm.Graph().check()
    inner = raised.value.__traceback__
    assert inner is not None
    assert users_frames(inner.tb_next) is None


def test_a_verb_keeps_its_name_and_other_errors() -> None:
    @verb
    def fails(number: int) -> int:
        """Says so."""
        return 1 // number

    assert (fails.__name__, fails.__doc__, fails(1)) == ("fails", "Says so.", 1)
    with pytest.raises(ZeroDivisionError) as raised:
        fails(0)
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "fails"


def test_a_list_of_many_names_counts_those_beyond_ten() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(1000))) == ", ".join(map(repr, map(str, range(10)))) + ", and 990 more"
