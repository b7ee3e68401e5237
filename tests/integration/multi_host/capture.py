"""What an eavesdropper has: every packet of a network card, its TCP streams put together, to be searched afterwards.

Run as a program it is the eavesdropper: it writes each packet, headed by its length, into a file until SIGTERM.
"""

from __future__ import annotations

import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ALL, _IP = 0x0003, 0x0800  # ETH_P_ALL, ETH_P_IP
_TCP = 6
_LENGTH = struct.Struct("=I")
_LARGEST = 1 << 17  # a packet that the card would have to cut may have 64 KiB
_BUFFER = 256 << 20  # bytes that may wait in the kernel
_PACKET, _STATISTICS = 263, 6  # SOL_PACKET, PACKET_STATISTICS
_FORCE = 33  # SO_RCVBUFFORCE


class Capture:
    """Listens from when it is made. `enter` is the command that runs another one on the host."""

    def __init__(self, enter: list[str], file: Path) -> None:
        self._file = file
        command = [*enter, sys.executable, __file__, str(file)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "listening\n":
            self.close()
            raise OSError("the capture could not begin; why stands in what it printed")

    def heard(self) -> bytes:
        """End it; all bytes of all streams, one direction of a connection after the other, and all that is not TCP.

        Raises:
            AssertionError: the kernel had to drop packets.
        """
        self._process.terminate()
        told, _ = self._process.communicate(timeout=60)
        assert told == "0 dropped\n", f"the capture is not whole: {told!r}"
        return b"\n".join(_streams(self._file.read_bytes()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _streams(packets: bytes) -> Iterator[bytes]:
    """The payload of each direction of each connection in its order; then all other packets as they were."""
    segments: dict[bytes, dict[int, bytes]] = {}
    others = []
    for packet in _packets(packets):
        if (parsed := _segment(packet)) is None:
            others.append(packet)
            continue
        connection, number, payload = parsed
        if payload and len(payload) > len(segments.setdefault(connection, {}).get(number, b"")):
            segments[connection][number] = payload
    for seen in segments.values():
        yield _joined(seen)
    yield b"\n".join(others)


def _packets(data: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        yield data[offset : offset + length]
        offset += length


def _segment(packet: bytes) -> tuple[bytes, int, bytes] | None:
    """Whose (addresses and ports), the number of its first byte and its payload; None of what is not TCP over IPv4."""
    if len(packet) < 34 or int.from_bytes(packet[12:14], "big") != _IP or packet[23] != _TCP:
        return None
    start = 14 + 4 * (packet[14] & 15)
    end = 14 + int.from_bytes(packet[16:18], "big")  # a short packet is padded
    data = start + 4 * (packet[start + 12] >> 4)
    return (
        packet[26:34] + packet[start : start + 4],
        int.from_bytes(packet[start + 4 : start + 8], "big"),
        packet[data:end],
    )


def _joined(segments: dict[int, bytes]) -> bytes:
    first = next(iter(segments))  # numbers begin anywhere and wrap: they are counted from the first that was seen
    ordered = sorted((((number - first + (1 << 31)) & 0xFFFFFFFF), payload) for number, payload in segments.items())
    joined, position = bytearray(), ordered[0][0]
    for number, payload in ordered:
        if (fresh := position - number) < len(payload):  # some of it may have been sent before
            joined += payload[max(fresh, 0) :]
            position = number + len(payload)
    return bytes(joined)


def _listen(file: Path) -> None:
    wake, stop = socket.socketpair()
    stop.setblocking(False)
    signal.set_wakeup_fd(stop.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    card.setsockopt(socket.SOL_SOCKET, _FORCE, _BUFFER)
    card.bind(("eth0", 0))
    card.setblocking(False)
    print("listening", flush=True)
    with file.open("wb") as kept:
        while not (wake in select.select([card, wake], [], [])[0] and not select.select([card], [], [], 0)[0]):
            packet = card.recv(_LARGEST)
            kept.write(_LENGTH.pack(len(packet)) + packet)
    _, dropped = struct.unpack("=II", card.getsockopt(_PACKET, _STATISTICS, 8))
    print(dropped, "dropped", flush=True)


if __name__ == "__main__":
    _listen(Path(sys.argv[1]))
