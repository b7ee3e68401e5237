"""Hosts, and the transfers between them, ready to go."""

from __future__ import annotations

from flowmesh.channel.counters import CounterPage
from flowmesh.wire.plan_specs import Transfer

from .fakes import Consumer, Producer
from .gateways import Host


class Site:
    """All hosts that the transfers go between, each knowing those that it exchanges with, and connected with them.

    Attributes:
        producers: one a transfer.
        consumers: of each transfer, one an edge.
        pages: of each transfer, that of the target's link.
    """

    def __init__(self, *transfers: Transfer, hold: int = 4) -> None:
        self.transfers = transfers
        names = sorted({name for each in transfers for name in (each.source_worker, each.target_worker)})
        self.hosts = {name: Host(name) for name in names}
        self.producers = [Producer(each) for each in transfers]
        self.consumers = [[Consumer(each, index, hold) for index in range(len(each.edges))] for each in transfers]
        self.pages = [CounterPage.make(len(each.edges), 0) for each in transfers]
        for index in range(len(transfers)):
            self.source_begins(index)
            self.target_begins(index)
        self.introduce()
        for a, b in self.pairs:
            self.hosts[a].is_up_with(self.hosts[b])
            self.hosts[b].is_up_with(self.hosts[a])

    def source_begins(self, index: int) -> None:
        transfer, producer = self.transfers[index], self.producers[index]
        self.hosts[transfer.source_worker].sends(transfer, producer.page.descriptor, producer.theirs)

    def target_begins(self, index: int, again: int = 0) -> None:
        transfer = self.transfers[index]
        ends = [end for consumer in self.consumers[index] for end in consumer.theirs]
        self.hosts[transfer.target_worker].receives(transfer, self.pages[index].descriptor, ends, again)

    @property
    def pairs(self) -> set[tuple[str, str]]:
        both = ((each.source_worker, each.target_worker) for each in self.transfers)
        return {(min(a, b), max(a, b)) for a, b in both}

    def introduce(self) -> None:
        """As the Manager does it when a link has started."""
        for name, host in self.hosts.items():
            others = {b if a == name else a for a, b in self.pairs if name in (a, b)}
            host.knows(*(self.hosts[other] for other in others))
