"""Joins of restartable nodes: the steps of an earlier incarnation are repeated. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..node.joins import AnyJoin, Dropped, FollowJoin, Item


class ReplayAnyJoin(AnyJoin[Item]):
    """An AnyJoin that first repeats an order, waiting for the next input in it, and then takes what comes.

    Args:
        inputs: the number of inputs.
        order: the indices of the inputs, as the checkpoint has them (`Checkpoint.order`).
    """

    def __init__(self, inputs: int, order: Sequence[int]) -> None:
        super().__init__(inputs)
        self._order = list(reversed(order))

    def next_step(self) -> tuple[int, dict[int, Item]] | None:
        if not self._order:
            return super().next_step()
        for position, (index, item) in enumerate(self._queue):
            if index == self._order[-1]:
                self._order.pop()
                del self._queue[position]
                return index, {index: item}
        return None


class ReplayFollowJoin(FollowJoin[Item]):
    """A FollowJoin that drops nothing as `before_first` once the node has stepped in any incarnation: its sampled
    inputs give their newest again. Before that it keeps nothing: what waits is not settled, and a producer above that
    may go no further until it is may be the one that the sample descends from.

    Args:
        inputs, followed: as FollowJoin's.
        begun: whether the node has stepped (`Checkpoint.begun`).
    """

    def __init__(self, inputs: int, followed: int, begun: bool) -> None:
        super().__init__(inputs, followed, keeps=0)
        self._begun = begun

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None:
        if index == self._followed and self._begun:
            self._queue.append(item)
            return None
        return super().add_chunk(index, item)
