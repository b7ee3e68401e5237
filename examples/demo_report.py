"""What the demo leaves to look at: a table of what each node and edge did, and a contact sheet of the film it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

COLUMNS, ROWS = 3, 4
WIDTH = 640  # of one picture in the contact sheet, in pixels


def save(status: Any, video: Path, folder: Path) -> None:
    """Print the tables of a manager's status; leave them as report.txt, and contact-sheet.png, in the folder."""
    report = f"{nodes_table(status)}\n\n{edges_table(status)}\n"
    (folder / "report.txt").write_text(report)
    cv2.imwrite(str(folder / "contact-sheet.png"), contact_sheet(video))
    print(f"{report}\nin {folder}/: {video.name}, contact-sheet.png, report.txt")


def nodes_table(status: Any) -> str:
    header = ("node", "steps", "errors", "rate 1/s", "step p50 ms", "step p95 ms")
    rows = [
        (name, node.steps, node.errors, f"{node.rate:.1f}", f"{1e3 * node.p50:.2f}", f"{1e3 * node.p95:.2f}")
        for name, node in status.nodes.items()
    ]
    return table([header, *rows])


def edges_table(status: Any) -> str:
    header = ("edge", "transport", "sent", "received", "dropped", "in flight")
    rows = [
        (f"{source} -> {target}", edge.transport, edge.sent, edge.received, reasons(edge.dropped), edge.in_flight)
        for (source, target), edge in status.edges.items()
    ]
    return table([header, *rows])


def reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in dropped.items() if number) or "0"


def table(rows: list[tuple[object, ...]]) -> str:
    """The rows as text in columns: the first one flush left, the others flush right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    formats = [f"{{:{'>' if place else '<'}{width}}}" for place, width in enumerate(widths)]
    return "\n".join("  ".join(formats).format(*map(str, row)) for row in rows)


def contact_sheet(video: Path) -> np.ndarray:
    """Twelve frames at equal distances, in a grid of 3 by 4, as one image.

    Raises:
        ValueError: the film has no frame.
    """
    count = frames_of(video)
    if count < 1:
        raise ValueError(f"{video} holds no frame")
    capture = cv2.VideoCapture(str(video))
    wanted = [(2 * place + 1) * count // (2 * COLUMNS * ROWS) for place in range(COLUMNS * ROWS)]
    pictures = {number: picture(capture) for number in range(count) if capture.grab() and number in wanted}
    capture.release()
    sheet = [np.hstack([pictures[number] for number in wanted[row * COLUMNS :][:COLUMNS]]) for row in range(ROWS)]
    return np.vstack(sheet)


def frames_of(video: Path) -> int:
    """How many frames it holds, counted: what a file says of itself is an estimate where frames come at uneven times."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def picture(capture: cv2.VideoCapture) -> np.ndarray:
    """The frame that was just grabbed, made small."""
    frame = capture.retrieve()[1]
    return cv2.resize(frame, (WIDTH, frame.shape[0] * WIDTH // frame.shape[1]), interpolation=cv2.INTER_AREA)
