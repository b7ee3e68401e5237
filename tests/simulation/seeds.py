"""Schedules that have found something. They run in every test run, however many others do.

Each is named for the mutant that it shows. Whoever changes what a seed means (a random number more or less) lets the
mutants find new ones.
"""

from __future__ import annotations

# The first schedule of the mutant's shape in which it shows. Those with a comment were not in the rules as written.
KEPT: dict[str, int] = {
    "settled at taken": 5,
    "settled at the step's end": 5,
    "told before the page is written": 1,
    "next is behind the highest given": 7,
    "forgotten when one edge has settled": 2,
    "forgotten when the consumer has it": 27,
    "everything is sent again": 6,
    "old credit is believed": 189,
    "old chunks are believed": 2,
    # A link that is lost while both ends live makes a second connection of the same two epochs.
    "connections are named by epochs alone": 2,
    "nobody answers for who has left": 104,
    "no marks before zip": 1,
    # A filter has settled all it was given, dies, and its last mark with it: the zip's other input stays full.
    "marks die with their node": 234,
    # What a join drops is progress: else a zip further down waits for descendants of what was dropped.
    "drops are no progress": 1,
    # ... and it is settled at once, so that nobody will be given it again who could say so.
    "the progress of drops dies with their node": 107,
    # Of the very output by which it pairs, a zip's new incarnation is given nothing that is settled, and no mark either.
    "a zip forgets what it has settled": 10172,
    "any takes as it comes after a restart": 86,
    # What the earlier incarnation stepped on was dropped by the next one, as the sample had not come again yet.
    "before_first is dropped after a restart": 96,
    # Producer and consumer of a sampled edge both die: the step that made the newest chunk is settled, nobody repeats it.
    "the newest sample dies with its producer": 17,
    # A followed input holds what its sampled one needs to bring anything, and the producer is at its cap or window. To
    # tell who holds it was not enough: it may be another source that can't go on, to whom the followed one is a stranger.
    "what is followed is kept until the first sample": 1,
    # A zip of two sources by their own numbers, one behind a filter, and another zip of the two: each fills the other's
    # windows.
    "strangers pair by their own numbers": 1,
    # Of two emissions for one chunk of a fork the second has no partner; its slot waits for the fork's next chunk.
    "a lone chunk is not known to be the last": 45,
}
