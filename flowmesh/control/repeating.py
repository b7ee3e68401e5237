"""`any` after a restart: the inputs are taken in the order in which the earlier incarnation took them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from .joins import AnyJoin, Item


class RepeatingJoin(AnyJoin[Item]):
    """An AnyJoin that first repeats an order, waiting for the input whose turn it is, and then takes what comes.

    Args:
        inputs: how many.
        order: the places of the inputs, as the page says (`Page.order`).
    """

    def __init__(self, inputs: int, order: Sequence[int]) -> None:
        super().__init__(inputs)
        self._order = list(reversed(order))

    def take(self) -> tuple[int, dict[int, Item]] | None:
        if not self._order:
            return super().take()
        for index, (place, item) in enumerate(self._queue):
            if place == self._order[-1]:
                self._order.pop()
                del self._queue[index]
                return place, {place: item}
        return None
