"""The scheduling in a world of its own: workers that end, are lost, come late, hand items over.

The schedulers inside are xdist's own. The workers behave as those of xdist do: they begin an
item only when they know what comes after it.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

each_mode = pytest.mark.parametrize("mode", SCHEDULERS)


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


@each_mode
@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)),
    kills=st.integers(0, 6),
    data=st.data(),
)
def test_every_item_gets_one_verdict_whatever_happens(
    mode: str,
    seed: int,
    count: int,
    shape: tuple[int, int, int],
    kills: int,
    data: st.DataObject,
) -> None:
    names = items(*shape)
    places = st.integers(0, len(names) - 1)
    killers = data.draw(st.dictionaries(places, st.integers(1, 4), max_size=3), "killers")
    movers = {}
    if mode in ("load", "worksteal"):
        movers = data.draw(st.dictionaries(places, st.booleans(), max_size=4), "movers")
    world = World(
        mode, count, names, random.Random(seed), killers=killers, movers=movers, kills=kills
    )
    world.run()
    assert dict(world.verdicts) == dict.fromkeys(range(len(names)), 1), world.told()


@each_mode
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 4))
def test_without_losses_every_item_runs_once_where_the_scheduler_wants_it(
    mode: str, seed: int, count: int
) -> None:
    names = items(2, 2, 4)
    world = World(mode, count, names, random.Random(seed))
    world.run()
    assert sorted(index for index, _ in world.runs) == list(range(len(names)))
    if mode.startswith("load") and mode != "load":
        by_scope = {world.scheduling._scope(index): worker for index, worker in world.runs}
        assert all(by_scope[world.scheduling._scope(i)] == worker for i, worker in world.runs)


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "loadgroup"])
@settings(max_examples=80)
@given(seed=st.integers(0, 2**32), kills=st.integers(1, 3))
def test_what_a_lost_worker_leaves_of_a_scope_runs_on_one_worker_in_order(
    mode: str, seed: int, kills: int
) -> None:
    names = items(2, 2, 5)
    world = World(mode, 2, names, random.Random(seed), kills=kills)
    world.run()
    by_scope: dict[str, list[tuple[int, str]]] = {}
    for index, worker in world.runs:
        by_scope.setdefault(world.scheduling._scope(index), []).append((index, worker))
    for runs in by_scope.values():
        stays = [worker for _, worker in runs]
        changes = sum(a != b for a, b in itertools.pairwise(stays))
        assert changes <= kills, runs
        indices = [index for index, _ in runs]
        assert indices == sorted(indices), runs


@each_mode
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 4), restarts=st.integers(0, 2))
def test_where_no_worker_is_replaced_any_more_those_that_are_left_do_the_rest(
    mode: str, seed: int, count: int, restarts: int
) -> None:
    names = items(2, 2, 4)
    world = World(mode, count, names, random.Random(seed), restarts=restarts)
    for _ in range(count):
        # xdist begins nothing if one is lost before all have collected.
        world.collect()
    world.kills = count - 1
    world.run()
    assert dict(world.verdicts) == dict.fromkeys(range(len(names)), 1), world.told()


@each_mode
def test_when_the_last_worker_is_lost_and_none_replaced_the_session_ends(mode: str) -> None:
    names = items(1, 2, 3)
    world = World(mode, 1, names, random.Random(1), killers={1: 9}, restarts=0)
    world.run()
    assert sum(world.verdicts.values()) < len(names)


@each_mode
def test_an_item_that_was_sent_and_not_begun_is_not_blamed(mode: str) -> None:
    """A worker that waits holds the last item back; if it is lost then, it ran nothing."""
    names = items(1, 1, 1)
    world = World(mode, 1, names, random.Random(1))
    world.collect()
    (worker,) = world.workers
    world.kill(worker)
    world.run()
    assert world.lost == Counter()
    assert world.runs == [(0, "gw1")]


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_an_item_that_is_handed_over_does_not_come_back_to_where_it_failed(
    mode: str, seed: int
) -> None:
    names = items(1, 1, 8)
    world = World(mode, 3, names, random.Random(seed), movers={3: False, 5: False})
    world.run()
    for index in (3, 5):
        first, second = [worker for i, worker in world.runs if i == index]
        assert first != second


def test_an_item_that_wants_a_fresh_worker_gets_one_and_the_old_one_ends() -> None:
    names = items(1, 1, 4)
    world = World("load", 1, names, random.Random(1), movers={0: True})
    world.run()
    assert [worker for index, worker in world.runs if index == 0] == ["gw0", "gw1"]
    assert dict(world.verdicts) == dict.fromkeys(range(4), 1)


def test_a_killer_is_alone_on_a_worker_from_its_second_loss_on() -> None:
    names = items(1, 1, 12)
    world = World("load", 2, names, random.Random(5), killers={2: 9})
    world.run()
    workers = [worker for index, worker in world.runs if index == 2]
    assert len(workers) == 3
    assert [index for index, worker in world.runs if worker == workers[-1]] == [2]
    assert dict(world.verdicts) == dict.fromkeys(range(12), 1)


def test_what_other_plugins_know_of_the_scheduler_is_there() -> None:
    world = World("load", 2, items(1, 1, 3), random.Random(1))
    assert world.scheduling.numnodes == 2


@each_mode
def test_another_plugin_can_have_an_item_run_once_more(mode: str) -> None:
    names = items(1, 2, 3)
    world = World(mode, 2, names, random.Random(3), killers={4: 1})

    def again(worker: Worker) -> None:
        crashed = world.scheduling.remove_node(worker)
        if crashed is not None:
            world.scheduling.mark_test_pending(crashed)
            world.open.clear()
        world.start()
        world.active.discard(worker)

    world.bury = again  # type: ignore[method-assign]
    world.run()
    assert dict(world.verdicts) == dict.fromkeys(range(len(names)), 1)
