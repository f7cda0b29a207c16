"""The breaker in many threads and processes, and on clocks that step.

Named here are properties that a model of one circuit does not show: P10 and P11 with threads,
P12 a clock that steps, P17 a worker that is killed, P18 the same things happening in other
processes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitRecord,
    MemoryCell,
    Outcome,
    Transition,
)
from tests.core.circuits import CLOSED, CONFIG, HALF_OPEN, OPEN, half_opened, new, opened
from tests.doubles import FakeClock


class TestManyThreads:
    """Nothing is lost, doubled or let through when many do it at once."""

    THREADS = 8

    def all_at_once(self, work: Callable[[int], object]) -> None:
        barrier = threading.Barrier(self.THREADS)
        errors: list[BaseException] = []

        def run(number: int) -> None:
            barrier.wait(60)
            try:
                work(number)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is asserted below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(self.THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []

    def test_one_of_many_gets_the_only_trial(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        """P2."""
        opened(breaker)
        clock.sleep(60)
        permits: list[Any] = []
        self.all_at_once(lambda _n: permits.append(breaker.try_acquire()))
        assert len([permit for permit in permits if permit is not None]) == 1

    def test_one_transition_is_told_when_many_open_it(self, breaker: CircuitBreaker) -> None:
        """P10."""
        moves: list[Transition] = []
        breaker.add_listener(moves.append)
        self.all_at_once(lambda _n: breaker.record_failure("x"))
        assert [(move.generation, move.to_state) for move in moves] == [(1, OPEN)]
        shown = breaker.get_metrics()
        assert (shown["total_failures"], shown["total_stale"]) == (2, 6)

    def test_calls_run_side_by_side(self, breaker: CircuitBreaker) -> None:
        """No lock is held while a call runs: each waits for all the others."""
        together = threading.Barrier(self.THREADS)
        self.all_at_once(lambda _n: breaker.execute(together.wait, 60))
        assert breaker.get_metrics()["total_successes"] == self.THREADS

    @pytest.mark.parametrize("breakers", [1, 3], ids=["one-object", "several-objects"])
    def test_every_report_is_counted_once(self, clock: FakeClock, breakers: int) -> None:
        """P10 and P11: executed calls are those that were counted, and stale ones."""
        cell, calls = MemoryCell(), 300
        moves: list[list[Transition]] = [[] for _ in range(breakers)]
        circuits = [new(clock, cell=cell) for _ in range(breakers)]
        for circuit, heard in zip(circuits, moves, strict=True):
            circuit.add_listener(heard.append)
        executed: list[int] = [0] * self.THREADS

        def work(number: int) -> None:
            chance, circuit = random.Random(number), circuits[number % breakers]
            for _ in range(calls):
                permit = circuit.try_acquire()
                if permit is None:
                    circuit.reset()
                    continue
                executed[number] += 1
                circuit.report(permit, chance.choice(list(Outcome)))

        self.all_at_once(work)
        record = cell.read()
        counted = record.successes + record.failures + record.ignored + record.stale
        assert counted == sum(executed)
        assert record.refused == self.THREADS * calls - sum(executed)
        for heard in moves:
            generations = [move.generation for move in heard]
            assert generations == sorted(generations)
        together = sorted((move for heard in moves for move in heard), key=lambda m: m.generation)
        assert [move.generation for move in together] == list(range(1, record.generation + 1))
        states = [CLOSED, *(move.to_state for move in together)]
        assert [move.from_state for move in together] == states[:-1]


class TestClock:
    """P12: a clock that steps neither opens a circuit nor wedges it."""

    @pytest.mark.parametrize("step", [-900.0, -1.0, 31_536_000.0])
    def test_a_closed_circuit_stays_closed(
        self, breaker: CircuitBreaker, clock: FakeClock, step: float
    ) -> None:
        breaker.record_failure()
        clock.sleep(step)
        breaker.record_success()
        breaker.record_failure()
        assert breaker.get_state() is CLOSED

    @pytest.mark.parametrize("step", [-900.0, -1.0, 31_536_000.0])
    def test_an_open_circuit_half_opens_no_later_than_before(
        self, breaker: CircuitBreaker, clock: FakeClock, step: float
    ) -> None:
        opened(breaker)
        clock.sleep(step)
        breaker.get_state()
        clock.sleep(60)
        assert breaker.get_state() is HALF_OPEN

    @pytest.mark.parametrize("step", [-900.0, -1.0, 31_536_000.0])
    def test_a_trial_does_not_hold_its_slot_for_longer(
        self, breaker: CircuitBreaker, clock: FakeClock, step: float
    ) -> None:
        half_opened(breaker, clock).acquire()
        clock.sleep(step)
        breaker.get_state()
        clock.sleep(60)
        assert breaker.try_acquire() is not None


def test_the_trial_of_a_killed_worker_is_given_away_again_within_one_lease(
    clock: FakeClock,
) -> None:
    """P17: with a lease of at least the recovery timeout, the next trial waits for nothing else."""
    config, cell = replace(CONFIG, lease_s=60), MemoryCell()
    killed, other = (new(clock, cell=cell, config=config) for _ in range(2))
    half_opened(killed, clock).acquire()
    clock.sleep(59.75)
    assert other.try_acquire() is None
    clock.sleep(0.25)
    assert other.try_acquire() is not None


Steps = list[tuple[str, int]]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["acquire", "fail", "succeed", "ignore", "wait", "probe"]),
            st.integers(0, 3),
        ),
        max_size=40,
    ),
    places=st.permutations(range(4)),
)
def test_it_makes_no_difference_in_which_process_something_happens(
    steps: Steps, places: list[int]
) -> None:
    """P18: one process, four, and four others make the same of the same trace."""
    apart = _replayed(steps, places)
    assert _replayed(steps, [0, 1, 2, 3]) == apart
    assert _replayed(steps, [0, 0, 0, 0]) == apart


def _replayed(steps: Steps, places: list[int]) -> tuple[CircuitRecord, list[Transition]]:
    """Return the record and the transitions after `steps`, each at its place."""
    clock, cell, moves = FakeClock(), MemoryCell(), list[Transition]()
    circuits = [new(clock, cell=cell, kind="") for _ in range(4)]
    for circuit in circuits:
        circuit.add_listener(moves.append)
    permits = []
    outcomes = {"fail": Outcome.FAILURE, "succeed": Outcome.SUCCESS, "ignore": Outcome.IGNORED}
    for what, number in steps:
        circuit = circuits[places[number]]
        if what == "acquire":
            permits.append(circuit.try_acquire())
        elif what == "wait":
            clock.sleep((1.0, 8.0, 20.0, 60.0)[number])
        elif what == "probe":
            circuit.probed(True)
        elif permits and (permit := permits.pop(0)) is not None:
            circuit.report(permit, outcomes[what], what)
    return cell.read(), moves
