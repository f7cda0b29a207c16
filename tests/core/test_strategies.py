"""`core.strategies`: what can help, what comes first, and that a broken recovery harms nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.builtin import ImmediateRetry, RestartBrowsers, builtin_strategies
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import RecoveryStrategy, choose
from tests.doubles import FakeEnvironment

#: What becomes of an error type as one built-in strategy after the other fails.
RETRY_FIRST = ["immediate_retry", "browser_restart", "driver_restart", "driver_restart"]
NEW_SESSION_FIRST = ["browser_restart", "driver_restart", "driver_restart", "driver_restart"]
LADDERS: dict[str, list[str | None]] = {
    "product": [*RETRY_FIRST],
    "test_code": [*RETRY_FIRST],
    "page": [*RETRY_FIRST],
    "unknown": [*RETRY_FIRST],
    "connection": [*RETRY_FIRST],
    "network": [*RETRY_FIRST],
    "timeout": [*RETRY_FIRST],
    "resource": [*RETRY_FIRST],
    "task": [*RETRY_FIRST],
    "database": [*RETRY_FIRST],
    "coordinator": [*RETRY_FIRST],
    "browser": [*NEW_SESSION_FIRST],
    "gpu": [*NEW_SESSION_FIRST],
    "hardware": [*NEW_SESSION_FIRST],
    "worker": [*NEW_SESSION_FIRST],
    "system": [*NEW_SESSION_FIRST],
    "driver": ["driver_restart"] * 4,
    "circuit_open": [None] * 4,
}


class Doing(RecoveryStrategy):
    """A strategy that does what it is told."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__("as_told", ProgressiveRecoveryLevel.SYSTEM, [ErrorType.BROWSER])
        self._action = action

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        return self._action()  # type: ignore[no-any-return]


