"""Tasks over three hosts: the program and its Manager on one, a worker on each of two others, one of which is cut off."""

from __future__ import annotations

from collections.abc import Callable

from .network import Host, Network

Deadline = Callable[[float], float]

PROGRAM = """
import sys
from functools import partial
import flowmesh as fm

def gen(): return 1, 2
def total(*numbers): return sum(numbers)
def grow(count): return [fm.context().executor.submit(gen) for _ in range(count)]
def reduce(pairs): return sum(map(sum, pairs))
def square(number): return number ** 2
def slow(seconds):
    import time
    time.sleep(seconds)
    return fm.context().worker

if __name__ == "__main__":
    with fm.Manager(host="0.0.0.0", port=9000) as manager:
        for name in ("first", "second"):
            print(name, manager.token().text, flush=True)
        with fm.Executor(manager, timeout=120, retries=3) as executor:
            print("chain", (executor >> gen >> total >> fm.remote("echo", kind="echo_executor")).result(), flush=True)
            print("grown", (executor >> partial(grow, 5) >> reduce).result(), flush=True)
            print("squares", sum(executor.map(square, range(200))), flush=True)
            once = executor.options(retries=0).submit(slow, 100)
            again = executor.options(kind="echo_executor").submit(slow, 0)
            print("elsewhere", again.result(), flush=True)
            sys.stdin.readline()
            print("cut", type(once.exception()).__name__, flush=True)
"""
ECHO = "def echo(value):\n    return value\n"


def test_tasks_on_three_hosts(network: Network, here: Host, deadline: Deadline) -> None:
    one, two = network.host("one"), network.host("two")
    two.folder.mkdir(parents=True, exist_ok=True)
    (two.folder / "echo.py").write_text(ECHO)
    program = here.python(PROGRAM)
    first, second = (program.says(rf"^{name} (fm1-\S+)$", deadline(30))[1] for name in ("first", "second"))
    one.worker("--name", "first", "--slots", "2", "--token", first)
    two.worker("--name", "second", "--kind", "echo_executor", "--functions", "echo.py", "--token", second)
    program.says("^chain 3$", deadline(60))
    program.says("^grown 15$", deadline(30))
    program.says("^squares 2646700$", deadline(60))
    program.says("^elsewhere second$", deadline(30))
    one.cut()
    program.tell("cut")
    program.says("^cut TaskDied$", deadline(30))
    program.succeeds(deadline(30))
