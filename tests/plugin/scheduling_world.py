"""A world in which chance decides what happens to the scheduling, and to its workers.

The schedulers inside are xdist's own. The workers behave as those of xdist do: they begin an
item only when they know what comes after it, and give items back all together or not at all.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from xdist.remote import Producer
from xdist.scheduler import (
    LoadFileScheduling,
    LoadGroupScheduling,
    LoadScheduling,
    LoadScopeScheduling,
    WorkStealingScheduling,
)

from pytest_resilience.plugin.scheduling import ResilientScheduling

SCHEDULERS = {
    "load": LoadScheduling,
    "loadscope": LoadScopeScheduling,
    "loadfile": LoadFileScheduling,
    "loadgroup": LoadGroupScheduling,
    "worksteal": WorkStealingScheduling,
}
END = "end"
#: Times an item may be run once more after it has cost a worker, and may be handed over.
AGAIN = 2


class Worker:
    """A worker as xdist's controller sees it, and what it does with what it is sent."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.gateway = SimpleNamespace(id=name, spec=name)
        self.workerinput = {"workercount": 1}
        self.torun: deque[int | str] = deque()
        self.next: int | None = None
        self.running: int | None = None
        self.stays = False
        self.leaving = False
        self.dead = False

    def __repr__(self) -> str:
        return self.gateway.id

    @property
    def shutting_down(self) -> bool:
        return self.leaving or self.dead

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.sendcommand("runtests", indices=indices)

    def send_steal(self, indices: Sequence[int]) -> None:
        self.sendcommand("steal", indices=indices)

    def shutdown(self) -> None:
        self.leaving = True
        if not self.dead:
            self.sendcommand("shutdown")

    def sendcommand(self, name: str, **keywords: Any) -> None:
        if self.dead:
            raise OSError("cannot send (already closed?)")
        if name == "runtests":
            self.torun += keywords["indices"]
        elif name == "shutdown":
            self.torun.append(END)
        elif name == "steal":
            wanted = set(keywords["indices"])
            stolen = sorted(i for i in self.torun if i in wanted)
            if len(stolen) < len(wanted):
                stolen = []
            self.torun = deque(i for i in self.torun if i not in stolen)
            self.world.post(self, "given back", stolen)
        elif keywords.get("stay") is not None:
            self.stays = keywords["stay"]

    def step(self) -> bool:
        """Begin or end an item, or end the worker; return False if it can do nothing."""
        if self.running is not None:
            index, self.running = self.running, None
            self.world.post(self, "ended", index)
            return True
        while self.torun:
            command = self.torun.popleft()
            if self.next is not None:
                self.running, self.next = self.next, None
                if command != END:
                    self.next = int(command)
                self.world.begun(self, self.running)
                if command == END:
                    self.torun.appendleft(END) if not self.stays else None
                return True
            if command != END:
                self.next = int(command)
            elif not self.stays:
                self.world.post(self, "finished", None)
                self.dead = True
                return True
        return False


