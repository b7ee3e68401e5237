"""What every codec keeps: what it claims comes back, all else is refused in words, and damage is no more than an error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmesh.codecs.codec import Blob, flat, length
from flowmesh.codecs.registry import CODECS, codec, decode
from flowmesh.errors import ChunkError
from flowmesh.wire import pickled, plain

from .cases import BGR, CLAIMS, GREY, Claim, Target, arrived, damaged, picture, same_bits, travelled

EACH = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.codec.name}-{vars(claim.codec)}")
TAKEN = [
    pytest.param(claim, blob, id=f"{claim.codec.name}-{name}") for claim in CLAIMS for name, blob in claim.takes.items()
]
REFUSED = [
    pytest.param(claim, blob, why, id=f"{claim.codec.name}-{name}")
    for claim in CLAIMS
    for name, (blob, why) in claim.refuses.items()
]
DAMAGES = 2_500  # of each codec
JOIN_WITHIN = 60.0


def test_every_codec_is_here_and_has_a_number_of_its_own() -> None:
    assert {claim.codec.number for claim in CLAIMS} == set(CODECS) == {0, 1, 2, 3}
    assert {number: codec(number).name for number in CODECS} == {0: "raw", 1: "jpeg", 2: "exact", 3: "lz4"}


def test_an_unknown_number_is_refused_with_those_there_are() -> None:
    with pytest.raises(ChunkError, match=r"no codec 4; there are: 0 \(raw\), 1 \(jpeg\), 2 \(exact\), 3 \(lz4\)"):
        decode(4, (), b"", memoryview(bytearray(4)))


@pytest.mark.parametrize(("claim", "blob"), TAKEN)
def test_what_is_claimed_comes_back(claim: Claim, blob: Blob) -> None:
    assert claim.codec.refusal(blob) is None
    check(claim, blob)


@EACH
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_claimed_comes_back(claim: Claim, data: st.DataObject) -> None:
    check(claim, data.draw(claim.any_blob))


def check(claim: Claim, blob: Blob) -> None:
    if not isinstance(blob, np.ndarray):
        assert travelled(claim.codec, blob) == bytes(blob)
    elif claim.exact:
        assert same_bits(arrived(claim.codec, blob), blob)
    else:
        assert arrived(claim.codec, blob).shape == blob.shape  # how close the picture is: test_jpeg.py


@pytest.mark.parametrize(("claim", "blob", "why"), REFUSED)
def test_what_is_not_claimed_is_refused_in_words(claim: Claim, blob: Blob, why: str) -> None:
    assert why in (claim.codec.refusal(blob) or "")
    with pytest.raises(ChunkError, match=rf"^{claim.codec.name} can't take .+: .*{why}"):
        claim.codec.encode(blob)


@EACH
def test_a_target_of_another_size_is_refused(claim: Claim) -> None:
    encoded = claim.codec.encode(BGR)
    for size in {0, 1, BGR.nbytes // 3, BGR.nbytes - 1, BGR.nbytes + 1, BGR.nbytes * 2}:
        target = Target(size)
        with pytest.raises(ChunkError, match=claim.codec.name):
            claim.codec.decode(encoded.parameters, encoded.data, target.view)
        assert target.is_guarded


@EACH
def test_a_target_that_is_read_only_is_refused(claim: Claim) -> None:
    encoded, memory = claim.codec.encode(BGR), bytes(BGR.nbytes)
    with pytest.raises(ChunkError, match="read-only"):
        claim.codec.decode(encoded.parameters, encoded.data, memoryview(memory))
    assert not any(memory)


@EACH
def test_damaged_parameters_are_refused(claim: Claim) -> None:
    encoded = claim.codec.encode(BGR)
    right = list(encoded.parameters)
    wrong: list[list[Any]] = [[*right, 0], [*right, 1], right[:-1] if right else [7]]
    for place in range(len(right)):
        for value in (-1, 2, 2**40, 1.0, True, None, "1", right[place] + 2):
            wrong.append([*right[:place], value, *right[place + 1 :]])
    for parameters in wrong:
        target = Target(BGR.nbytes)
        with pytest.raises(ChunkError, match=claim.codec.name):
            claim.codec.decode(parameters, encoded.data, target.view)
        assert target.is_guarded


@EACH
def test_encoding_changes_nothing(claim: Claim) -> None:
    picture = BGR.copy()
    first = bytes(claim.codec.encode(picture).data)
    assert first == bytes(claim.codec.encode(picture).data)
    assert same_bits(picture, BGR)


@EACH
def test_damage_is_an_error_or_a_blob_of_the_right_size(claim: Claim) -> None:
    rng = np.random.default_rng(claim.codec.number)
    blobs = [blob for blob in claim.takes.values() if 0 < length(blob) < 20_000]
    errors = 0
    for turn in range(DAMAGES):
        blob = blobs[turn % len(blobs)]
        encoded = claim.codec.encode(blob)
        target = Target(length(blob))
        try:
            decode(encoded.codec, encoded.parameters, damaged(encoded, rng), target.view)
        except ChunkError:
            errors += 1
        assert target.is_guarded
    assert errors > DAMAGES / 10  # it is looked at at all


@EACH
def test_what_is_cut_off_is_an_error(claim: Claim) -> None:
    encoded = claim.codec.encode(picture(20, 20))
    for size in range(len(encoded.data)):
        target = Target(1200)
        with pytest.raises(ChunkError):
            decode(encoded.codec, encoded.parameters, bytes(encoded.data[:size]), target.view)
        assert target.is_guarded


@EACH
def test_random_bytes_are_an_error_or_a_blob_of_the_right_size(claim: Claim) -> None:
    rng = np.random.default_rng(7)
    parameters = claim.codec.encode(BGR).parameters
    for _ in range(DAMAGES):
        target = Target(BGR.nbytes)
        try:
            decode(claim.codec.number, parameters, rng.bytes(int(rng.integers(0, 300))), target.view)
        except ChunkError:
            pass
        assert target.is_guarded


@EACH
def test_threads_encode_and_decode_at_once(claim: Claim) -> None:
    pictures = [np.roll(picture(240, 320), shift, axis=1) for shift in range(4)]
    expected = [travelled(claim.codec, each) for each in pictures]
    at_once(lambda place: [travelled(claim.codec, pictures[place]) == expected[place] for _ in range(10)])


def at_once(work: Callable[[int], list[bool]], threads: int = 4) -> None:
    """Runs work(0), work(1), ... in threads that begin together; each must return nothing but True."""
    begin, told = threading.Barrier(threads), list[bool]()

    def run(place: int) -> None:
        begin.wait(JOIN_WITHIN)
        told.append(all(work(place)))

    running = [threading.Thread(target=run, args=(place,)) for place in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(JOIN_WITHIN)
    assert told == [True] * threads


# --- forms: any value <-> bytes --------------------------------------------------------------------------------------


class Form(NamedTuple):
    """`encode` gives the header's bytes and the blobs; `decode` takes both."""

    encode: Callable[[Any], tuple[bytes, list[memoryview]]]
    decode: Callable[[bytes, list[bytes]], Any]
    takes: dict[str, Any]
    refuses: dict[str, tuple[Any, str]]


