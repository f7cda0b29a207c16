"""The breaker around calls, and who hears of its transitions.

Named here are properties that a model of one circuit does not show: P13 listeners, P14 a cell
that is lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitRecord,
    CircuitState,
    MemoryCell,
    Outcome,
    Transition,
)
from pytest_resilience.exceptions import CircuitOpenError, ConfigurationError
from tests.core.circuits import CLOSED, HALF_OPEN, OPEN, fail, half_opened, new, opened
from tests.doubles import FakeClock


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