class SpeechlessError(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[[], Any]:
    def action() -> Any:
        raise error

    return action


class TestExecute:
    """Whatever a strategy does, its execution ends with a result."""

    @pytest.mark.parametrize(
        ("answer", "success"),
        [(True, True), (False, False), (None, False), (1, True)],
        ids=["true", "false", "forgot-to-return", "truthy"],
    )
    def test_what_it_returns_is_its_success(self, answer: Any, success: bool) -> None:
        assert Doing(lambda: answer).execute({}) == (success, "", False)

    def test_an_exception_is_a_failed_recovery_that_says_why(self) -> None:
        assert Doing(raising(OSError("no such device"))).execute({}) == (
            False,
            "OSError: no such device",
            False,
        )

    def test_an_exception_without_words_is_a_failed_recovery_too(self) -> None:
        success, detail, _ = Doing(raising(SpeechlessError())).execute({})
        assert not success
        assert detail.startswith("SpeechlessError")

    def test_a_person_who_interrupts_it_is_heard(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            Doing(raising(KeyboardInterrupt())).execute({})

    def test_a_subclass_that_does_nothing_is_told_what_it_must_override(self) -> None:
        class Empty(RecoveryStrategy):
            pass

        empty = Empty("empty", ProgressiveRecoveryLevel.BASIC, [])
        assert empty.execute({}) == (
            False,
            "NotImplementedError: Empty must override _execute_impl",
            False,
        )

    def test_it_is_given_all_there_is_to_know(self) -> None:
        seen: list[Mapping[str, Any]] = []

        class Curious(RecoveryStrategy):
            def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
                seen.append(error_info)
                return True

        info = {"report": object(), "environment": object()}
        Curious("curious", ProgressiveRecoveryLevel.BASIC, []).execute(info)
        assert seen == [info]


class TestBuiltins:
    """The strategies that come with the package."""

    @pytest.mark.parametrize(
        "error_type",
        [
            ErrorType.BROWSER,
            ErrorType.DRIVER,
            ErrorType.GPU,
            ErrorType.WORKER,
            ErrorType.HARDWARE,
        ],
        ids=lambda error_type: error_type.label,
    )
    def test_a_bare_retry_is_not_tried_where_the_session_is_lost(
        self, error_type: ErrorType
    ) -> None:
        assert not ImmediateRetry().applies_to(error_type)

    def test_a_bare_retry_touches_nothing(self) -> None:
        environment = FakeEnvironment()
        assert ImmediateRetry().execute({"environment": environment}) == (True, "", False)
        assert environment.restarts == []

    @pytest.mark.parametrize("with_driver", [True, False], ids=["with-driver", "session-only"])
    @pytest.mark.parametrize("answer", [True, False], ids=["replaced", "not-replaced"])
    def test_a_restart_asks_the_environment_once_and_believes_its_answer(
        self, answer: bool, with_driver: bool
    ) -> None:
        environment = FakeEnvironment(answer)
        restart = RestartBrowsers("restart", [ErrorType.BROWSER], with_driver=with_driver)
        assert restart.execute({"environment": environment}) == (answer, "", False)
        assert environment.restarts == [with_driver]

    def test_each_has_a_name_of_its_own_and_they_come_cheapest_level_first(self) -> None:
        builtins = builtin_strategies()
        assert len({strategy.name for strategy in builtins}) == len(builtins)
        assert [s.level for s in builtins] == sorted(s.level for s in builtins)

    def test_only_the_driver_restart_replaces_the_driver(self) -> None:
        replaced = {}
        for strategy in builtin_strategies():
            environment = FakeEnvironment()
            strategy.execute({"environment": environment})
            replaced[strategy.name] = environment.restarts
        assert replaced == {
            "immediate_retry": [],
            "browser_restart": [False],
            "driver_restart": [True],
        }

    def test_the_title_is_the_name_as_people_read_it(self) -> None:
        assert [strategy.title for strategy in builtin_strategies()] == [
            "Immediate retry",
            "Browser restart",
            "Driver restart",
        ]

    def test_every_error_type_has_a_ladder_in_this_table(self) -> None:
        assert set(LADDERS) == {error_type.label for error_type in ErrorType}

    @pytest.mark.parametrize("label", LADDERS)
    def test_failing_again_and_again_climbs_the_ladder_and_stays_on_top(self, label: str) -> None:
        tried: list[str | None] = []
        for _ in range(4):
            strategy = choose(
                builtin_strategies(),
                ErrorType.from_label(label),
                tried=frozenset(name for name in tried if name),
                max_level=5,
            )
            tried.append(strategy.name if strategy else None)
        assert tried == LADDERS[label]

    @pytest.mark.parametrize("max_level", [1, 2])
    def test_a_level_limit_below_a_restart_leaves_nothing_for_a_dead_browser(
        self, max_level: int
    ) -> None:
        chosen = choose(
            builtin_strategies(), ErrorType.BROWSER, tried=frozenset(), max_level=max_level
        )
        assert chosen is None


@st.composite
def toolboxes(draw: st.DrawFn) -> list[RecoveryStrategy]:
    """Draw strategies with names of their own, any levels and any error types."""
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    levels = st.sampled_from(ProgressiveRecoveryLevel)
    types = st.sets(st.sampled_from([ErrorType.BROWSER, ErrorType.DRIVER]))
    return [RecoveryStrategy(name, draw(levels), draw(types)) for name in names]


class TestChoose:
    """The lowest level comes first; nothing is repeated while something new is left."""

    @given(
        strategies=toolboxes(),
        tried=st.frozensets(st.sampled_from("abcdefg")),
        max_level=st.integers(1, 5),
    )
    def test_it_is_the_lowest_new_one_that_fits_or_else_the_highest_that_fits(
        self, strategies: list[RecoveryStrategy], tried: frozenset[str], max_level: int
    ) -> None:
        chosen = choose(strategies, ErrorType.BROWSER, tried=tried, max_level=max_level)
        fitting = [
            s for s in strategies if ErrorType.BROWSER in s.error_types and s.level <= max_level
        ]
        fresh = [s for s in fitting if s.name not in tried]
        if not fitting:
            assert chosen is None
        elif fresh:
            assert chosen in fresh
            assert chosen.level == min(s.level for s in fresh)
            # Of equals, the one registered first.
            assert chosen is next(s for s in fresh if s.level == chosen.level)
        else:
            assert chosen in fitting
            assert chosen.level == max(s.level for s in fitting)

    def test_without_any_strategy_there_is_no_choice(self) -> None:
        assert choose([], ErrorType.BROWSER, tried=frozenset(), max_level=5) is None

    def test_it_does_not_change_what_it_chooses_from(self) -> None:
        strategies = list(reversed(builtin_strategies()))
        before = list(strategies)
        choose(iter(strategies), ErrorType.TIMEOUT, tried=frozenset(), max_level=5)
        choose(strategies, ErrorType.TIMEOUT, tried=frozenset(), max_level=5)
        assert strategies == before


def test_a_strategy_keeps_its_error_types_whatever_iterable_they_came_in() -> None:
    strategy = RecoveryStrategy(
        "ours", ProgressiveRecoveryLevel.LEVEL_2, iter([ErrorType.GPU, ErrorType.GPU])
    )
    assert [t for t in ErrorType if strategy.applies_to(t)] == [ErrorType.GPU]
    assert strategy.level is ProgressiveRecoveryLevel.ENHANCED
