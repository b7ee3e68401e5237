"""What each codec claims to take and to refuse, for the contract suite, and how a blob gets to the other end."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowmesh.codecs.codec import Blob, Codec, Encoded, flat, length
from flowmesh.codecs.exact import ExactCodec
from flowmesh.codecs.jpeg import JpegCodec
from flowmesh.codecs.lz4 import Lz4Codec
from flowmesh.codecs.raw import RawCodec
from flowmesh.codecs.registry import decode

MARGIN = 64  # bytes on both sides of a target, which must stay as they are
GUARD = b"\xa5" * MARGIN

_HEADER = msgspec.msgpack.Decoder(tuple[int, tuple[int, ...]])


class Claim(NamedTuple):
    """A codec, and blobs by name: those that it takes, those that it refuses with a word of why, and any that it takes."""

    codec: Codec
    takes: dict[str, Blob]
    refuses: dict[str, tuple[Blob, str]]
    any_blob: st.SearchStrategy[Any]
    exact: bool = True


class Target:
    """Memory for a blob of some size, with guards beside it."""

    def __init__(self, size: int) -> None:
        self._memory = bytearray(GUARD + b"\xff" * size + GUARD)
        self.view = memoryview(self._memory)[MARGIN : MARGIN + size]

    @property
    def is_guarded(self) -> bool:
        """Whether nothing was written beside the target."""
        return self._memory[:MARGIN] == GUARD == self._memory[len(self._memory) - MARGIN :]


def travelled(codec: Codec, blob: Blob) -> bytes:
    """The bytes of the blob at the other end."""
    encoded = codec.encode(blob)
    header = msgspec.msgpack.encode((encoded.codec, encoded.parameters))
    assert len(header) < 32
    target = Target(length(blob))
    decode(*_HEADER.decode(header), bytes(encoded.data), target.view)
    assert target.is_guarded
    return bytes(target.view)


def arrived(codec: Codec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array at the other end, as its header describes it."""
    order = "F" if array.flags.fnc else "C"
    return np.ndarray(array.shape, array.dtype, travelled(codec, array), order=order)  # type: ignore[call-overload,no-any-return]


def damaged(encoded: Encoded, rng: np.random.Generator) -> bytes:
    """Its data with a few bits or bytes changed, cut out or put in, mostly in front where headers are."""
    data = bytearray(encoded.data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 700)))
        match rng.integers(5):
            case 0 | 1:
                data[place] ^= 1 << int(rng.integers(8))
            case 2:
                data[place : place + 4] = rng.bytes(4)
            case 3:
                data[place:place] = rng.bytes(3)
            case 4:
                del data[place : place + int(rng.integers(1, 20))]
        data = data or bytearray(b"?")
    return bytes(data)


# --- blobs -----------------------------------------------------------------------------------------------------------


