"""Discovery of Managers on the local network, by multicast DNS (RFC 6762). A Manager that is found is not trusted.

Anyone can announce anything. An announcement has an address and the fingerprint of the Manager's key; the dialler still
checks that the Manager has the key of its token, and the Manager still accepts no unknown key.
"""

from __future__ import annotations

import importlib
import socket
import time
from dataclasses import dataclass
from typing import Any

from ..errors import LinkError
from ..wire.fingerprints import fingerprint

SERVICE = "_flowmesh._tcp.local."
LOOKING = 3.0  # seconds: multicast is asked three times within the first


@dataclass(frozen=True)
class SeenManager:
    """An announcement, perhaps of a Manager."""

    hosts: tuple[str, ...]
    port: int
    fingerprint: str


class MdnsAnnouncement:
    """The announcement of a Manager on the local network, until it is closed.

    Raises:
        LinkError: the extra `zeroconf` is not installed, or the network can't be used for it.
    """

    def __init__(self, hosts: tuple[str, ...], port: int, key: str) -> None:
        zeroconf = _library()
        try:
            addresses = [socket.gethostbyname(host) for host in hosts]
        except OSError as error:
            raise LinkError(f"the Manager can't be announced on the local network: {error}") from error
        name = f"{socket.gethostname().partition('.')[0]}-{fingerprint(key)[:4]}-{port}"
        info = zeroconf.ServiceInfo(
            SERVICE,
            f"{name}.{SERVICE}",
            port=port,
            properties={"key": fingerprint(key)},
            parsed_addresses=addresses,
            server=f"{name}.local.",
        )
        try:
            self._zeroconf = zeroconf.Zeroconf(interfaces=addresses)
            self._zeroconf.register_service(info)
        except (OSError, zeroconf.Error) as error:
            raise LinkError(f"the Manager can't be announced on the local network: {error!r}") from error

    def close(self) -> None:
        """Withdraw the announcement."""
        self._zeroconf.close()


def look_around(within: float = LOOKING, until: str = "") -> list[SeenManager]:
    """The announcements seen within `within` seconds; ends sooner when the fingerprint `until` is seen.

    Raises:
        LinkError: the extra `zeroconf` is not installed, or the network can't be used for it.
    """
    zeroconf = _library()
    found: dict[str, SeenManager] = {}
    try:
        with zeroconf.Zeroconf() as network:
            browser = zeroconf.ServiceBrowser(network, SERVICE, _Listener(found))
            deadline = time.monotonic() + within
            while time.monotonic() < deadline and until not in {sight.fingerprint for sight in found.values()}:
                browser.join(0.05)  # it never ends by itself: a pause
            browser.cancel()
    except (OSError, zeroconf.Error) as error:
        raise LinkError(f"the local network can't be searched: {error!r}") from error
    return list(found.values())


class _Listener:
    """The events of zeroconf, from its own thread; adding one key to a dict is atomic."""

    def __init__(self, found: dict[str, SeenManager]) -> None:
        self._found = found

    def add_service(self, network: Any, kind: str, name: str) -> None:
        info = network.get_service_info(kind, name, 1000)
        if info is None or not info.port:
            return
        key = (info.properties or {}).get(b"key") or b""
        hosts = tuple(info.parsed_scoped_addresses())
        self._found[name] = SeenManager(hosts, info.port, key.decode(errors="replace")[:40])

    update_service = add_service

    def remove_service(self, network: Any, kind: str, name: str) -> None:
        self._found.pop(name, None)


def _library() -> Any:
    try:
        return importlib.import_module("zeroconf")
    except ImportError as error:
        raise LinkError(
            'finding Managers on the local network needs zeroconf: pip install "zeroconf>=0.132.2"'
        ) from error
