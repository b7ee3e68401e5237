"""The addresses at which other machines can reach this one. Nothing is sent to find them."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

from ..errors import LinkError

_SIOCGIFADDR = 0x8915  # netdevice(7)
_SIOCGIFFLAGS = 0x8913
_UP = 0x1
_ANYWHERE = "192.0.2.1"  # RFC 5737: reserved; the kernel tells which of our addresses would dial it
MOST = 6  # addresses in a token: a machine with many bridges would make the token long


def reachable(host: str) -> tuple[str, ...]:
    """The addresses at which a Manager that listens at `host` can be reached from elsewhere, the likeliest first.

    For 0.0.0.0: all IPv4 addresses of this machine except loopback; loopback if there is no other.
    """
    if host not in ("0.0.0.0", "*"):
        return (host,)
    found = dict.fromkeys([*_of_default_route(), *_of_interfaces()])
    return tuple(found)[:MOST] or ("127.0.0.1",)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _of_default_route() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ANYWHERE, 9))
        except OSError:
            return []  # an isolated network has no such route
        return [str(probe.getsockname()[0])]


def _of_interfaces() -> list[str]:
    """The first address of each interface that is up, in the kernel's order."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                flags = struct.unpack_from("h", fcntl.ioctl(probe, _SIOCGIFFLAGS, request), 16)[0]
                address = socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])
            except OSError:
                continue  # it has no IPv4 address
            if flags & _UP and not is_loopback(address):
                found.append(address)
    return found


def towards(host: str) -> str:
    """Our address on the route to a host, at which that host can reach us, unless NAT is between. Nothing is sent.

    Raises:
        LinkError: there is no route now.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise LinkError(f"no way leads to {host}: {error}") from error
