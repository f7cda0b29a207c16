"""Who is let in, who waits, and who goes on anyway: on real slots, with a clock that is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.exceptions import BrowserLimitError
from pytest_resilience.plugin import crowd
from pytest_resilience.plugin.crowd import Crowd
from pytest_resilience.plugin.giveback import _are_apart
from pytest_resilience.plugin.turnstile import Turn, Turnstile
from pytest_resilience.store.slots import Slots
from tests.doubles import FakeClock, ListSink


class Announced:
    """Keeps what was shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def waiting(self, about: str, text: str) -> None:
        self.texts.append(text)

    def done(self, text: str) -> None:
        self.texts.append(text)


class Timeouts:
    """Keeps what was done to the time-out of the test."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def cancel(self, _item: object) -> None:
        self.calls.append("cancel")

    def rearm(self, _item: object) -> None:
        self.calls.append("rearm")


class Others(Slots):
    """Slots whose holders can be said to be other processes."""

    others = 0

    def taken(self) -> list[Any]:
        found = super().taken()
        alien = [SimpleNamespace(name="x", pid=1, told={"worker": "gw9"})] * self.others
        return [*found, *alien]


class World:
    """A turnstile, and what is around it."""

    def __init__(self, folder: Path, *, cap: int | None = None, workers: int = 4) -> None:
        self.clock = FakeClock()
        self.sink = ListSink()
        self.announced = Announced()
        self.timeouts = Timeouts()
        self.warnings: list[str] = []
        self.slots = Others(folder / "run", told={"worker": "gw0", "project": "shop"})
        self.machine = Others(folder / "machine") if cap is not None else None
        self.crowd = Crowd(
            self.slots,
            cap=cap,
            workers=workers,
            clock=self.clock,
            sink=self.sink,
            worker="gw0",
            begun=self.clock.monotonic(),
        )
        self.turnstile = Turnstile(
            self.crowd,
            self.machine,
            clock=self.clock,
            max_wait_s=10.0,
            announcer=self.announced,
            timeouts=self.timeouts,  # type: ignore[arg-type]
            item=lambda: "the test",
            warn=self.warnings.append,
        )

    def enter(self) -> tuple[Turn, Any]:
        turn, session = self.turnstile.enter(), _session()
        self.turnstile.entered(turn, session)
        return turn, session

    def told(self) -> dict[str, Any]:
        return crowd.told(self.slots, self.crowd.cap)


class _Session:
    """Stands for a driver session, of which nothing is asked here."""


def _session() -> Any:
    return _Session()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def short(world: World, times: int = 2) -> None:
    """Let resources run short in several attempts."""
    for _ in range(times):
        world.turnstile.ended(failed=True)


class TestWithoutShortage:
    """While nothing runs short and no limit is set, nobody waits and nothing is kept."""

    def test_any_number_is_let_in(self, world: World) -> None:
        world.slots.others = 50
        world.enter()
        world.enter()
        assert (world.announced.texts, world.timeouts.calls) == ([], [])
        assert world.told() == {}

    def test_attempts_that_end_well_are_not_written_down(self, world: World) -> None:
        world.enter()
        before = sorted(p.name for p in world.slots.folder.iterdir())
        world.turnstile.ended(failed=False)
        assert sorted(p.name for p in world.slots.folder.iterdir()) == before
        assert world.crowd.limit is None

    def test_nobody_wants_what_is_used(self, world: World) -> None:
        world.enter()
        assert not world.turnstile.is_wanted()


class TestShortage:
    """Two attempts that ran short lower the limit for all processes of the run."""

    def test_the_limit_falls_from_the_number_of_workers(self, world: World) -> None:
        world.enter()
        short(world)
        assert world.crowd.limit == 3

    def test_another_process_knows(self, world: World, tmp_path: Path) -> None:
        other = World(tmp_path)
        assert other.crowd.limit is None
        world.enter()
        short(world)
        assert other.crowd.limit == 3

    def test_the_change_is_recorded_and_told(self, world: World) -> None:
        world.enter()
        world.clock.sleep(2.0)
        short(world)
        ((kind, payload),) = world.sink.events
        assert kind == events.CONCURRENCY
        assert (payload["from_limit"], payload["to_limit"], payload["worker"]) == (4, 3, "gw0")
        told = world.told()
        assert (told["least"], told["limit"], len(told["changes"])) == (3, 3, 1)
        assert told["changes"][0]["at_s"] == pytest.approx(2.0)
        assert told["samples"][0] == [0.0, 1, None]

    def test_what_is_too_much_is_wanted_back(self, world: World) -> None:
        world.enter()
        short(world)
        world.slots.others = 3
        assert world.turnstile.is_wanted()
        world.slots.others = 2
        assert not world.turnstile.is_wanted()

    def test_who_comes_then_waits_and_its_time_out_does_not_run(self, world: World) -> None:
        short(world)
        world.slots.others = 3

        def leave(_seconds: float, sleep: Callable[[float], None] = world.clock.sleep) -> None:
            sleep(1.5)
            if world.clock.seconds > 1_006:
                world.slots.others = 2

        world.clock.sleep = leave  # type: ignore[method-assign]
        world.enter()
        assert world.timeouts.calls == ["cancel", "rearm"]
        assert "waiting for a browser (3: gw9" in world.announced.texts[0]
        assert world.announced.texts[-1].endswith("goes on after 8 s")
        assert (world.told()["waits"], world.told()["extra"]) == (1, 0)
        assert world.slots.waiting() == []

    def test_who_waited_long_enough_goes_on_without_a_failure(self, world: World) -> None:
        short(world)
        world.slots.others = 3
        world.enter()
        assert (world.told()["waits"], world.told()["extra"]) == (1, 1)
        assert world.told()["waited_s"] >= 10.0

    def test_a_test_that_ran_short_twice_may_ask_for_fewer(self, world: World) -> None:
        world.slots.others = 3
        world.enter()
        assert not world.turnstile.may_shrink(again=False)
        assert world.turnstile.may_shrink(again=True)
        world.turnstile.ended(failed=True)
        assert world.turnstile.shrink(again=True)
        assert world.crowd.limit == 3

    def test_it_is_not_lowered_twice_for_one_attempt(self, world: World) -> None:
        world.slots.others = 3
        world.enter()
        world.turnstile.ended(failed=True)
        assert world.turnstile.may_shrink(again=False), "this is the second"
        world.turnstile.ended(failed=True)
        assert world.turnstile.shrink(again=True)
        assert world.crowd.limit == 3


class TestLimit:
    """A limit the user has set holds for all runs of the machine."""

    def test_who_waits_in_vain_is_told_by_whom(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=1)
        assert world.machine is not None
        world.machine.others = 1
        with pytest.raises(BrowserLimitError, match=r"--resilience-max-browsers is 1.*1: gw9 of"):
            world.turnstile.enter()
        assert world.slots.waiting() == world.machine.waiting() == []
        assert world.slots.taken() == []

    def test_a_second_browser_of_the_only_holder_is_let_in_and_told(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=1)
        world.enter()
        world.enter()
        assert (world.told()["extra"], world.told()["waits"]) == (1, 0)

    def test_it_is_the_highest_that_resources_allow(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=2, workers=8)
        world.enter()
        short(world)
        assert world.crowd.limit == 1

    def test_what_is_given_back_is_free_in_both(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=1)
        _turn, session = world.enter()
        world.turnstile.left(session)
        world.turnstile.left(session)
        assert world.machine is not None
        assert (world.slots.taken(), world.machine.taken()) == ([], [])

    def test_a_session_that_could_not_start_gives_its_slot_back(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=1)
        world.turnstile.entered(world.turnstile.enter(), None)
        assert world.slots.taken() == []

    def test_others_who_wait_get_it_after_a_while(self, tmp_path: Path) -> None:
        world = World(tmp_path, cap=1)
        world.enter()
        assert world.machine is not None
        with world.machine.door():
            ticket = world.machine.queue()
        assert not world.turnstile.is_wanted(), "it has it only now"
        world.clock.sleep(2.0)
        assert world.turnstile.is_wanted()
        ticket.release()
        assert not world.turnstile.is_wanted()


def test_slots_that_cannot_be_had_are_told_once_and_keep_nobody_out(world: World) -> None:
    os.chmod(world.slots.folder, 0o700)
    for file in world.slots.folder.iterdir():
        file.unlink()
    world.slots.folder.rmdir()
    world.enter()
    world.enter()
    world.turnstile.ended(failed=True)
    assert len(world.warnings) == 1
    assert "not limited any more" in world.warnings[0]


def test_a_long_run_is_told_in_few_samples(world: World) -> None:
    for number in range(3_000):
        world.slots.note({"what": "taken", "at_s": number, "active": number % 7, "limit": 5})
    world.slots.note({"what": "waited", "at_s": 3000, "active": 6, "limit": 5, "seconds": 1.0})
    samples = world.told()["samples"]
    assert len(samples) <= crowd.SAMPLES
    assert {active for _at, active, _limit in samples} <= {5, 6}, "peaks were left out"


def of(nodeid: str) -> Any:
    return SimpleNamespace(nodeid=nodeid)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("a.py::test_1", "a.py::test_2", False),
        ("a.py::test_1", "b.py::test_1", True),
        ("a.py::test_1@cart", "b.py::test_1@cart", False),
        ("a.py::test_1@cart", "b.py::test_1@shop", True),
        ("a.py::test_1[x@y]", "b.py::test_1[x@y]", True),
        ("a.py::test_1[x@y]@cart", "b.py::test_2[z]@cart", False),
    ],
    ids=["module", "modules", "group", "groups", "at-sign", "group-and-at-sign"],
)
def test_tests_that_may_build_on_one_another_keep_their_browser(
    one: str, other: str, apart: bool
) -> None:
    assert _are_apart(of(one), of(other)) is apart
