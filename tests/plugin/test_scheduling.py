"""The scheduling around each of xdist's own: workers end, are lost, come late, hand items over."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugin.scheduling_world import SCHEDULERS, Worker, World, items

each_mode = pytest.mark.parametrize("mode", SCHEDULERS)


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