def picture(height: int, width: int, channels: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth one with some detail."""
    y, x, c = np.mgrid[:height, :width, :channels]
    waves = 110 + 60 * np.sin(x / 23 + c) + 50 * np.cos(y / 31 - c) + 8 * np.sin((x + y) / 5)
    return waves.clip(0, 255).astype(np.uint8)


class Labelled(np.ndarray[Any, Any]):
    """An array with something besides."""


BGR = picture(48, 64)
GREY = np.ascontiguousarray(BGR[:, :, 0])
LAYOUTS: dict[str, np.ndarray[Any, Any]] = {
    "BGR": BGR,
    "grey": GREY,
    "one channel": GREY[:, :, None],
    "Fortran's order": np.asfortranarray(BGR),
    "grey transposed": GREY.T,
    "one channel in Fortran's order": np.asfortranarray(GREY)[:, :, None],
    "every other": BGR[::2, 1::3],
    "mirrored": BGR[:, ::-1],
    "one colour of three": BGR[:, :, 1],
    "RGB as a view": BGR[:, :, ::-1],
    "axes exchanged": BGR.transpose(1, 0, 2),
    "the same pixel": np.broadcast_to(BGR[:1, :1], (17, 19, 3)),
    "read-only": np.frombuffer(BGR.tobytes(), np.uint8).reshape(BGR.shape),
    "a pixel": BGR[:1, :1],
    "a row": BGR[:1],
    "a column": BGR[:, :1],
    "odd sizes": picture(33, 47),
}
_NUMBERS = np.arange(-500, 700).reshape(30, 40)
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    **LAYOUTS,
    **{
        code: _NUMBERS.astype(code)
        for code in (
            "?",
            "i1",
            "u2",
            ">u2",
            "i4",
            "u4",
            "i8",
            ">i8",
            "u8",
            "f2",
            "f4",
            ">f4",
            "f8",
            "g",
            "c8",
            "c16",
            "G",
        )
    },
    "times": _NUMBERS.astype("M8[ms]"),
    "spans": _NUMBERS.astype("m8[D]"),
    "texts": _NUMBERS.astype("U7"),
    "long texts": _NUMBERS.astype("U77"),
    "byte texts": _NUMBERS.astype("S7"),
    "long byte texts": _NUMBERS.astype("S333"),
    "letters": _NUMBERS.astype("S1"),
    "structures": np.zeros(300, "u1,<f4,(2,3)i2"),
    "special numbers": np.array([np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324] * 50),
    "a signalling NaN": np.full(99, 0x7FF0000000000001, np.uint64).view(np.float64),
    "BGRA": picture(40, 30, 4),
    "BGR of 16 bits": picture(40, 30).astype(np.uint16) * 257,
    "noise": np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8),
    "zeros": np.zeros((70, 80), np.float32),
    "a mask": GREY > 120,
    "six dimensions": _NUMBERS.reshape(2, 3, 5, 2, 4, 5),
    "a scalar": np.array(1.5),
    "in Fortran's order": np.asfortranarray(_NUMBERS),
    "every other number": _NUMBERS[::2, ::-3],
    "more than a block": picture(700, 900),
}
EMPTY = {"no rows": np.zeros((0, 4)), "no columns": np.zeros((4, 0, 3), np.uint8), "no times": np.zeros(0, "M8[s]")}
BYTES: dict[str, Blob] = {
    "bytes": bytes(range(256)) * 20,
    "a bytearray": bytearray(b"flowmesh " * 500),
    "a memoryview": memoryview(b"-flowmesh-" * 50)[7:-7],
    "text": ("Grüße " * 800).encode(),
    "random bytes": np.random.default_rng(2).bytes(5000),
    "one byte": b"x",
    "no bytes": b"",
}
OBJECTS: dict[str, tuple[Blob, str]] = {
    "objects": (np.array([1, "a", None]), "references to objects"),
    "a structure with objects": (np.zeros(3, "u1,O"), "references to objects"),
    "a subclass": (np.zeros(3, np.uint8).view(Labelled), "more than an array"),
    "a matrix": (np.zeros((3, 3), np.uint8).view(np.matrix), "more than an array"),
    "elements of no size": (np.zeros(3, "V0"), "have no size"),
}
STRIDED: dict[str, tuple[Blob, str]] = {
    "strided bytes": (memoryview(b"abcdef")[::2], "no contiguous run of bytes"),
    "numbers": (memoryview(b"abcdefgh").cast("i"), "no contiguous run of bytes"),
    "a table of bytes": (memoryview(b"abcdef").cast("B", (2, 3)), "no contiguous run of bytes"),
}


def huge(*shape: int) -> np.ndarray[Any, Any]:
    """An array of that shape which takes one byte."""
    return np.broadcast_to(np.zeros((), np.uint8), shape)


_DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(), hnp.datetime64_dtypes(), hnp.unicode_string_dtypes(min_len=1, max_len=9),
    hnp.byte_string_dtypes(min_len=1, max_len=40),
)  # fmt: skip


@st.composite
def turned(draw: st.DrawFn, shapes: st.SearchStrategy[Any], dtypes: Any) -> np.ndarray[Any, Any]:
    """An array of some layout."""
    array = draw(hnp.arrays(dtypes, shapes))
    match draw(st.integers(0, 3)):
        case 1:
            return np.asfortranarray(array)
        case 2:
            return array[..., ::-1] if array.ndim else array
        case 3:
            return np.repeat(array, 2, axis=0)[::2] if array.ndim else array
    return array


_ANY_ARRAY = turned(hnp.array_shapes(min_dims=0, max_dims=5, min_side=1, max_side=12), _DTYPES)
_ANY_PICTURE = turned(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
        lambda size: st.sampled_from([size, (*size, 1), (*size, 3)])
    ),
    np.uint8,
)
_ANY_BLOB = st.one_of(st.binary(max_size=3000), _ANY_ARRAY)
_TOO_BIG_FOR_INT = huge(1 << 16, 1 << 15)

CLAIMS = [
    Claim(RawCodec(), {**ARRAYS, **EMPTY, **BYTES}, {**OBJECTS, **STRIDED}, _ANY_BLOB),
    Claim(
        Lz4Codec(), {**ARRAYS, **EMPTY, **BYTES}, {**OBJECTS, **STRIDED, "2 GB": (_TOO_BIG_FOR_INT, "at most")}, _ANY_BLOB
    ),
    Claim(
        ExactCodec(), dict(ARRAYS),
        {
            **OBJECTS,
            "bytes": (b"abc", "takes arrays"),
            "2 GB": (_TOO_BIG_FOR_INT, "1 to 2147483615 bytes"),
            **{name: (array, "1 to 2147483615 bytes") for name, array in EMPTY.items()},
        },
        _ANY_ARRAY,
    ),
    *(
        Claim(
            codec, dict(LAYOUTS),
            {
                "bytes": (b"abc", "8-bit pictures"),
                "16 bits": (BGR.astype(np.uint16), "8-bit pictures"),
                "signed": (BGR.astype(np.int8), "8-bit pictures"),
                "truths": (GREY > 9, "8-bit pictures"),
                "floats": (BGR / 255, "8-bit pictures"),
                "alpha": (picture(9, 9, 4), "shape"),
                "two channels": (picture(9, 9, 2), "shape"),
                "a film": (np.zeros((2, 9, 9, 3), np.uint8), "shape"),
                "a line": (np.zeros(9, np.uint8), "shape"),
                "no rows": (np.zeros((0, 9, 3), np.uint8), "1 to 65500 pixels a side"),
                "no columns": (np.zeros((9, 0), np.uint8), "1 to 65500 pixels a side"),
                "too wide": (huge(1, 65501), "1 to 65500 pixels a side"),
                "too high": (huge(65501, 1, 3), "1 to 65500 pixels a side"),
                "too many pixels": (huge(40000, 30000), "1073741824 in all"),
                "a matrix": (GREY.view(np.matrix), "more than an array"),
            },
            _ANY_PICTURE, exact=False,
        )
        for codec in (JpegCodec(), JpegCodec(95, full_colour=True), JpegCodec(1), JpegCodec(100))
    ),
]  # fmt: skip


def same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays are the same to the bit: NaN is NaN, and -0.0 is not 0.0."""
    return (a.dtype, a.shape) == (b.dtype, b.shape) and flat(np.ascontiguousarray(a)) == flat(np.ascontiguousarray(b))
