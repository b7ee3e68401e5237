"""demo_report: the tables' text, and which frames the contact sheet shows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.nodes import TestPattern, VideoWriter

STATUS = SimpleNamespace(
    nodes={"film": SimpleNamespace(steps=250, errors=0, rate=123.456, p50=0.0012, p95=0.01234)},
    edges={
        ("film", "video"): SimpleNamespace(
            transport="socket", sent=250, received=248, dropped={"oldest": 2, "died": 0}, in_flight=0
        )
    },
)


def film(path: Path, frames: int) -> Path:
    pattern, writer = TestPattern("pattern", width=640, height=272), VideoWriter("film", path)
    pattern.setup()
    writer.setup()
    for _ in range(frames):
        chunk: DataChunk = pattern.step()
        writer.step({"pattern": chunk})
    writer.teardown()
    return path


def test_the_tables_are_aligned() -> None:
    import demo_report

    assert demo_report.nodes_table(STATUS) == (
        "node  steps  errors  rate 1/s  step p50 ms  step p95 ms\n"
        "film    250       0     123.5         1.20        12.34"
    )  # fmt: skip
    assert demo_report.edges_table(STATUS) == (
        "edge           transport  sent  received   dropped  in flight\n"
        "film -> video     socket   250       248  2 oldest          0"
    )


@pytest.mark.parametrize("frames", [120, 12, 5, 1])
def test_the_contact_sheet_shows_frames_from_all_over_the_film(tmp_path: Path, frames: int) -> None:
    import demo_report

    sheet = demo_report.contact_sheet(film(tmp_path / "film.mp4", frames))
    assert sheet.shape == (4 * 272, 3 * 640, 3)
    tiles = [tile for row in np.vsplit(sheet, 4) for tile in np.hsplit(row, 3)]
    numbers = [TestPattern.read_number(tile) for tile in tiles]
    assert numbers == [(2 * place + 1) * frames // 24 for place in range(12)]


def test_a_film_without_frames_is_named(tmp_path: Path) -> None:
    import demo_report

    with pytest.raises(ValueError, match=r"film\.mp4 holds no frame"):
        demo_report.contact_sheet(film(tmp_path / "film.mp4", 0))


def test_everything_is_saved_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import demo_report

    demo_report.save(STATUS, film(tmp_path / "film.mp4", 12), tmp_path)
    report = (tmp_path / "report.txt").read_text()
    assert "film -> video" in report
    assert (tmp_path / "contact-sheet.png").stat().st_size > 10_000
    assert report in capsys.readouterr().out
