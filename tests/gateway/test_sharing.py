"""Nothing is encoded or sent twice."""

from __future__ import annotations

import numpy as np

from flowmesh.channel.counters import BUSY, STEPS
from flowmesh.chunk import DataChunk

from ..isolated import alone
from .fakes import Producer, frame
from .gateways import transfer
from .harness import Site

SHAPE = (480, 640, 3)


def picture(number: int) -> np.ndarray:
    """What JPEG likes."""
    ramp = np.linspace(0, 255, SHAPE[1], dtype=np.uint8)
    made = np.empty(SHAPE, np.uint8)
    made[:] = ramp[:, None]
    made[: number + 1] = 0
    return made


def encodings(producer: Producer) -> int:
    return producer.page.cells[STEPS]


@alone
def test_three_consumers_on_the_far_host_cost_one_encode_and_one_transfer() -> None:
    site = Site(transfer("a", "b", consumers=("sink1", "sink2", "sink3")))
    producer = site.producers[0]
    for number in range(10):
        producer.emit(picture(number), "image")
        one, two, three = (consumer.value() for consumer in site.consumers[0])
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)
        assert np.abs(one.astype(int) - picture(number)).mean() < 2
    assert encodings(producer) == 10
    assert producer.page.cells[BUSY] == 1 << 1
    chunks, size = producer.sent
    assert chunks == 10
    assert 10_000 < size < 10 * picture(0).nbytes / 5
    assert site.pages[0].cells[site.pages[0].output(0)] == 10


@alone
def test_two_transfers_of_one_output_share_the_encode() -> None:
    """One to each of two hosts, and a lossy one besides."""
    site = Site(
        transfer("a", "b", index=0),
        transfer("a", "c", index=1),
        transfer("a", "c", index=2, policy="drop_oldest", depth=4),
    )
    for number in range(10):
        for producer in site.producers:
            producer.emit(picture(number), "image")
        received = [consumers[0].value() for consumers in site.consumers]
        assert all(np.array_equal(received[0], other) for other in received[1:])
    assert sum(map(encodings, site.producers)) == 10
    assert all(producer.sent[0] == 10 for producer in site.producers)


@alone
def test_what_is_passed_on_is_not_encoded_again() -> None:
    """a -> b -> c: the pixels that c gets are those that b got."""
    site = Site(
        transfer("a", "b", index=0, consumers=("edges",)),
        transfer("b", "c", index=1, producer="edges", output=1),
    )
    first, second = site.producers
    middle, last = site.consumers[0][0], site.consumers[1][0]
    kept: list[DataChunk] = []
    for number in range(10):
        first.emit(picture(number), "image")
        kept = [middle.take()]
        value = kept[0].get("default")["value"]
        second.emit(value, "image")
        assert np.array_equal(last.value(), value)
    assert (encodings(first), encodings(second)) == (10, 0)
    assert second.page.cells[BUSY] == 1 << 1
    assert second.sent[0] == first.sent[0]
    assert abs(second.sent[1] - first.sent[1]) < 200  # another arena's name


@alone
def test_what_was_changed_on_the_way_is_encoded() -> None:
    site = Site(
        transfer("a", "b", index=0, consumers=("edges",)),
        transfer("b", "c", index=1, producer="edges", output=1),
    )
    first, second = site.producers
    for number in range(3):
        first.emit(picture(number), "image")
        second.emit(255 - site.consumers[0][0].value(), "image")
        assert np.abs(site.consumers[1][0].value().astype(int) - (255 - picture(number))).mean() < 3
    assert (encodings(first), encodings(second)) == (3, 3)


@alone
def test_what_no_codec_makes_shorter_goes_as_it_is() -> None:
    site = Site(transfer("a", "b", codec="raw"))
    site.producers[0].emit(frame(1), "image")
    assert np.array_equal(site.consumers[0][0].value(), frame(1))
    assert encodings(site.producers[0]) == 0
    assert site.producers[0].page.cells[BUSY] == 1


@alone
def test_values_of_all_kinds_come_as_they_were() -> None:
    site = Site(transfer("a", "b", depth=64))
    producer, consumer = site.producers[0], site.consumers[0][0]
    values = [
        None, 0, False, "", "ü" * 20_000, b"\0" * 100_000, {"a": [1, 2.5, "c"]}, (1, 2), {3, 4},
        np.zeros((0, 5)), np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
        {"big": np.arange(10_000), "other": np.ones((300, 300), np.float32)}, list(range(60_000)),
    ]  # fmt: skip
    for value in values:
        producer.emit(value)
        received = consumer.value()
        if isinstance(value, np.ndarray):
            assert np.array_equal(received, value)
            assert received.flags.fnc == value.flags.fnc
        elif isinstance(value, dict) and "big" in value:
            assert all(np.array_equal(received[name], value[name]) for name in value)
        else:
            assert received == value
            assert type(received) is type(value)
