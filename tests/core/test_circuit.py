"""The breaker: one atomic change at a time, told in order, and never in the way of a call.

Named here are properties that a model of one circuit does not show: P10 and P11 with threads,
P12 a clock that steps, P13 listeners, P14 a cell that is lost, P17 a worker that is killed,
P18 the same things happening in other processes.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit import (
    Cell,
    CircuitBreaker,
    CircuitConfig,
    CircuitRecord,
    CircuitState,
    MemoryCell,
    Outcome,
    Transition,
)
from pytest_resilience.exceptions import CircuitOpenError, ConfigurationError
from tests.doubles import FakeClock

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED

CONFIG = CircuitConfig(
    failure_threshold=2,
    recovery_timeout=60,
    half_open_after=8,
    success_threshold=2,
    minimum_calls=50,
    lease_s=20,
)


class LowChance:
    """Draws the least."""

    def random(self) -> float:
        return 0.0


def new(clock: FakeClock, *, cell: Cell | None = None, **more: Any) -> CircuitBreaker:
    settings: dict[str, Any] = {"config": CONFIG, "name": "chrome", "kind": "browser", **more}
    return CircuitBreaker(monotonic=clock.monotonic, chance=LowChance(), cell=cell, **settings)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return new(clock)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    breaker.record_failure("refused")
    breaker.record_failure("refused again")
    assert breaker.get_state() is OPEN
    return breaker


def half_opened(breaker: CircuitBreaker, clock: FakeClock) -> CircuitBreaker:
    opened(breaker)
    clock.sleep(60)
    assert breaker.get_state() is HALF_OPEN
    return breaker


def fail() -> None:
    raise ConnectionError("refused\nby the grid")


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


class TestCalls:
    """`execute`, `guard` and the decorator, and what of their end counts."""

    def test_it_returns_what_the_function_returns(self, breaker: CircuitBreaker) -> None:
        assert breaker.execute(divmod, 7, 2) == (3, 1)
        assert breaker.execute(int, "11", base=2) == 3
        assert breaker.get_metrics()["total_successes"] == 2

    def test_the_error_of_the_call_that_opens_it_gets_out(self, breaker: CircuitBreaker) -> None:
        for _ in range(2):
            with pytest.raises(ConnectionError):
                breaker.execute(fail)
        assert breaker.reason == "2 failures in a row: ConnectionError: refused"
        with pytest.raises(CircuitOpenError):
            breaker.execute(fail)

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(AssertionError("2 == 3"), id="assertion"),
            pytest.param(pytest.fail.Exception("no"), id="pytest.fail"),
        ],
    )
    def test_a_failing_test_is_a_success_of_the_infrastructure(
        self, breaker: CircuitBreaker, error: BaseException
    ) -> None:
        for _ in range(3):
            with pytest.raises(type(error)), breaker.guard():
                raise error
        assert breaker.get_metrics()["total_successes"] == 3

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(pytest.skip.Exception("no"), id="skip"),
            pytest.param(KeyboardInterrupt(), id="interrupt"),
            pytest.param(asyncio.CancelledError(), id="cancelled"),
        ],
    )
    def test_what_was_not_done_frees_the_trial_and_decides_nothing(
        self, breaker: CircuitBreaker, clock: FakeClock, error: BaseException
    ) -> None:
        half_opened(breaker, clock)
        for _ in range(3):
            with pytest.raises(type(error)), breaker.guard():
                raise error
        assert breaker.get_state() is HALF_OPEN
        shown = breaker.get_metrics()
        assert (shown["total_ignored"], shown["trials_in_flight"]) == (3, 0)

    def test_failures_count_also_with_skips_between(self, breaker: CircuitBreaker) -> None:
        for error in (ConnectionError(), pytest.skip.Exception("no"), ConnectionError()):
            with pytest.raises(type(error)), breaker.guard():
                raise error
        assert breaker.get_state() is OPEN

    def test_the_duration_is_measured(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        breaker.execute(clock.sleep, 1.5)
        assert breaker.get_metrics()["window_mean_ms"] == 1500.0

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            pytest.param(TimeoutError(), "TimeoutError", id="nothing"),
            pytest.param(TimeoutError("slow"), "TimeoutError: slow", id="a-line"),
            pytest.param(TimeoutError("\nslow\nor\ndead"), "TimeoutError: slow", id="lines"),
        ],
    )
    def test_an_error_is_told_by_its_name_and_first_line(
        self, breaker: CircuitBreaker, error: Exception, told: str
    ) -> None:
        with pytest.raises(TimeoutError), breaker.guard():
            raise error
        assert breaker.reason == told

    def test_a_decorated_function_goes_through_it(self, breaker: CircuitBreaker) -> None:
        decorated = breaker(fail)
        assert decorated.__name__ == "fail"
        for _ in range(2):
            with pytest.raises(ConnectionError):
                decorated()
        with pytest.raises(CircuitOpenError):
            decorated()

    def test_coroutine_functions_are_awaited(self, breaker: CircuitBreaker) -> None:
        async def fail_later() -> None:
            await asyncio.sleep(0)
            fail()

        async def run() -> None:
            with pytest.raises(ConnectionError):
                await breaker.execute(fail_later)
            with pytest.raises(ConnectionError):
                async with breaker.guard():
                    await fail_later()
            with pytest.raises(CircuitOpenError):
                await breaker(fail_later)()

        asyncio.run(run())

    def test_the_user_may_judge(self, clock: FakeClock) -> None:
        judged: list[BaseException | None] = []

        def judge(error: BaseException | None) -> Outcome:
            judged.append(error)
            return Outcome.FAILURE

        breaker = new(clock, judge=judge)
        breaker.execute(int)
        assert judged == [None]
        assert breaker.get_metrics()["total_failures"] == 1
        assert breaker.reason == ""

    def test_generators_are_refused(self, breaker: CircuitBreaker) -> None:
        def driver() -> Any:
            yield 1

        with pytest.raises(ConfigurationError, match="generator"):
            breaker(driver)


class TestLostCell:
    """P14: what happens to the record is no business of the call."""

    class Lost(MemoryCell):
        """Can be read, and not be changed."""

        def update(self, fn: Callable[[CircuitRecord], Any]) -> Any:
            raise OSError("disk full")

    def test_the_error_of_the_call_survives(self, clock: FakeClock) -> None:
        breaker = new(clock, cell=self.Lost())
        with pytest.raises(ConnectionError):
            breaker.execute(fail)

    def test_the_result_of_the_call_survives_and_the_trouble_is_told(
        self, clock: FakeClock
    ) -> None:
        breaker = new(clock, cell=self.Lost())
        assert breaker.execute(int) == 0
        assert breaker.troubles == ("CircuitBreaker.finish: OSError: disk full",)

    def test_a_judge_that_fails_is_told_of(self, clock: FakeClock) -> None:
        def judge(_error: BaseException | None) -> Outcome:
            raise RuntimeError("undecided")

        breaker = new(clock, judge=judge)
        assert breaker.execute(int) == 0
        assert breaker.troubles == ("CircuitBreaker.finish: RuntimeError: undecided",)


class TestListeners:
    """P10 and P13: told once, in order, outside the lock."""

    def test_a_transition_is_told_with_the_name_of_the_circuit(
        self, breaker: CircuitBreaker
    ) -> None:
        moves: list[Transition] = []
        breaker.add_listener(moves.append)
        opened(breaker)
        assert moves == [
            Transition(
                "chrome", "browser", 1, CLOSED, OPEN,
                "2 failures in a row: refused again", 1000.0, 2, 2, 2, 1.0, 0,
            )
        ]  # fmt: skip
        breaker.remove_listener(moves.append)
        breaker.reset()
        assert len(moves) == 1

    def test_a_listener_may_use_the_circuit(self, breaker: CircuitBreaker) -> None:
        moves: list[tuple[int, CircuitState]] = []

        def resetting(move: Transition) -> None:
            moves.append((move.generation, breaker.get_state()))
            if move.to_state is OPEN:
                breaker.reset()
                moves.append((0, breaker.get_state()))

        breaker.add_listener(resetting)
        breaker.trip("x")
        assert moves == [(1, OPEN), (0, CLOSED), (2, CLOSED)]

    def test_what_a_listener_raises_changes_nothing(self, breaker: CircuitBreaker) -> None:
        def angry(move: Transition) -> None:
            raise RuntimeError("no")

        breaker.add_listener(angry)
        assert breaker.trip("x")
        assert breaker.get_state() is OPEN
        assert breaker.troubles == (f"{angry.__qualname__}: RuntimeError: no",)

    def test_a_slow_listener_holds_up_nobody(self, breaker: CircuitBreaker) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def slow(_move: Transition) -> None:
            reached.set()
            assert go_on.wait(60)

        breaker.add_listener(slow)
        thread = threading.Thread(target=breaker.trip, args=("x",))
        thread.start()
        assert reached.wait(60)
        assert breaker.get_state() is OPEN
        assert breaker.reset()
        go_on.set()
        thread.join(60)

    def test_it_hears_its_own_object_s_transitions_only(self, clock: FakeClock) -> None:
        cell, moves = MemoryCell(), list[Transition]()
        mine, theirs = new(clock, cell=cell), new(clock, cell=cell)
        mine.add_listener(moves.append)
        theirs.trip("x")
        assert mine.get_state() is OPEN
        mine.reset()
        assert [move.generation for move in moves] == [2]


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
            except BaseException as error:  # noqa: BLE001
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
