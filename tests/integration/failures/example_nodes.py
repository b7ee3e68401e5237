"""Nodes that do wrong, one way each. They travel to the worker as this module, so errors show this file's lines."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import flowmesh as fm

AT = 7  # the chunk at which a step goes wrong
Data = dict[str, fm.DataChunk]


def value_of(data: Data) -> Any:
    return next(iter(data.values())).get("default")["value"]


class Count(fm.Node):
    """1, 2, 3, ... to `last`."""

    last: int

    def __init__(self, name: str, last: int = 100) -> None:
        super().__init__(name=name, last=last)
        self.number = 0

    def step(self) -> Any:
        if self.number >= self.last:
            raise fm.EndOfStream
        self.number += 1
        return self.number


class Endless(Count):
    def __init__(self, name: str) -> None:
        super().__init__(name, last=1 << 60)


class Pass(fm.Node):
    def step(self, data: Data) -> Any:
        return value_of(data)


class Keep(fm.Node):
    """Keeps what came; a registered method tells it."""

    def setup(self) -> None:
        self.kept: list[Any] = []

    def step(self, data: Data) -> None:
        self.kept.append(value_of(data))

    @fm.register
    def all(self) -> list[Any]:
        return self.kept


class Frames(Count):
    """Chunks with a black frame each, too large to travel inside a packet."""

    def step(self) -> fm.DataChunk:
        super().step()
        chunk = fm.DataChunk()
        chunk.add("frame", np.zeros((120, 160, 3), np.uint8), "image")
        return chunk


# --- in setup --------------------------------------------------------------------------------------------------------


class SetupRaises(Pass):
    def setup(self) -> None:
        raise FileNotFoundError("no camera at /dev/video9")


class SetupExits(Pass):
    def setup(self) -> None:
        sys.exit("the model file is missing")


class SetupEmits(Pass):
    def setup(self) -> None:
        self.emit("too early")


class SetupHangs(Pass):
    def setup(self) -> None:
        threading.Event().wait()


class SetupLoops(Count):
    def setup(self) -> None:
        while True:
            pass


class AsyncSetupRaises(Pass):
    async def setup(self) -> None:
        await asyncio.sleep(0)
        raise ConnectionError("nobody is there")


class SetupAndTeardownRaise(SetupRaises):
    def teardown(self) -> None:
        raise ValueError("teardown fails as well")


class CantBeLoaded(Pass):
    """Pickles well; can't be unpickled."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise LookupError("these weights are damaged")


# --- in step ---------------------------------------------------------------------------------------------------------


class Wrong(fm.Node):
    """Passes on, and goes wrong at chunk 7; a source and a sink of it count by themselves."""

    seen = 0

    def step(self, *data: Any) -> Any:
        self.seen += 1
        if self.seen == AT:
            return self.wrong()
        return self.seen

    def wrong(self) -> Any:
        raise ZeroDivisionError("seven is too much")


class WrongSource(Wrong):
    def step(self) -> Any:
        return super().step()


class WrongStep(Wrong):
    def step(self, data: Data) -> Any:
        return super().step(data)


class Skips(WrongStep):
    on_error = "skip"


class Chained(WrongStep):
    def wrong(self) -> Any:
        try:
            return dict[str, int]()["calibration"]
        except KeyError as error:
            raise RuntimeError("the camera is not calibrated") from error


class SaysNothing(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Speechless(WrongStep):
    def wrong(self) -> Any:
        raise SaysNothing


class OddWords(WrongStep):
    def wrong(self) -> Any:
        raise ValueError("frame \udcff\ud800 \x00 \x1b[31m café 日本")


class ManyWords(WrongStep):
    def wrong(self) -> Any:
        raise ValueError("begin " + "x" * 1_000_000 + " end")


class CalibrationError(Exception):
    """Can't be pickled back: it takes two arguments and gives one to its base."""

    def __init__(self, camera: str, reason: str) -> None:
        super().__init__(f"{camera}: {reason}")


class OwnError(WrongStep):
    def wrong(self) -> Any:
        raise CalibrationError("left", "too dark")


class Grouped(WrongStep):
    def wrong(self) -> Any:
        raise ExceptionGroup("two cameras", [OSError("left"), OSError("right")])


class Interrupts(WrongStep):
    def wrong(self) -> Any:
        raise KeyboardInterrupt


class Exits(WrongStep):
    def wrong(self) -> Any:
        sys.exit(4)


class Recurses(WrongStep):
    def wrong(self) -> Any:
        return self.wrong()


class OutOfMemory(WrongStep):
    def wrong(self) -> Any:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 31, resource.RLIM_INFINITY))
        return bytearray(1 << 33)


