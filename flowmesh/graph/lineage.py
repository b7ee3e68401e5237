"""Lineage through triggering edges, and its consequences for joins and watermarks. Names only; no I/O.

An edge triggers when its chunks cause steps: a single input, the followed one, each of a `zip` or `any`, the reference
of an `Align`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Lineage:
    """The triggering edges of a graph.

    Args:
        names: all nodes, in topological order.
        triggers: {node: the senders of its triggering inputs}.
        merging: the nodes that take from several inputs in any order.
    """

    def __init__(self, names: Sequence[str], triggers: Mapping[str, Sequence[str]], merging: Iterable[str]) -> None:
        self._merging = frozenset(merging)
        self.triggers = triggers
        self.ancestors: dict[str, frozenset[str]] = {}
        for name in names:
            senders = triggers[name]
            self.ancestors[name] = frozenset(senders).union(*(self.ancestors[sender] for sender in senders))

    def pairing(self, senders: Sequence[str]) -> tuple[str, ...]:
        """For each input of a zip, the output by whose numbers it is paired: their nearest common ancestor; of strangers,
        each one's source. Whatever descends from several sources does so from the same number of each.

        Raises:
            ValueError: neither; the text says why.
        """
        lines = [self.ancestors[sender] | {sender} for sender in senders]
        common = frozenset.intersection(*lines)
        if not common:
            shared = [a & b for index, a in enumerate(lines) for b in lines[index + 1 :]]
            if any(shared):
                raise ValueError(
                    f"some of its inputs descend from {_listed(frozenset().union(*shared))}, others do not"
                )
            self._check_order(frozenset().union(*lines))
            return tuple(min(output for output in line if not self.triggers[output]) for line in lines)
        nearest = [output for output in common if not any(output in self.ancestors[other] for other in common)]
        if len(nearest) > 1:
            raise ValueError(f"its inputs descend from {_listed(nearest)} alike, none of which is nearer")
        self._check_order(node for node in frozenset().union(*lines) if nearest[0] in self.ancestors[node])
        return (nearest[0],) * len(senders)

    def _check_order(self, nodes: Iterable[str]) -> None:
        unordered = self._merging.intersection(nodes)
        if unordered:
            raise ValueError(f"{_listed(unordered)} mixes its inputs (join='any'), so that numbers come out of order")


def above(names: Sequence[str], edges: Iterable[tuple[str, str]], targets: Iterable[str]) -> frozenset[str]:
    """The nodes from which one of the targets can be reached, without the targets themselves unless they can."""
    pairs = list(edges)
    wanted = set(targets)
    found: set[str] = set()
    for name in reversed(names):
        if any(source == name and (target in wanted or target in found) for source, target in pairs):
            found.add(name)
    return frozenset(found)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
