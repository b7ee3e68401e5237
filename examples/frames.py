"""Render frames by a command on three workers, with a budget; results that are no pictures are made again elsewhere.

The command here is a few lines of Python that write a grey picture. Put your renderer in its place.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import flowmesh as fm

RENDERER = """
import sys
scene, out, frame = open(sys.argv[1]).read(), sys.argv[2], int(sys.argv[3])
width, height = map(int, scene.split())
with open(out, "wb") as file:
    file.write(b"P5 %d %d 255\\n" % (width, height) + bytes([4 * frame % 256]) * (width * height))
"""


def is_picture(file: fm.File) -> bool | str:
    return file.read_bytes().startswith(b"P5") or "not a picture"


@fm.task(timeout=60, retries=4, validate=is_picture)
def render(scene: fm.File, frame: int) -> fm.File:
    out = f"out{frame:04d}.pgm"
    subprocess.run([sys.executable, "-c", RENDERER, os.fspath(scene), out, str(frame)], check=True)
    return fm.File(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("frames-output"))
    folder = parser.parse_args().output
    folder.mkdir(exist_ok=True)
    scene = folder / "scene.txt"
    scene.write_text("64 48")
    with ExitStack() as stack:
        manager = stack.enter_context(fm.Manager())
        for name in ("a", "b", "c"):
            worker = stack.enter_context(fm.Worker(name, slots=1, price=0.2))
            worker.connect(host=manager.host, port=manager.port)
        with fm.Executor(manager, max_workers=3, budget=100.0, deadline=600) as executor:
            frames = {executor.submit(render, fm.File(scene), frame): frame for frame in range(0, 60, 10)}
            for task in executor.as_completed():
                task.result().save(folder / f"output_{frames[task]:02d}.pgm")
                print(f"frame {frames[task]} by {task.worker} in {task.running_time:.2f} s")
            print(executor.summary())


if __name__ == "__main__":
    main()
