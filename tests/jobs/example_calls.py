"""Functions that the tests submit. They are shipped as source, as a user's own module is."""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import flowmesh as fm


def gen() -> tuple[int, int]:
    return 1, 2


def total(*numbers: int) -> int:
    return sum(numbers)


def grow(count: int) -> list[object]:
    executor = fm.context().executor
    return [executor.submit(gen) for _ in range(count)]


def reduce(pairs: list[tuple[int, int]]) -> int:
    return sum(map(sum, pairs))


def deep_return(depth: int) -> object:
    return fm.context().executor.submit(deep_return, depth - 1) if depth else 0


def deep_wait(depth: int) -> object:
    return fm.context().executor.submit(deep_wait, depth - 1).result() if depth else 0


def deep_standard_wait(depth: int) -> object:
    if not depth:
        return 0
    child = fm.context().executor.submit(deep_standard_wait, depth - 1)
    concurrent.futures.wait([child])
    return child.result()


def where() -> tuple[str, int, int]:
    here = fm.context()
    return here.worker, here.attempt, os.getpid()


def shout(text: str) -> None:
    print(text, flush=True)
    subprocess.run([sys.executable, "-c", f"print({text!r} * 2)"], check=True)


def complain(text: str) -> None:
    print("before")
    raise ValueError(text)


class OddError(Exception):
    """Raises when it is loaded."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_odd() -> None:
    raise OddError(1, 2)


def leave(status: int) -> None:
    os._exit(status)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def ignore_terminate(marker: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(marker).write_text(str(os.getpid()))
    time.sleep(100)


def clean_up(marker: str) -> None:
    try:
        time.sleep(100)
    finally:
        Path(marker).write_text("cleaned")


def count_starts(folder: str, fail: int) -> int:
    """Fail so many times; each start leaves a file."""
    here = fm.context()
    Path(folder, f"{here.task}-{here.attempt}-{os.getpid()}-{time.monotonic_ns()}").touch()
    if here.attempt <= fail:
        raise RuntimeError(f"attempt {here.attempt}")
    return here.attempt


def unpicklable() -> object:
    return lambda: (yield)


def make_generator() -> object:
    return (number for number in range(3))


def talk(count: int) -> str:
    here = fm.context()
    for number in range(count):
        here.emit(number)
        here.progress(number + 1, count)
    return "said"


def write_file(text: str) -> fm.File:
    Path("out.txt").write_text(text)
    return fm.File("out.txt")


def read_file(file: fm.File) -> tuple[str, bool]:
    path = Path(file)
    return path.read_text(), os.access(path, os.W_OK) and os.getuid() != 0


def first_attempt_is_wrong() -> int:
    return fm.context().attempt


def is_second(value: int) -> bool | str:
    return value == 2 or f"{value} is not 2"


def submit_failing() -> str:
    fm.context().executor.submit(complain, "child")
    return "parent"


def submit_failing_and_look() -> str:
    child = fm.context().executor.submit(complain, "child")
    return type(child.exception()).__name__


def fork_and_leave() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(100)
        os._exit(0)
    return pid


def niceness() -> int:
    return os.nice(0)


add_five = partial(total, 5)


def primes(count: int = 40) -> list[int]:
    numbers = (random.randint(2, 1000) for _ in range(count))
    return [number for number in numbers if all(number % divisor for divisor in range(2, int(number**0.5) + 1))]


def is_filled(file: fm.File) -> bool | str:
    return file.size > 0 or "empty file"


def render(scene: fm.File, frame: int, slow: str, lost: str, killed: str) -> fm.File:
    here, out = fm.context(), Path(f"out{frame:04d}.png")
    if here.worker == slow and frame == 10:
        time.sleep(100)
    if here.worker == lost and frame == 20 and not Path(killed).exists():
        Path(killed).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    copy = "import shutil, sys; shutil.copy(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", copy, os.fspath(scene), str(out)], check=True)
    out.chmod(0o600)
    if frame == 30 and here.attempt == 1:
        out.write_bytes(b"")
    return fm.File(out)


def fail_on_first() -> None:
    if fm.context().attempt == 1:
        raise RuntimeError("not here")


def noted_square(number: int, folder: str) -> int:
    Path(folder, f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return number**2


def where_exactly() -> tuple[str, int, int, str]:
    return (*where(), os.getcwd())


def fill_and_die() -> None:
    Path("large").write_bytes(bytes(1_000_000))
    print("filling", os.getcwd(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def print_much(count: int) -> None:
    line = "x" * 9_999
    for _ in range(count // 10_000):
        print(line)
    print("the end")


def close_all() -> None:
    os.closerange(0, 4096)


def clean_up_begun(marker: str) -> None:
    try:
        fm.context().emit("begun")
        time.sleep(100)
    finally:
        Path(marker).write_text("cleaned")


def put_and_sum(times: int) -> list[object]:
    executor = fm.context().executor
    value = executor.put([1, 2, 3])
    return [executor.submit(sum, value) for _ in range(times)]
