"""The gateways of a graph that crosses hosts, as the Manager sees them: their addresses, and the pairs that are linked.

It takes the workers' reports and returns which workers need which peers. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.plan_specs import LinkAddress, Transfer

PATIENCE = 5.0  # seconds that two gateways have to connect before the user gets a warning

PeersOf = dict[str, dict[str, LinkAddress]]  # {worker: the gateways that its own exchanges chunks with, by worker}


class LinkTable:
    """The links between the workers of a graph's transfers; none where nothing crosses hosts."""

    def __init__(self, transfers: Iterable[Transfer] = ()) -> None:
        ways = ((part.source_worker, part.target_worker) for part in transfers)
        self._pairs = sorted({(min(way), max(way)) for way in ways})
        self._addresses: dict[str, LinkAddress] = {}
        self._up: set[tuple[str, str]] = set()  # (the worker that reports it, its peer)
        self._gone: set[str] = set()
        self._warn_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether all pairs are up, as both workers of each report."""
        return all(map(self._is_up, self._pairs))

    def gateway_opened(self, worker: str, link: LinkAddress, now: float) -> PeersOf:
        """Note that a worker's gateway listens, perhaps again. Returns the peers of all workers, once all listen."""
        self._addresses[worker] = link
        self._up = {(speaker, peer) for speaker, peer in self._up if worker not in (speaker, peer)}
        if not self._workers <= self._addresses.keys():
            return {}
        self._warn_at = now + PATIENCE
        return self._peers()

    def link_changed(self, worker: str, peer: str, up: bool) -> str:
        """Note that a worker's link to a peer is up or lost; returns a text if it is news of the pair."""
        pair = (min(worker, peer), max(worker, peer))
        before = self._is_up(pair)
        (self._up.add if up else self._up.discard)((worker, peer))
        if pair not in self._pairs or self._is_up(pair) is before or self._gone.intersection(pair):
            return ""
        return f"the link between the workers {_both(pair)} {'is lost, and is dialled again' if before else 'is up'}"

    def worker_gone(self, worker: str) -> PeersOf:
        """Note that a worker has gone. Returns the new peers of the others, so that nothing waits for it any more."""
        if worker not in self._workers:
            return {}
        self._gone.add(worker)
        return self._peers()

    def overdue(self, now: float) -> list[str]:
        """The warnings about links that take long to come up; each once."""
        if self._warn_at is None or now < self._warn_at:
            return []
        self._warn_at = None
        return self.missing()

    def missing(self) -> list[str]:
        """A sentence for each link that is not open, or for each pair of them that is not up."""
        closed = [
            f"the link of worker {name!r} did not open" for name in sorted(self._workers - self._addresses.keys())
        ]
        return closed or [self._explained(pair) for pair in self._pairs if not self._is_up(pair)]

    @property
    def _workers(self) -> set[str]:
        return {worker for pair in self._pairs for worker in pair}

    def _is_up(self, pair: tuple[str, str]) -> bool:
        return {pair, pair[::-1]} <= self._up

    def _peers(self) -> PeersOf:
        there = self._addresses.keys() - self._gone
        peers: PeersOf = {worker: {} for worker in sorted(self._workers & there)}
        for pair in self._pairs:
            if there >= set(pair):
                for worker, peer in (pair, pair[::-1]):
                    peers[worker][peer] = self._addresses[peer]
        return peers

    def _explained(self, pair: tuple[str, str]) -> str:
        one, other = (f"{name!r} (at {_place(self._addresses[name])})" for name in pair)
        return f"the links of the workers {one} and {other} do not reach each other: is a firewall between them?"


def _both(pair: tuple[str, str]) -> str:
    return f"{pair[0]!r} and {pair[1]!r}"


def _place(link: LinkAddress) -> str:
    return f"{link.address}:{link.port}"
