"""DataChunk: named values, each with a content type, and their origin and times.

A chunk is independent of its transport: no codec, no shared memory, no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import ChunkError

CONTENT_TYPES = ("other", "image", "images", "array", "text", "bytes")
DEFAULT_NAME = "default"


class Times(NamedTuple):
    """When a chunk was made. All in seconds.

    Attributes:
        created: the making host's clock, since the epoch; never set back while a node lives.
        offset: what to add to `created` to get the Manager's clock.
        bound: how wrong `offset` can be, at most.
    """

    created: float
    offset: float
    bound: float


class Origin(NamedTuple):
    """The chunk of a source that another chunk descends from: its number, and its time in seconds (Manager's clock)."""

    number: int
    time: float


class Nanoseconds(NamedTuple):
    """`Times` as whole numbers of nanoseconds, exact to the last one: floats of seconds since the epoch are 240 ns coarse."""

    created: int
    offset: int
    bound: int


class Stamp(NamedTuple):
    """The metadata of a received chunk. A chunk that you made has an empty one.

    Attributes:
        run: the number of the graph's run, from 1.
        epoch: the number of the incarnation of the node that made it.
        number: 1, 2, 3, ... on the output that it came from.
        trigger: the number, on the triggering input, that caused the step; in a source, of the step.
        emission: which emission of that step, from 0.
        last: true on what the step returned, never on what it sent with `emit`; above a `zip` or `Align` only where
            nothing else can follow that descends from the same numbers.
        origin: {source's name: Origin}, through triggering inputs only.
        times: see Times.
        ns: the same times as whole nanoseconds.
        origin_ns: {source's name: (number, time in ns by the Manager's clock)}.
    """

    run: int = 0
    epoch: int = 0
    number: int = 0
    trigger: int = 0
    emission: int = 0
    last: bool = False
    origin: Mapping[str, Origin] = {}
    times: Times = Times(0.0, 0.0, 0.0)
    ns: Nanoseconds = Nanoseconds(0, 0, 0)
    origin_ns: Mapping[str, tuple[int, int]] = {}


UNSENT = Stamp()
ReadStamp = Callable[[Any], Stamp]  # makes the stamp of what was received, when it is first asked for


class DataChunk:
    """A container of named values (records) that travels along an edge.

    >>> chunk = DataChunk()
    >>> chunk.add("frame", np.zeros((4, 4, 3), np.uint8), "image")
    >>> chunk.get("frame")["value"].shape
    (4, 4, 3)
    """

    __slots__ = ("_records", "_stamp")

    def __init__(
        self, records: dict[str, tuple[Any, str]] | None = None, stamp: Stamp | tuple[ReadStamp, Any] = UNSENT
    ) -> None:
        self._records = {} if records is None else records
        self._stamp = stamp

    @classmethod
    def of(cls, value: Any) -> DataChunk:
        """`value` itself when it is a chunk; else a chunk that holds it as "default", type "other"."""
        return value if isinstance(value, DataChunk) else cls({DEFAULT_NAME: (value, "other")})

    def add(self, name: str, value: Any, content_type: str = "other") -> None:
        """Add a record; `content_type` says how it may be compressed between hosts.

        Content types: "image" (H×W, H×W×1, H×W×3 in OpenCV's BGR order, or H×W×4; any numeric dtype), "images"
        (a list of such), "array" (any ndarray, always exact), "text" (str), "bytes", "other" (any value).

        Raises:
            ChunkError: the name is taken, or the value does not fit its content type.
        """
        if name in self._records:
            raise ChunkError(f"the chunk has a record {name!r} already: update() replaces it")
        _check(name, value, content_type)
        self._records[name] = (value, content_type)

    def get(self, name: str) -> dict[str, Any]:
        """The record as {"value": ..., "content-type": ...}; received arrays are read-only.

        Raises:
            ChunkError: there is no such record; the text lists those that there are.
        """
        record = self._records.get(name)
        if record is None:
            record = self._record(name)
        return {"value": record[0], "content-type": record[1]}

    def __getitem__(self, name: str) -> Any:
        """The value of a record: `chunk["frame"]` is `chunk.get("frame")["value"]`.

        Raises:
            ChunkError: there is no such record; the text lists those that there are.
        """
        record = self._records.get(name)
        return (self._record(name) if record is None else record)[0]

    def update(self, name: str, value: Any) -> None:
        """Replace a record's value and keep its content type. Takes a record as `get` gives it, too."""
        content_type = self._record(name)[1]
        if isinstance(value, dict) and value.keys() == {"value", "content-type"}:
            value, content_type = value["value"], value["content-type"]
        _check(name, value, content_type)
        self._records[name] = (value, content_type)

    def contains(self, name: str) -> bool:
        """Whether there is a record of that name; `name in chunk` says the same."""
        return name in self._records

    def writable(self, name: str) -> Any:
        """The array of a record as one that you may draw on: a private copy, which replaces the read-only one here.

        A list of images is made writable image by image.
        """
        value, content_type = self._record(name)
        private = [_private(image) for image in value] if content_type == "images" else _private(value)
        self._records[name] = (private, content_type)
        return private

    @property
    def stamp(self) -> Stamp:
        """The chunk's metadata. A received chunk's stamp is made at its first use: most steps never use it."""
        stamp = self._stamp
        if not isinstance(stamp, Stamp):
            read, packet = stamp
            stamp = self._stamp = read(packet)
        return stamp

    @property
    def number(self) -> int:
        """The chunk's number on the output that it came from, from 1; 0 in a chunk that was not received."""
        return self.stamp.number

    @property
    def created(self) -> int:
        """When it was created: ns since the epoch, by its host's clock. 0 in a chunk that you made, until you set it.

        Set it before you send the chunk if you know better than the moment of sending: from a device's own clock, or a
        recording. On one output it must not go back.

        Raises:
            ChunkError: on setting: the chunk was received, or it is no positive integer.
        """
        return self.stamp.ns.created

    @created.setter
    def created(self, ns: int) -> None:
        if self.stamp.number:
            raise ChunkError(f"chunk {self.number} was received: created can be set only on a chunk that you made")
        if not isinstance(ns, int) or isinstance(ns, bool) or not 0 < ns < 2**63:
            raise ChunkError(f"created must be an integer of nanoseconds since the epoch, got {ns!r}")
        self._stamp = Stamp(times=Times(ns / 10**9, 0.0, 0.0), ns=Nanoseconds(ns, 0, 0))

    @property
    def preset_created(self) -> int:
        """`created` of a chunk that was not received, if it was set; else 0."""
        stamp = self._stamp
        if stamp is UNSENT or type(stamp) is not Stamp:  # as nearly all chunks that are sent
            return 0
        return 0 if stamp.number else stamp.ns.created

    @property
    def times(self) -> Times:
        """When it was made, on which clock."""
        return self.stamp.times

    @property
    def origin(self) -> Mapping[str, Origin]:
        """The sources' chunks that it descends from, by the source's name."""
        return self.stamp.origin

    def records(self) -> Iterator[tuple[str, Any, str]]:
        """All records as (name, value, content type), in the order in which they were added."""
        for name, (value, content_type) in self._records.items():
            yield name, value, content_type

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __eq__(self, other: object) -> bool:
        """Equal names, content types and values of every record, arrays by dtype, shape and content; stamps do not count."""
        if not isinstance(other, DataChunk):
            return NotImplemented
        if self._records.keys() != other._records.keys():
            return False
        return all(
            content_type == other._records[name][1] and same(value, other._records[name][0])
            for name, (value, content_type) in self._records.items()
        )

    __hash__ = None  # type: ignore[assignment]  # mutable, compared by value

    def __reduce__(self) -> tuple[Any, ...]:
        return DataChunk, (self._records, self.stamp)

    def __repr__(self) -> str:
        records = ", ".join(f"{name}: {content_type} {_brief(value)}" for name, value, content_type in self.records())
        return f"<DataChunk{f' {self.number}' if self.number else ''} {records or 'empty'}>"

    def _record(self, name: str) -> tuple[Any, str]:
        try:
            return self._records[name]
        except KeyError:
            there = ", ".join(map(repr, self._records)) or "none"
            raise ChunkError(f"the chunk has no record {name!r}; it has: {there}") from None


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal with all they hold; arrays by dtype, shape and content (NaN equals NaN)."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
            return False
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM"))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a is b or bool(a == b)


def _check(name: str, value: Any, content_type: str) -> None:
    if not isinstance(name, str):
        raise ChunkError(f"a record's name is a text, not {name!r}")
    if content_type not in CONTENT_TYPES:
        raise ChunkError(f"record {name!r}: content type {content_type!r} is none of {', '.join(CONTENT_TYPES)}")
    if not _FITS[content_type](value):
        raise ChunkError(f"record {name!r}: {_brief(value)} is not {_MEANS[content_type]}")


def _private(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) and not value.flags.writeable else value


def _is_image(value: Any) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buif":
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))


_FITS: dict[str, Callable[[Any], bool]] = {
    "other": lambda value: True,
    "image": _is_image,
    "images": lambda value: isinstance(value, list | tuple) and all(map(_is_image, value)),
    "array": lambda value: isinstance(value, np.ndarray),
    "text": lambda value: isinstance(value, str),
    "bytes": lambda value: isinstance(value, bytes | bytearray | memoryview),
}
_MEANS = {
    "image": "an image: a numeric array of shape H×W, H×W×1, H×W×3 or H×W×4",
    "images": "a list of images: numeric arrays of shape H×W, H×W×1, H×W×3 or H×W×4",
    "array": "a numpy array",
    "text": "a str",
    "bytes": "bytes",
}


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return type(value).__name__
