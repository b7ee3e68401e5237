"""`flowmesh-worker`: a worker without a script. It waits for its Manager, prints what happens, and leaves on Ctrl+C.

The token is wiped from the process list before anything heavy is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .options import RECORDINGS_VARIABLE, hide_token, parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0 when it left in order, 1 when it was refused or lost its
    Manager, 2 when an option has a wrong value."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    token = hide_token(given)
    asked = parser().parse_args(given)
    if asked.recordings is not None:
        os.environ[RECORDINGS_VARIABLE] = str(asked.recordings.expanduser().absolute())
    from flowmesh.errors import WorkerError

    from .service import WorkerService

    try:
        service = WorkerService(asked, token)
    except WorkerError as error:
        print(f"flowmesh-worker: {error}", file=sys.stderr)
        return 2
    return service.run()


if __name__ == "__main__":
    sys.exit(main())
