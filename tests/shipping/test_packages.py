"""`packages=`: whole folders, with their data."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowmesh.errors import ShippingError
from flowmesh.shipping.bundle import pack_code

from .harness import Travel

FILES: dict[str, str | bytes] = {
    "models/__init__.py": "from .net import Net",
    "models/net.py": "class Net:\n    name = 'net'",
    "models/unused.py": "X = 'by name'",
    "models/weights.bin": bytes(range(256)),
    "models/labels/de.txt": "grün",
    "models/sub/__init__.py": "",
    "models/sub/table.csv": "1,2",
    "models/loose/tool.py": "X = 'loose'",
    "models/not-a-module/x.py": "X = 1",
    "models/__pycache__/net.cpython-311.pyc": b"stale",
    "models/.hidden/secret.txt": "no",
    "models/.env": "no",
    "plain/data.txt": "plain",
    "plain/code.py": "X = 'plain'",
    "single.py": "X = 'single'",
}

# The packages lie beside another script, so that they travel for no other reason.
SCRIPT = """
import importlib, io, pkgutil
from importlib import resources
from pathlib import Path
from flowmesh.node import Node
there = Path(__file__).parent.parent / "folders"
packages = [there / "models", str(there / "plain") + "/", there / "single.py"]

class Code(Node):
    def step(self):
        import models, single
        from plain import code
        load = importlib.import_module
        return [models.Net.name, load("models.unused").X, load("models.loose.tool").X, code.X, single.X]

class Data(Node):
    def step(self):
        import models
        files = resources.files("models")
        with resources.as_file(files / "weights.bin") as path:
            on_disk = path.read_bytes()
        with files.joinpath("labels", "de.txt").open(encoding="utf-8") as file:
            opened = file.read()
        return [
            len(on_disk),
            opened,
            (files / "labels" / "de.txt").read_text(encoding="utf-8"),
            resources.files("models.sub").joinpath("table.csv").read_text(),
            files.joinpath("sub/table.csv").read_text(),
            pkgutil.get_data("models", "labels/de.txt").decode(),
            pkgutil.get_data("plain", "data.txt").decode(),
            resources.files("plain").joinpath("data.txt").read_text(),
            resources.read_binary("models", "weights.bin") == bytes(range(256)),
        ]

class Listing(Node):
    def step(self):
        files = resources.files("models")
        kinds = [(p.name, p.is_file(), p.is_dir()) for p in files.iterdir()]
        missing = []
        for read in (lambda: files.joinpath("none").read_bytes(), lambda: pkgutil.get_data("models", "none")):
            try:
                read()
            except OSError as error:
                missing.append(type(error).__name__)
        return [files.name, kinds, missing]

nodes = [Code(), Data(), Listing()]
"""


def test_folders_and_files(travel: Travel) -> None:
    travel.write({f"folders/{name}": content for name, content in FILES.items()})
    assert travel.run(travel.pack(SCRIPT, name="scripts/script.py")) == {
        "Code": ["net", "by name", "loose", "plain", "single"],
        "Data": [256, "grün", "grün", "1,2", "1,2", "grün", "plain", "plain", True],
        "Listing": [
            "models",
            [
                ["labels", False, True],
                ["not-a-module", False, True],
                ["sub", False, True],
                ["weights.bin", True, False],
            ],
            ["FileNotFoundError", "FileNotFoundError"],
        ],
    }


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShippingError, match=f"no folder or Python file '{tmp_path}/nowhere'"):
        pack_code([], [tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["my-models", "my.models", "1st.py"])
def test_a_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch() if name.endswith(".py") else (tmp_path / name).mkdir()
    with pytest.raises(ShippingError, match=f"{name!r} can't be imported"):
        pack_code([], [tmp_path / name])


def test_source_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ShippingError, match=r"bad\.py can't be read as Python source"):
        pack_code([], [tmp_path / "bad.py"])


def test_too_much_names_the_largest_files(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name, size in (("small.bin", 1), ("video.mp4", 60), ("weights.bin", 6)):
        with (models / name).open("wb") as file:
            file.truncate(size * 2**20)
    with pytest.raises(ShippingError, match=r"67\.0 MiB.*video\.mp4 \(60\.0 MiB\).*weights\.bin \(6\.0 MiB\)"):
        pack_code([], [models])


def test_folders_that_are_too_much_only_together(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "data.bin").open("wb") as file:
            file.truncate(33 * 2**20)
    with pytest.raises(ShippingError, match=r"one/data\.bin \(33\.0 MiB\)"):
        pack_code([], [tmp_path / "one", tmp_path / "two"])
