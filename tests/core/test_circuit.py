"""The breaker: one atomic change at a time; its states, refusals, figures and settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitRecord,
    MemoryCell,
    Outcome,
    Transition,
)
from pytest_resilience.exceptions import CircuitOpenError
from tests.core.circuits import (
    CLOSED,
    CONFIG,
    HALF_OPEN,
    ISOLATED,
    OPEN,
    LowChance,
    half_opened,
    new,
    opened,
)
from tests.doubles import FakeClock


class TestNaming:
    """What it is called."""

    def test_the_label_has_the_kind_if_there_is_one(self, clock: FakeClock) -> None:
        assert new(clock).label == "browser:chrome"
        assert new(clock, kind="").label == "chrome"
        assert new(clock).acquire().circuit == "browser:chrome"
        breaker = CircuitBreaker(CONFIG, name="x", monotonic=clock.monotonic, chance=LowChance())
        assert (breaker.kind, breaker.label) == ("", "x")

    def test_it_shows_where_it_stands(self, breaker: CircuitBreaker) -> None:
        assert repr(breaker) == "<CircuitBreaker browser:chrome closed>"


class TestStates:
    """From closed to open to half-open and back, as a caller sees it."""

    def test_a_state_is_equal_to_its_text(self, breaker: CircuitBreaker) -> None:
        assert breaker.get_state() == "closed"

    def test_all_around(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        assert breaker.record_failure("refused")
        assert breaker.get_state() is CLOSED
        assert breaker.record_failure("refused again")
        assert breaker.get_state() is OPEN
        assert breaker.try_acquire() is None
        assert not breaker.record_success()
        clock.sleep(60)
        assert breaker.get_state() is HALF_OPEN
        assert breaker.record_success()
        assert breaker.get_state() is HALF_OPEN
        assert breaker.record_success()
        assert breaker.get_state() is CLOSED
        assert breaker.acquire().closed

    def test_failures_need_no_reason(self, breaker: CircuitBreaker) -> None:
        breaker.record_failure()
        assert breaker.reason == ""
        breaker.report(breaker.acquire(), Outcome.FAILURE)
        assert breaker.reason == "2 failures in a row"

    def test_a_trial_has_a_number_and_a_moment(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        closed = breaker.acquire()
        assert closed == ("browser:chrome", 0, 0, 1000.0, True)
        permit = half_opened(breaker, clock).acquire()
        assert permit == ("browser:chrome", 1, 2, 1060.0, False)
        assert breaker.report(permit, Outcome.IGNORED)
        assert breaker.acquire().number == 2

    def test_the_first_after_the_time_is_let_through_without_asking_for_the_state(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        opened(breaker)
        clock.sleep(60)
        permit = breaker.try_acquire()
        assert permit is not None
        assert not permit.closed

    def test_hard_evidence_opens_it(self, breaker: CircuitBreaker) -> None:
        assert breaker.trip("the grid has no node")
        assert not breaker.trip("still none")
        assert (breaker.get_state(), breaker.reason) == (OPEN, "the grid has no node")

    def test_a_health_probe_half_opens_when_it_counts(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        assert opened(breaker).next_probe() == 8.0
        assert not breaker.probed(True)
        clock.sleep(8)
        assert breaker.next_probe() == 0.0
        assert not breaker.probed(False)
        assert breaker.probed(True)
        assert breaker.get_state() is HALF_OPEN

    def test_by_hand(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        assert breaker.isolate("maintenance")
        assert not breaker.isolate()
        clock.sleep(1e6)
        assert (breaker.get_state(), breaker.reason) == (ISOLATED, "maintenance")
        moves: list[Transition] = []
        breaker.add_listener(moves.append)
        assert breaker.reset("done")
        assert not breaker.reset()
        breaker.isolate()
        breaker.reset()
        told = ["done", "isolated by hand", "reset by hand"]
        assert [move.reason for move in moves] == told
        assert (breaker.get_state(), breaker.reason) == (CLOSED, "")

    def test_what_is_late_is_told_so(self, breaker: CircuitBreaker) -> None:
        permit = breaker.acquire()
        opened(breaker)
        assert not breaker.report(permit, Outcome.SUCCESS)
        assert breaker.get_metrics()["total_stale"] == 1

    def test_a_permit_of_another_circuit_is_refused(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        permit = new(clock, name="firefox").acquire()
        with pytest.raises(ValueError) as refused:
            breaker.report(permit, Outcome.SUCCESS)
        assert str(refused.value) == ("a permit of browser:firefox was reported to browser:chrome")

    def test_reasons_and_seconds_arrive(self, clock: FakeClock) -> None:
        breaker = new(clock, config=replace(CONFIG, failure_threshold=9))
        breaker.record_failure("a", 0.1)
        breaker.record_success("b", 0.2)
        breaker.report(breaker.acquire(), Outcome.SUCCESS, "c", 0.3)
        breaker.report(breaker.acquire(), Outcome.FAILURE, "d", 0.4)
        shown = breaker.get_metrics()
        assert (shown["window_mean_ms"], shown["last_reason"]) == (250.0, "d")
        assert (shown["total_successes"], shown["total_failures"]) == (2, 2)


class TestRefusal:
    """`CircuitOpenError` says what, why and when."""

    def test_it_tells_of_an_open_circuit(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        opened(breaker)
        clock.sleep(17.75)
        with pytest.raises(CircuitOpenError) as refused:
            breaker.acquire()
        error = refused.value
        assert (error.circuit, error.kind, error.state) == ("chrome", "browser", "open")
        assert (error.retry_after, error.reason) == (42.25, "2 failures in a row: refused again")
        assert str(error) == (
            "browser circuit 'chrome' is open: 2 failures in a row: refused again; "
            "try again in 42.2 s. [circuit-open]"
        )
        assert breaker.retry_after() == 42.25

    def test_it_tells_of_trials_under_way(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        half_opened(breaker, clock).acquire()
        clock.sleep(5)
        with pytest.raises(CircuitOpenError) as refused:
            breaker.acquire()
        assert refused.value.state == "half-open"
        assert refused.value.retry_after == 15.0

    def test_it_tells_of_an_isolated_circuit(self, clock: FakeClock) -> None:
        breaker = new(clock, kind="")
        breaker.isolate()
        with pytest.raises(CircuitOpenError) as refused:
            breaker.acquire()
        assert refused.value.message == (
            "circuit 'chrome' is isolated: isolated by hand; it stays so until it is reset."
        )


class TestFigures:
    """What can be read off it; an overdue circuit is brought up to date by it."""

    def test_they_are_those_of_the_record(self, breaker: CircuitBreaker) -> None:
        breaker.record_failure("refused")
        shown = breaker.get_metrics()
        assert (shown["name"], shown["kind"], shown["state"]) == ("chrome", "browser", "closed")
        assert (shown["failure_count"], shown["threshold"]) == (1, 2)
        assert breaker.health() == 75.0
        assert breaker.retry_after() == 0.0
        assert json.loads(json.dumps(shown)) == shown

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda b: b.get_state() == HALF_OPEN, id="get_state"),
            pytest.param(lambda b: b.get_metrics()["state"] == "half-open", id="get_metrics"),
            pytest.param(lambda b: b.retry_after() == 0.0, id="retry_after"),
            pytest.param(lambda b: b.next_probe() == float("inf"), id="next_probe"),
            pytest.param(lambda b: b.record_success(), id="record_success"),
        ],
    )
    def test_whoever_asks_after_the_time_half_opens_it(
        self, breaker: CircuitBreaker, clock: FakeClock, ask: Callable[[CircuitBreaker], bool]
    ) -> None:
        moves: list[Transition] = []
        opened(breaker).add_listener(moves.append)
        clock.sleep(60)
        assert ask(breaker)
        assert [move.to_state for move in moves] == [HALF_OPEN]

    def test_health_is_that_of_now(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        assert opened(breaker).health() == 0.0
        clock.sleep(60)
        breaker.record_success()
        assert breaker.health() == 25.0


class TestConfigure:
    """Other parameters, another cell."""

    def test_other_parameters_count_from_now_on(self, breaker: CircuitBreaker) -> None:
        breaker.configure(replace(CONFIG, failure_threshold=3))
        assert breaker.config.failure_threshold == 3
        for state in (CLOSED, CLOSED, OPEN):
            breaker.record_failure()
            assert breaker.get_state() is state

    def test_another_cell_has_another_record(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        cell = MemoryCell(CircuitRecord(state=ISOLATED, changed_at=1.0))
        breaker.configure(CONFIG, cell)
        assert breaker.get_state() is ISOLATED
        assert new(clock, cell=cell).get_state() is ISOLATED
        breaker.configure(CONFIG)
        assert breaker.get_state() is ISOLATED