class AsyncWrong(WrongStep):
    async def step(self, data: Data) -> Any:
        await asyncio.sleep(0)
        return super().step(data)


class SendsALock(WrongStep):
    def wrong(self) -> Any:
        chunk = fm.DataChunk()
        chunk.add("fine", 1)
        chunk.add("guard", threading.Lock())
        return chunk


class EmitsALock(WrongStep):
    def wrong(self) -> Any:
        self.emit({"guard": threading.Lock()})


class ReturnsAGenerator(WrongStep):
    def wrong(self) -> Any:
        return (number for number in range(3))


class ReturnsAFile(WrongStep):
    def wrong(self) -> Any:
        self.file = open(__file__)  # noqa: SIM115
        return self.file

    def teardown(self) -> None:
        self.file.close()


class ReturnsABinaryFile(WrongStep):
    def wrong(self) -> Any:
        self.file = open(__file__, "rb")  # noqa: SIM115
        return self.file

    def teardown(self) -> None:
        self.file.close()


class Draws(fm.Node):
    def step(self, data: Data) -> Any:
        frame = data["src"].get("frame")["value"]
        return cv2.rectangle(frame, (1, 1), (9, 9), (0, 255, 0))


class Writes(fm.Node):
    def step(self, data: Data) -> Any:
        frame = data["src"].get("frame")["value"]
        frame[...] = 0


class DrawsOnACopy(fm.Node):
    def step(self, data: Data) -> Any:
        cv2.rectangle(data["src"].writable("frame"), (1, 1), (9, 9), (0, 255, 0))


class EndsAtSeven(WrongStep):
    def wrong(self) -> Any:
        raise fm.EndOfStream


class EmitsFromAThread(Keep):
    """Emits between two steps, from a thread, and keeps what that thread was told."""

    def step(self, data: Data) -> None:
        def emit() -> None:
            while True:
                try:
                    self.emit("from a thread")
                except fm.StateError as error:
                    self.kept.append(str(error))
                    return

        if not self.kept:
            threading.Thread(target=emit).start()
            self.kept.append("begun")


# --- in teardown -----------------------------------------------------------------------------------------------------


class TeardownRaises(Pass):
    def teardown(self) -> None:
        raise PermissionError("the disk is full")


class TeardownEmits(Pass):
    def teardown(self) -> None:
        self.emit("too late")


class TeardownHangs(Pass):
    def teardown(self) -> None:
        threading.Event().wait()


# --- ends of the process ---------------------------------------------------------------------------------------------


class Leaves(WrongStep):
    def wrong(self) -> Any:
        os._exit(3)


class Segfaults(WrongStep):
    def wrong(self) -> Any:
        return ctypes.string_at(0)


class Aborts(WrongStep):
    def wrong(self) -> Any:
        os.abort()


class Kills(WrongStep):
    def wrong(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return None


# --- steps that do not return ----------------------------------------------------------------------------------------


class Sticks(fm.Node):
    """Its step tells that it has begun (by a file), and does not return."""

    begun: str

    def step(self, data: Data) -> None:
        Path(self.begun).touch()
        self.stick()

    def stick(self) -> None:
        while True:
            pass


class SticksInC(Sticks):
    def stick(self) -> None:
        libc = ctypes.PyDLL(None)  # holds the GIL, as a bad extension does
        libc.sleep(3600)


class SticksInTime(Sticks):
    """Returns after half a second."""

    def stick(self) -> None:
        time.sleep(0.5)


class SticksOn(Sticks):
    """Catches everything that could end it."""

    def stick(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