PLAIN_VALUES: dict[str, Any] = {
    "None": None, "truth": True, "an int": -(2**63), "a large int": 2**64 - 1, "a float": 1.5, "text": "Grüße",
    "bytes": b"\0\xff", "a list": [1, [2.0, ["x"]], None], "a dict": {"a": {"b": [True, b""]}, "ü": 0}, "nothing": [{}, ""],
}  # fmt: skip
FORMS = {
    "plain": Form(
        lambda value: (plain.encode(value), []),
        lambda data, blobs: plain.decode(data),
        PLAIN_VALUES,
        {
            "a tuple": ((1, 2), "a tuple"),
            "a set in a list": ([0, {1}], r"\[1\]: a set"),
            "an int of 65 bits": ({"n": 2**64}, r"\['n'\]: an int of more than 64 bits"),
            "an array": (GREY, "a numpy.ndarray"),
        },
    ),
    "pickled": Form(
        lambda value: pickled.dump("x", value),
        pickled.load,
        PLAIN_VALUES
        | {
            "a tuple": (1, (2,)),
            "a set": {1, "x"},
            "a complex number": 2j,
            "an int of 65 bits": 2**64,
            "an array": GREY,
            "arrays in Fortran's order": {"a": np.asfortranarray(BGR), "b": [BGR]},
            "a matrix": GREY.view(np.matrix),
            "what pickle alone can't": lambda: 7,
        },
        {
            "a lock": (threading.Lock(), "record 'x': a _thread.lock can't be sent: cannot pickle"),
            "a generator": ([(n for n in ())], "record 'x': a list can't be sent: cannot pickle 'generator'"),
        },
    ),
}
EACH_FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def through(form: Form, value: Any) -> Any:
    data, blobs = form.encode(value)
    assert type(data) is bytes
    return form.decode(data, [bytes(blob) for blob in blobs])


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return type(a) is type(b) and same_bits(a, b)
    if isinstance(a, dict):
        return type(b) is dict and a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(alike, a, b))
    return bool(a() == b()) if callable(a) else type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        pytest.param(form, value, id=f"{name}-{key}")
        for name, form in FORMS.items()
        for key, value in form.takes.items()
    ],
)
def test_a_form_gives_back_what_it_claims(form: Form, value: Any) -> None:
    assert alike(through(form, value), value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@EACH_FORM
@given(value=VALUES)
def test_a_form_gives_back_any_plain_value(form: Form, value: Any) -> None:
    assert alike(through(form, value), value)


@pytest.mark.parametrize(
    ("form", "value", "why"),
    [
        pytest.param(form, value, why, id=f"{name}-{key}")
        for name, form in FORMS.items()
        for key, (value, why) in form.refuses.items()
    ],
)
def test_a_form_refuses_in_words(form: Form, value: Any, why: str) -> None:
    with pytest.raises(ChunkError, match=why):
        form.encode(value)


@EACH_FORM
def test_a_form_that_is_cut_off_is_an_error(form: Form) -> None:
    data, _ = form.encode(PLAIN_VALUES)
    for size in range(len(data)):
        with pytest.raises(ChunkError):
            form.decode(data[:size], [])


def test_a_damaged_plain_value_is_an_error_or_a_plain_value() -> None:
    # Not of pickles: a damaged one may do whatever a pickle can, which is why it is taken only from one's own nodes.
    rng = np.random.default_rng(3)
    encoded = plain.encode([PLAIN_VALUES] * 3)
    for turn in range(4 * DAMAGES):
        data = bytearray(encoded) if turn % 2 else bytearray(rng.bytes(int(rng.integers(0, 60))))
        for _ in range(rng.integers(1, 5) if data else 0):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        try:
            assert plain.plain(plain.decode(bytes(data)))
        except ChunkError:
            pass


@EACH_FORM
def test_threads_use_a_form_at_once(form: Form) -> None:
    at_once(lambda place: [alike(through(form, [place, PLAIN_VALUES]), [place, PLAIN_VALUES]) for _ in range(50)])


def test_the_bytes_of_a_blob_are_not_copied_where_they_lie_in_one_run() -> None:
    for array in (BGR, np.asfortranarray(BGR), GREY.T, np.array(1.5)):
        assert np.shares_memory(np.frombuffer(flat(array), np.uint8), array)
