"""Scripts that are run for real: one process packs its own `__main__`, another one, without it, loads and runs that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flowmesh

REPOSITORY = Path(flowmesh.__path__[0]).parent
DEADLINE = 60 * float(os.environ.get("FLOWMESH_TEST_PATIENCE", "1"))

# Stands at the end of a script: `nodes` and `packages` are the script's.
PACK = """
if __name__ == "__main__":
    import sys, msgspec
    from flowmesh.errors import ShippingError
    from flowmesh.shipping.bundle import pack_code
    try:
        packed = pack_code(nodes, globals().get("packages", ()))
    except ShippingError as error:
        sys.exit(f"ShippingError: {error}")
    with open(sys.argv[1], "wb") as file:
        file.write(msgspec.msgpack.encode(packed))
"""

# Prints {node's name: what its step returned}; the traceback of what it raised is under "error".
RUN = """
import json, msgspec, sys, traceback
from flowmesh.shipping.installer import install, load_node
from flowmesh.wire.plan_specs import Code

results = {}
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        code, instances = msgspec.msgpack.decode(file.read(), type=tuple[Code, dict[str, bytes]])
    try:
        install(code)
        for name, instance in instances.items():
            node = load_node(instance)
            node.setup()
            results[name] = node.step()
    except Exception:
        results["error"] = traceback.format_exc()
print(json.dumps(results))
"""


class Travel:
    """A folder for the scripts of one test, and an empty one from which the nodes' side is run."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.elsewhere = folder / "elsewhere"
        self.app.mkdir()
        self.elsewhere.mkdir()

    def write(self, files: dict[str, str | bytes]) -> None:
        """Write files below the script's folder."""
        for name, content in files.items():
            path = self.app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def pack(self, script: str, *, name: str = "script.py", options: tuple[str, ...] = ()) -> Path:
        """Run a script that defines `nodes`; the file that holds what it packed."""
        self.write({name: script + PACK})
        return self.packed([*options, str(self.app / name)])

    def packed(self, command: list[str], cwd: Path | None = None) -> Path:
        """Run Python with `command`; the file that it packed into, which it gets as its last argument."""
        out = self.elsewhere.parent / f"packed-{len(list(self.elsewhere.parent.iterdir()))}"
        done = _python([*command, str(out)], cwd or self.elsewhere)
        assert done.returncode == 0, done.stderr
        return out

    def refused(self, script: str) -> str:
        """Run a script that can't be packed; what it says."""
        self.write({"script.py": script + PACK})
        done = _python([str(self.app / "script.py"), "/dev/null"], self.elsewhere)
        assert done.stderr.startswith("ShippingError: "), done.stderr
        return done.stderr.removeprefix("ShippingError: ").strip()

    def run(self, *packed: Path) -> dict[str, Any]:
        """Load and step every node of what was packed, in one fresh process that can't see the script's folder."""
        hidden = self.app.rename(self.app.with_name("hidden"))
        try:
            done = _python(["-c", RUN, *map(str, packed)], self.elsewhere)
        finally:
            hidden.rename(self.app)
        assert done.returncode == 0, done.stderr
        results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return results

    def __call__(self, script: str) -> dict[str, Any]:
        """Pack a script and run its nodes."""
        return self.run(self.pack(script))


def _python(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
