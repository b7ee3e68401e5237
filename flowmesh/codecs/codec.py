"""The interface of all codecs: one blob, an array or bytes, <-> its encoded form. Nothing is selected here.

    | codec's number | parameters: a few numbers from 0 | data |      which size the blob has, the receiver knows

A codec keeps the blob's layout: what it gives back are the elements in C order, or in Fortran's for an array that is
contiguous in Fortran's order only (`flags.fnc`), as `wire.values` lays them. It holds no state: any number of threads
may use one at once. Received data is untrusted: a codec checks its claims before it decodes, and the caller checks the
size of the target before making it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import ChunkError

Blob = np.ndarray[Any, Any] | bytes | bytearray | memoryview
Data = bytes | memoryview
Parameters = tuple[int, ...]


class Encoded(NamedTuple):
    """The encoded form of a blob.

    Attributes:
        codec: the number of the codec that it takes to decode it.
        parameters: the codec's own parameters; small enough for a header.
        data: of a blob that goes raw, a view of the blob itself.
    """

    codec: int
    parameters: Parameters
    data: Data


class Codec(ABC):
    """A way to make a blob shorter, and back.

    Attributes:
        number: names it in headers and files; never given to another one.
        name: names it to people, in `status()`.
        parameter_count: how many parameters go with its data.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    parameter_count: ClassVar[int] = 0

    @abstractmethod
    def refusal(self, blob: Blob) -> str | None:
        """Why the blob can't be encoded, as half a sentence; None if it can."""

    def encode(self, blob: Blob) -> Encoded:
        """Encode the blob.

        Raises:
            ChunkError: the codec does not take such blobs; the text says why.
        """
        if reason := self.refusal(blob):
            raise ChunkError(f"{self.name} can't take {_described(blob)}: {reason}")
        return Encoded(self.number, *self._encode(blob))

    def decode(self, parameters: Sequence[int], data: Data, target: memoryview) -> None:
        """Fill `target`, writable bytes, exactly as many as the blob has.

        Raises:
            ChunkError: the data is damaged or is no blob of that size. What `target` then holds is undefined.
        """
        if len(parameters) != self.parameter_count or not all(type(n) is int and n >= 0 for n in parameters):
            raise ChunkError(f"{self.name}: the parameters {parameters!r:.100} are damaged")
        if target.readonly:  # some libraries would write all the same
            raise ChunkError(f"{self.name}: can't decode into read-only memory")
        self._decode(parameters, memoryview(data), target)

    @abstractmethod
    def _encode(self, blob: Blob) -> tuple[Parameters, Data]: ...

    @abstractmethod
    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None: ...


def unfit(blob: Blob) -> str | None:
    """Why the blob is no run of bytes that mean the same elsewhere; None if it is one."""
    if not isinstance(blob, np.ndarray):
        view = memoryview(blob)
        return None if view.c_contiguous and view.ndim == view.itemsize == 1 else "it is no contiguous run of bytes"
    if type(blob) is not np.ndarray:
        return "it is more than an array, and would arrive as one"
    if blob.dtype.hasobject:
        return "its elements are references to objects"
    return None if blob.dtype.itemsize else "its elements have no size"


def flat(blob: Blob) -> memoryview:
    """The bytes of a blob in the order in which they travel: a view where they lie so already, else a copy."""
    if not isinstance(blob, np.ndarray):
        return memoryview(blob).cast("B")
    array = np.ascontiguousarray(blob.T if blob.flags.fnc else blob)
    return array.reshape(-1).view(np.uint8).data


def length(blob: Blob) -> int:
    """The number of bytes of a blob."""
    return blob.nbytes if isinstance(blob, np.ndarray) else len(blob)


def _described(blob: Blob) -> str:
    return f"{blob.dtype}{list(blob.shape)}" if isinstance(blob, np.ndarray) else type(blob).__name__
