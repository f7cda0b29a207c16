"""Waiting for a circuit, with a clock that does not wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.plugin.hold import LONGEST_PAUSE_S, Hold

TRIAL_S = 1.5


class Time:
    """A clock that goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def now_us(self) -> int:
        return int(self.now * 1e6)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Grid:
    """What is down until a moment of the clock; tried as a `Trial` is."""

    def __init__(self, time: Time, back_at: float, *, ready_at: float | None = None) -> None:
        self.time = time
        self.back_at = back_at
        self.ready_at = back_at if ready_at is None else ready_at
        self.looks: list[float] = []
        self.sessions: list[tuple[float, bool]] = []

    def is_ready(self) -> tuple[bool, str]:
        self.looks.append(self.time.now)
        ready = self.time.now >= self.ready_at
        return ready, "" if ready else "no node"

    def succeeds(self, limit_s: float) -> tuple[bool, str]:
        assert limit_s > 0
        worked = self.time.now >= self.back_at
        self.time.now += min(limit_s, TRIAL_S)
        self.sessions.append((self.time.now, worked))
        return worked, "" if worked else "no session"


class Lines:
    """What people are told."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.said: list[str] = []

    def waiting(self, about: str, text: str) -> None:
        assert about in text
        self.shown.append(text)

    def done(self, text: str) -> None:
        self.said.append(text)


class Chance:
    def random(self) -> float:
        return 0.5


class Stage:
    """A hold, and an open circuit to wait for."""

    def __init__(self, *, max_wait_s: float = 120.0) -> None:
        self.time = Time()
        self.lines = Lines()
        self.grid: Any = None
        config = CircuitConfig(recovery_timeout=60.0, half_open_after=2.0)
        self.circuit = CircuitBreaker(
            config, name="there", kind="endpoint", monotonic=self.time.monotonic, chance=Chance()
        )
        self.hold = Hold(
            self.time,
            max_wait_s=max_wait_s,
            first_pause_s=2.0,
            trial=lambda _circuit: self.grid,
            announcer=self.lines,
        )
        self.circuit.trip("it refuses connections")

    def down_for(self, seconds: float, *, ready_after: float | None = None) -> Grid:
        ready_at = None if ready_after is None else self.time.now + ready_after
        self.grid = Grid(self.time, self.time.now + seconds, ready_at=ready_at)
        return self.grid  # type: ignore[no-any-return]


def test_it_goes_on_when_real_sessions_can_be_had_again() -> None:
    stage = Stage()
    grid = stage.down_for(20)
    begun = stage.time.now
    assert stage.hold.wait(stage.circuit) == ""
    assert stage.circuit.get_state() is CircuitState.CLOSED
    assert stage.time.now - begun < 20 + LONGEST_PAUSE_S
    # The status was enough to leave it alone while it was down.
    assert [worked for _at, worked in grid.sessions] == [True, True]
    assert stage.hold.total_s == stage.hold.waited(stage.circuit) == stage.time.now - begun


def test_the_pauses_double_from_the_first() -> None:
    stage = Stage(max_wait_s=100)
    grid = stage.down_for(1e9)
    begun = stage.time.now
    assert stage.hold.wait(stage.circuit) != ""
    assert [round(at - begun) for at in grid.looks] == [2, 6, 14, 30, 60, 90, 100]


def test_a_status_alone_closes_nothing() -> None:
    """It says that it is ready, and starts no session."""
    stage = Stage(max_wait_s=60)
    grid = stage.down_for(1e9, ready_after=0)
    refusal = stage.hold.wait(stage.circuit)
    assert "endpoint there is down, and was waited for in vain: " in refusal
    assert stage.circuit.get_state() is not CircuitState.CLOSED
    assert grid.sessions
    assert not any(worked for _at, worked in grid.sessions)


@pytest.mark.parametrize("down_s", [20.0, 1e9], ids=["comes-back", "never"])
def test_no_outage_is_waited_for_longer_than_it_may(down_s: float) -> None:
    """Neither at once, nor in pieces."""
    stage = Stage(max_wait_s=30)
    stage.down_for(1e9)
    begun = stage.time.now
    assert stage.hold.wait(stage.circuit) != ""
    assert 30 <= stage.time.now - begun <= 32
    given_up = stage.time.now
    assert stage.hold.wait(stage.circuit) != ""
    assert stage.time.now == given_up


def test_another_outage_may_be_waited_for_as_long_again() -> None:
    stage = Stage(max_wait_s=30)
    stage.down_for(20)
    assert stage.hold.wait(stage.circuit) == ""
    stage.circuit.trip("again")
    stage.down_for(20)
    assert stage.hold.wait(stage.circuit) == ""


def test_what_nobody_can_try_is_tried_by_the_test_itself() -> None:
    stage = Stage()
    assert stage.hold.wait(stage.circuit) == ""
    assert stage.circuit.get_state() is CircuitState.HALF_OPEN


def test_what_was_isolated_by_hand_is_not_waited_for() -> None:
    stage = Stage()
    stage.circuit.isolate("maintenance")
    begun = stage.time.now
    assert "maintenance" in stage.hold.wait(stage.circuit)
    assert stage.time.now == begun


def test_what_another_worker_closes_is_not_tried_here() -> None:
    stage = Stage()
    grid = stage.down_for(1e9)
    sleep = stage.time.sleep

    def closed_meanwhile(seconds: float) -> None:
        sleep(seconds)
        if stage.time.now > 1010:
            stage.circuit.reset()

    stage.time.sleep = closed_meanwhile  # type: ignore[method-assign]
    assert stage.hold.wait(stage.circuit) == ""
    assert stage.time.now < 1013
    assert grid.sessions == []


def test_people_read_what_is_waited_for_and_how_it_ended() -> None:
    stage = Stage()
    stage.down_for(20)
    stage.hold.wait(stage.circuit)
    assert stage.lines.shown[0] == (
        "waiting for endpoint there (it refuses connections): next look in 2 s, giving up in 120 s"
    )
    assert "no node" in stage.lines.shown[-1]
    assert [line.split(" after ")[0] for line in stage.lines.said] == ["endpoint there: goes on"]


def test_an_interrupted_trial_gives_its_permit_back() -> None:
    """A Ctrl-C ends the waiting, and nobody else has to wait for a result that never comes."""
    stage = Stage()
    grid = stage.down_for(0)

    def interrupted(_limit_s: float) -> tuple[bool, str]:
        raise KeyboardInterrupt

    grid.succeeds = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.hold.wait(stage.circuit)
    assert stage.circuit.get_state() is CircuitState.HALF_OPEN
    assert stage.circuit.try_acquire() is not None


@given(down_s=st.floats(0, 400), max_wait_s=st.floats(0, 200), ready_s=st.floats(0, 400))
def test_whatever_is_down_it_goes_on_closed_or_says_why_not(
    down_s: float, max_wait_s: float, ready_s: float
) -> None:
    stage = Stage(max_wait_s=max_wait_s)
    stage.down_for(down_s, ready_after=min(ready_s, down_s))
    begun = stage.time.now
    refusal = stage.hold.wait(stage.circuit)
    assert (refusal == "") == (stage.circuit.get_state() is CircuitState.CLOSED)
    assert stage.time.now - begun <= max_wait_s + 2 * TRIAL_S + 1
