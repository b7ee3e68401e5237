"""MjpegServer: a sink that shows its input in a browser. view_streams.py keeps the pictures, http_server.py sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..chunk import DataChunk
from ..errors import FlowmeshError, GraphError
from ..node import register
from ..standard_streams import write_stderr
from .base import BaseNode, is_whole
from .http_server import ViewServer
from .images import is_picture, pictures
from .view_streams import ViewFrame


class MjpegServer(BaseNode):
    """A sink whose inputs can be looked at in a browser. It never holds the graph back, however slow a viewer is.

    Any number of nodes may send to it. Every record that is a picture by its shape is shown: H×W, H×W×1, H×W×3 (BGR) or
    H×W×4 (alpha is left away) of any numeric dtype; what is not uint8 is stretched from its smallest to its largest
    value. The page at "/" lists all; "/NAME.jpg" is the newest picture of the sender NAME, "/NAME.mjpg" its stream
    (multipart/x-mixed-replace), "/NAME/RECORD.jpg" and ".mjpg" those of one of several records.

    A viewer gets the newest picture whenever it is ready for one; those in between are counted as skipped. One that
    does not take a picture within 10 s is let go. There is no password: on a machine that others use, they can look too.

    >>> view = MjpegServer("view", port=8000)                  # http://127.0.0.1:8000/

    Args:
        name: the node's name; the page's title.
        host: the address to listen at; only this machine can reach the default. "0.0.0.0": anyone who reaches this machine.
        port: the port; 0 takes a free one, which the log and `address()` tell.
        quality: of the JPEGs, 1 to 100.
        record: the name of the only record to show; None shows all that are pictures.
        most_viewers: connections at a time; further ones are refused (503).
        options: options of Node: `join`, `hold`, ...

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: it can't listen there.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        quality: int = 80,
        record: str | None = None,
        most_viewers: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not isinstance(host, str):
            raise GraphError(f"{self.name}: host is an address of this machine such as '127.0.0.1', not {host!r}")
        if not is_whole(port, 0) or port > 65535:
            raise GraphError(f"{self.name}: port is a number from 0 (any free one) to 65535, not {port!r}")
        if not is_whole(quality, 1) or quality > 100:
            raise GraphError(f"{self.name}: quality is a whole number from 1 to 100, not {quality!r}")
        if not is_whole(most_viewers, 1):
            raise GraphError(f"{self.name}: most_viewers is a whole number from 1, not {most_viewers!r}")
        self.host, self.port, self.quality, self.record, self.most_viewers = host, port, quality, record, most_viewers
        self._server: ViewServer | None = None

    def setup(self) -> None:
        self._shown, self._without = ViewFrame(self.quality), Counter[str]()
        try:
            self._server = ViewServer(self._shown, self.name, self.host, self.port, self.most_viewers)
        except FlowmeshError as error:
            raise FlowmeshError(f"{self.name}: {error}: choose another port, or port=0 for any free one") from error
        self._server.start()
        self.logger.info("to be seen at %s", self._server.url)
        write_stderr(f"{self.name}: to be seen at {self._server.url}\n")  # for whom no logging is set up

    def step(self, data: Mapping[str, DataChunk]) -> None:
        for sender, chunk in data.items():
            shown = False
            for record, picture in pictures(chunk):
                if self.record in (None, record):
                    self._shown.put(sender, record, picture)
                    shown = True
            if not shown:
                self._tell_without(sender, chunk)

    def teardown(self) -> None:
        if self._server is not None:
            self._server.stop()

    @register
    def address(self) -> str:
        """Where a browser finds the page: "http://127.0.0.1:43211/"."""
        assert self._server is not None, "setup has made it"
        return self._server.url

    @register
    def info(self) -> dict[str, Any]:
        """What there was of each stream, by "sender/record": frames, viewers (now) and skipped (all viewers' together); and
        under "without_picture" how many chunks held none, by their sender."""
        streams = {
            f"{sender}/{record}": {"frames": showing.frames, "viewers": showing.viewers, "skipped": showing.skipped}
            for (sender, record), showing in self._shown.streams().items()
        }
        return {"streams": streams, "without_picture": dict(self._without)}

    def _tell_without(self, sender: str, chunk: DataChunk) -> None:
        self._without[sender] += 1
        if self._without[sender] == 1:
            wanted = "picture" if self.record is None else f"picture {self.record!r}"
            what = ", ".join(
                f"{name} ({'picture' if is_picture(value) else type(value).__name__})"
                for name, value, _ in chunk.records()
            )
            self.logger.warning("what %s sends holds no %s, only: %s", sender, wanted, what or "nothing")
