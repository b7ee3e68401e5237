"""Random schedules of faults, and what must hold when all is over."""

from __future__ import annotations

from flowmesh.wire.task_states import ENDED

from . import programs
from .world import Broken, SimulatedClient, World

LONG = 3000.0  # seconds of virtual time within which everything ends


def run_schedule(seed: int) -> World:
    """One schedule, from start to rest; raises Broken."""
    world = World(seed, faults=0.0)
    rng = world.rng
    world.faults = rng.choice([0.0, 0.05, 0.2])
    for number in range(rng.randint(1, 3)):
        world.add_worker(f"w{number}", slots=rng.randint(1, 2), price=rng.choice([0.0, 1.0]))
    clients = [_client(world) for _ in range(rng.randint(1, 2))]
    for _ in range(rng.randint(0, 4)):
        world.after(rng.uniform(0.0, 6.0), lambda: _fault(world, clients))
    world.run(LONG, lambda: all(client.is_served for client in clients if client.key in world.clients))
    _check_end(world, clients)
    return world


def _client(world: World) -> SimulatedClient:
    rng = world.rng
    budget = rng.choice([None, None, 30.0])
    client = world.add_client(max_workers=rng.choice([None, 1, 2]), budget=budget)
    numbers: list[int] = []
    for _ in range(rng.randint(2, 8)):
        program = programs.draw(rng)
        if budget is not None and program.timeout is None:
            program = programs.Program(program.seconds, ("done",), timeout=5.0)
        needs = tuple(rng.sample(numbers, rng.randint(1, len(numbers)))) if numbers and rng.random() < 0.3 else ()
        numbers.append(client.submit(program, needs[:2], priority=rng.choice([0, 0, 3])))
        if rng.random() < 0.1:
            client.cancel(rng.choice(numbers))
    return client


def _fault(world: World, clients: list[SimulatedClient]) -> None:
    rng = world.rng
    worker = world.workers[rng.choice(sorted(world.workers))]
    match rng.choice(["kill", "cut", "pause", "silence", "process", "client"]):
        case "kill":
            worker.kill()
            world.add_worker(f"{worker.name}x", slots=worker.capacity.slots)
        case "cut":
            world.cut.add(worker.key)
            world.after(rng.uniform(0.2, 5.0), lambda: world.cut.discard(worker.key))
        case "pause":
            worker.pause(rng.uniform(0.2, 5.0))
        case "silence":
            world.silence(worker.key)
            world.after(rng.uniform(0.1, 2.0), worker.register_again)
        case "process" if worker.processes:
            worker.exited(rng.choice(sorted(worker.processes)), -9)
        case "client" if len(world.clients) > 1:
            world.clients[rng.choice(sorted(world.clients))].leave()


def _check_end(world: World, clients: list[SimulatedClient]) -> None:
    for client in clients:
        if client.key not in world.clients:
            continue
        missing = client.submitted.keys() - client.ended.keys()
        if missing:
            states = [(task.number, task.state.value) for task in world.hub.machine.queue.tasks.values()]
            raise Broken(f"tasks {sorted(missing)} have not ended after {LONG:g} s: {states}")
    world.cut.clear()
    world.run(LONG)
    for task in world.hub.machine.queue.tasks.values():
        if task.state not in ENDED:
            raise Broken(f"task {task.number} is still {task.state.value}")
    for worker in world.hub.machine.workers.values():
        if worker.attempts or worker.busy:
            raise Broken(f"worker {worker.name} still counts attempts: {sorted(worker.attempts)}")
    for simulated in world.workers.values():
        if simulated.processes:
            raise Broken(f"processes were left: {sorted(simulated.processes)}")
