"""What must have come about when all have ended, whatever died on the way: computed from the graph, without any Machine."""

from __future__ import annotations

from collections import defaultdict

from .graphs import Chunk, Edge, Node
from .world import Broken


def check_results(node: Node) -> None:
    """What a node gave, what it committed, and what became of all that was sent to it.

    Raises:
        Broken: it is not what it must be.
    """
    for edge in node.ins:
        _check_conservation(edge)
    numbers = sorted(node.given)
    if numbers != list(range(1, len(numbers) + 1)):
        raise Broken(f"{node.name} gave the numbers {numbers}")
    if not node.outs:
        _check_commits(node)
    elif node.ins:
        _check_contents(node)
    elif len(numbers) != node.chunks and not (node.closed_early and (node.chunks < 0 or len(numbers) < node.chunks)):
        raise Broken(f"{node.name} gave {len(numbers)} chunks instead of {node.chunks}")


def _check_conservation(edge: Edge) -> None:
    """Sent = received + dropped by reason + lost with a process, where loss is allowed."""
    sent = set(edge.source.given)
    missing = sent - edge.fates.keys() - edge.lost
    if missing or not edge.fates.keys() <= sent or (edge.lossless and edge.lost):
        raise Broken(f"{edge}: {len(sent)} sent, fates {edge.fates}, lost {edge.lost}")


def _received(edge: Edge) -> list[Chunk]:
    return [edge.source.given[number] for number in sorted(edge.fates) if edge.fates[number] == "received"]


def _triggering(node: Node) -> list[tuple[int, Edge]]:
    followed = node.join == "follow" and len(node.ins) > 1
    return [(index, edge) for index, edge in enumerate(node.ins) if not (followed and edge.sampled)]


def _check_commits(node: Node) -> None:
    for index, edge in _triggering(node):
        numbers = [number for where, number, _ in node.committed if where == index]
        received = [chunk.number for chunk in _received(edge)]
        if edge.lossless and numbers != received:
            raise Broken(f"{edge}: committed {numbers} of {received}")
        if numbers != sorted(set(numbers)):
            raise Broken(f"{edge}: committed {numbers}")
        for where, number, content in node.committed:
            if where == index and content != edge.source.given[number].content:
                raise Broken(f"{edge}: the content of {number} is another's")
    if node.join == "zip":
        committed = [content for where, _, content in node.committed if where == 0]
        _check_prefix(node, committed, [pair[0] for pair in _pairs(node)])


def _check_contents(node: Node) -> None:
    """All lossless inputs: the contents are those of an undisturbed run."""
    contents = [node.given[number].content for number in sorted(node.given)]
    if node.join == "zip":
        wanted = [content for pair in _pairs(node) for content in node.gives(pair)]
        _check_prefix(node, contents, wanted)
        return
    wanted = [
        content
        for _, edge in _triggering(node)
        for chunk in _received(edge)
        for content in node.gives((chunk.content,))
    ]
    if len(_triggering(node)) > 1:
        contents, wanted = sorted(contents), sorted(wanted)
    _check_prefix(node, contents, wanted)


def _check_prefix(node: Node, contents: list[int], wanted: list[int]) -> None:
    whole = contents == wanted or (node.closed_early and set(contents) <= set(wanted))
    if not whole:
        raise Broken(f"{node.name}: {len(contents)} contents, {len(wanted)} were expected, or in another order")


def _pairs(node: Node) -> list[tuple[int, ...]]:
    """The i-th of a number on one input with the i-th of it on the other."""
    lines = []
    for index, edge in enumerate(node.ins):
        by_number: dict[int, list[int]] = defaultdict(list)
        for chunk in edge.source.given.values():
            by_number[node.number(index, chunk)].append(chunk.content)
        lines.append(by_number)
    numbers = sorted(set(lines[0]).intersection(*lines[1:]))
    return [pair for number in numbers for pair in zip(*(line[number] for line in lines), strict=False)]