class World:
    """A controller of xdist, its workers, and chance.

    Args:
        killers: Items that cost their worker, and how often.
        movers: Items that want to go to another worker once; True for a fresh one.
    """

    def __init__(
        self,
        mode: str,
        count: int,
        items: Sequence[str],
        chance: random.Random,
        *,
        killers: Mapping[int, int] | None = None,
        movers: Mapping[int, bool] | None = None,
        kills: int = 0,
        restarts: int = 1000,
    ) -> None:
        self.items, self.chance = list(items), chance
        self.killers, self.movers = dict(killers or {}), dict(movers or {})
        self.kills, self.restarts = kills, restarts
        self.events: deque[tuple[Worker, str, Any]] = deque()
        self.verdicts: Counter[int] = Counter()
        self.runs: list[tuple[int, str]] = []
        self.open: set[int] = set()
        self.gone: dict[int, bool] = {}
        self.lost: Counter[int] = Counter()
        self.workers: list[Worker] = []
        self.starting: list[Worker] = []
        self.active: set[Worker] = set()
        self.shutting_down = self.stopping = False
        self.started_fresh = 0
        config: Any = SimpleNamespace(
            getvalue=lambda _name: ["popen"] * count,
            getoption=lambda _name: None,
            option=SimpleNamespace(loadscopereorder=False),
        )
        inner = SCHEDULERS[mode](config, Producer("", enabled=False))
        self.scheduling = ResilientScheduling(inner, self, self)
        for _ in range(count):
            self.start()

    # What the scheduling asks of xdist's session

    def coming(self, nodes: Sequence[Worker]) -> bool:
        return any(worker not in nodes for worker in self.active)

    def go_on(self) -> None:
        self.shutting_down = False

    def start_like(self, node: Worker) -> bool:
        if self.started_fresh >= 2:
            return False
        self.started_fresh += 1
        self.start()
        return True

    # What it asks of what is known of items

    def running(self, nodeid: str) -> bool:
        return self.items.index(nodeid) in self.open

    def settled(self, nodeid: str, worker: str) -> bool:
        return self.verdicts[self.items.index(nodeid)] > 0

    def departs(self, index: int) -> bool | None:
        return self.gone.pop(index, None)

    def arrival(self, index: int) -> None:
        return None

    def heard(self, node: Worker, message: Mapping[str, Any]) -> None:
        raise AssertionError("nobody said anything")

    def unfit(self, node: Worker) -> None:
        raise AssertionError("all collect the same")

    # What happens

    def start(self) -> None:
        worker = Worker(self, f"gw{len(self.workers)}")
        self.workers.append(worker)
        self.starting.append(worker)
        self.active.add(worker)

    def post(self, worker: Worker, what: str, detail: Any) -> None:
        self.events.append((worker, what, detail))

    def begun(self, worker: Worker, index: int) -> None:
        self.runs.append((index, repr(worker)))
        self.open.add(index)
        if self.killers.get(index, 0) > 0:
            self.killers[index] -= 1
            self.kill(worker)

    def kill(self, worker: Worker) -> None:
        worker.dead = True
        # What it had said before is still heard.
        self.post(worker, "lost", None)

    def run(self) -> None:
        """Let chance choose what happens next, until the session is over."""
        for _ in range(20_000):
            if self.shutting_down and not self.active:
                return
            if not self.step():
                raise AssertionError(f"nothing happens any more: {self.told()}")
        raise AssertionError(f"no end: {self.told()}")

    def step(self) -> bool:
        living = [w for w in self.workers if not w.dead and w not in self.starting]
        if self.kills and living and self.chance.random() < 0.05:
            self.kills -= 1
            self.kill(self.chance.choice(living))
            return True
        ways = [self.hear] if self.events else []
        ways += [self.collect] if self.starting else []
        self.chance.shuffle(living)
        ways += [worker.step for worker in living]
        self.chance.shuffle(ways)
        return any(way() for way in ways)

    def collect(self) -> bool:
        worker = self.starting.pop(0)
        if self.shutting_down:
            self.active.discard(worker)
            worker.dead = True
            return True
        self.scheduling.add_node(worker)
        self.scheduling.add_node_collection(worker, self.items)
        if self.scheduling.collection_is_completed:
            self.scheduling.schedule()
        self.look()
        return True

    def hear(self) -> bool:
        worker, what, detail = self.events.popleft()
        if what == "given back":
            self.scheduling.remove_pending_tests_from_node(worker, detail)
        elif what == "ended":
            self.open.discard(detail)
            if detail in self.movers:
                self.gone[detail] = self.movers.pop(detail)
            else:
                self.verdicts[detail] += 1
            self.scheduling.mark_test_complete(worker, detail, 0)
        elif what == "finished":
            self.scheduling.remove_node(worker)
            self.active.discard(worker)
        else:
            self.bury(worker)
        self.look()
        return True

    def bury(self, worker: Worker) -> None:
        crashed = self.scheduling.remove_node(worker)
        if crashed is not None:
            index = self.items.index(crashed)
            self.open.discard(index)
            self.lost[index] += 1
            if self.lost[index] <= AGAIN:
                again = self.lost[index] > 1
                self.scheduling.run_again(index, avoid=(repr(worker),), fresh=again, alone=again)
            else:
                self.verdicts[index] += 1
        if self.restarts > 0:
            self.restarts -= 1
            self.shutting_down = False
            self.start()
        else:
            self.end_all()
        self.active.discard(worker)

    def look(self) -> None:
        if self.scheduling.tests_finished:
            self.end_all()

    def end_all(self) -> None:
        if not self.shutting_down:
            self.shutting_down = True
            for worker in self.scheduling.nodes:
                worker.shutdown()

    def told(self) -> dict[str, Any]:
        return {
            "without verdict": [i for i in range(len(self.items)) if not self.verdicts[i]],
            "workers": [(w, w.dead, w.next, w.running, [*w.torun]) for w in self.workers],
            "active": self.active,
        }


def items(files: int, classes: int, tests: int) -> list[str]:
    return [
        f"test_{f}.py::Test{c}::test_{t}@group{c}"
        for f in range(files)
        for c in range(classes)
        for t in range(tests)
    ]
