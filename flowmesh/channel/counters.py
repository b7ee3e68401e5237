"""The counter page of a node: 64-bit cells in shared memory. Made and held by the worker, so it outlives the node.

    0 control   1 steps   2 errors   3 busy since   4 first start   5 last step's end
    6 one more than the index of the output that blocks an emission, 0 for none   7 whether the node has a pace to keep
    8 the offset from the host's monotonic clock to the Manager's, ns, signed   9 its largest error, 0: not known
    10.. step-time histogram; of consecutive quick steps only one in eight
    then a block per output, a block per input: sent or received | bytes or copied | dropped, one cell per reason |
        at rest: the chunks that wait here, before the channel or behind it

Times are nanoseconds of the host's monotonic clock, 0 for never.

Only the worker writes the control cell and the two of the clock; only the node writes all others. Cells are written
through a memoryview cast to 64 bits, one store each: a reader never sees half a value. Signed values are kept as two's
complement.
"""

from __future__ import annotations

import mmap
import os

from ..wire.plan_specs import REASONS

CONTROL, STEPS, ERRORS, BUSY, FIRST, LAST, HELD, PACED, OFFSET, BOUND = range(10)
HISTOGRAM = 10
BUCKETS = 256
BLOCK = 2 + len(REASONS) + 1
WAITING = BLOCK - 1
_BLOCKS = HISTOGRAM + BUCKETS
_ALL_BITS = (1 << 64) - 1
REASON_CELL = {reason: 2 + index for index, reason in enumerate(REASONS)}


class CounterPage:
    """A node's counter page. `cells` are its 64-bit cells; `output(i)` and `input(i)` give where a block begins."""

    def __init__(self, descriptor: int, outputs: int, inputs: int) -> None:
        self.descriptor = descriptor
        self._outputs = outputs
        self._inputs = inputs
        size = 8 * (_BLOCKS + BLOCK * (outputs + inputs))
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        self.cells = memoryview(mmap.mmap(descriptor, size)).cast("Q")

    @classmethod
    def make(cls, outputs: int, inputs: int) -> CounterPage:
        return cls(os.memfd_create("flowmesh-page", os.MFD_CLOEXEC), outputs, inputs)

    def output(self, index: int) -> int:
        return _BLOCKS + BLOCK * index

    def input(self, index: int) -> int:
        return _BLOCKS + BLOCK * (self._outputs + index)

    def set_clock(self, offset: int, bound: int) -> None:
        """Write the Manager's clock minus the host's monotonic one, and its largest error; ns. For the worker."""
        self.cells[OFFSET] = offset & _ALL_BITS
        self.cells[BOUND] = bound

    def clock(self) -> tuple[int, int]:
        """The values of the last `set_clock`. For the node."""
        return signed(self.cells[OFFSET]), self.cells[BOUND]

    def dropped(self, block: int) -> dict[str, int]:
        """The dropped chunks of a block, by reason; without the reasons that did not occur."""
        counts = {reason: self.cells[block + cell] for reason, cell in REASON_CELL.items()}
        return {reason: count for reason, count in counts.items() if count}

    def percentile(self, share: float) -> float:
        """The step time in seconds below which `share` of all steps were; 0 before the first step."""
        counts = self.cells[HISTOGRAM : HISTOGRAM + BUCKETS]
        total = sum(counts)
        seen = 0
        for bucket, count in enumerate(counts):
            seen += count
            if count and seen >= share * total:
                return _middle(bucket) / 1e9
        return 0.0

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def signed(cell: int) -> int:
    """The signed number that a cell holds."""
    return cell - (1 << 64) if cell >> 63 else cell


def bucket(nanoseconds: int) -> int:
    """The histogram's bucket of a step time: four to each doubling."""
    bits = nanoseconds.bit_length()
    return bits * 4 + (nanoseconds >> (bits - 3) & 3) if bits > 3 else nanoseconds


def _middle(index: int) -> float:
    if index < 16:
        return float(index)
    bits, quarter = divmod(index, 4)
    return (4 + quarter + 0.5) * 2.0 ** (bits - 3)
