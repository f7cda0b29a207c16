"""Strategies: what can help against what, where it is possible, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from pytest_resilience.core.builtin import APPLICABILITY, CoordinatorRecovery, builtin_strategies
from pytest_resilience.core.failures import ErrorContext, ErrorReport, ErrorSeverity, ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import RecoveryStrategy
from tests.doubles import FakeClock, FakeEnvironment


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


DEAD = ("browser", "driver", "gpu", "worker", "hardware", "system")
NEEDS: dict[str, tuple[str, str]] = {
    "extended_timeout_retry": ("has_timeouts", "extend_timeouts"),
    "fresh_window": ("has_dead_tabs", "replace_tabs"),
    "database_reconnect": ("has_connections", "reconnect"),
    "node_switch": ("has_other_endpoint", "switch_node"),
    "coordinator_recovery": ("has_coordinator", "coordinator_is_ready"),
    "environment_reset": ("", "reset"),
    "browser_restart": ("", "restart_browsers"),
    "driver_restart": ("", "restart_browsers"),
}
BUILTINS = builtin_strategies(FakeClock(), Random(0))


def builtin(name: str) -> RecoveryStrategy:
    return next(strategy for strategy in BUILTINS if strategy.name == name)


def info(environment: FakeEnvironment | None = None, **answers: str) -> dict[str, Any]:
    """Return what a strategy is asked with, for a failure with these answers of probes."""
    evidence = tuple({"probe": probe, "answer": answer} for probe, answer in answers.items())
    report = ErrorReport(
        "1", ErrorType.COORDINATOR, ErrorSeverity.HIGH, "", ErrorContext(), evidence=evidence
    )
    return {"report": report, "environment": environment}


class TestBuiltins:
    """The strategies that come with the package."""

    def test_the_table_describes_them_all_in_the_order_of_levels(self) -> None:
        assert [(s.name, s.level, s.error_types, s.nominal_s) for s in BUILTINS] == [
            (name, fit.level, fit.error_types, fit.nominal_s) for name, fit in APPLICABILITY.items()
        ]
        assert [s.level for s in BUILTINS] == sorted(s.level for s in BUILTINS)
        assert all(fit.reason and fit.nominal_s > 0 for fit in APPLICABILITY.values())

    def test_without_clock_and_chance_those_that_wait_are_left_out(self) -> None:
        left_out = {s.name for s in BUILTINS} - {s.name for s in builtin_strategies()}
        assert left_out == {"delayed_retry", "coordinator_recovery"}

    @pytest.mark.parametrize("label", DEAD)
    @pytest.mark.parametrize("name", ["immediate_retry", "delayed_retry"])
    def test_a_bare_retry_is_not_tried_where_the_session_is_lost(
        self, name: str, label: str
    ) -> None:
        assert not builtin(name).applies_to(ErrorType.from_label(label))

    @pytest.mark.parametrize("error_type", ErrorType, ids=lambda member: member.label)
    def test_every_type_has_a_strategy(self, error_type: ErrorType) -> None:
        assert any(strategy.applies_to(error_type) for strategy in BUILTINS)

    def test_what_a_circuit_refused_is_simply_run_again(self) -> None:
        """Its closing was waited for before."""
        fitting = [s.name for s in BUILTINS if s.applies_to(ErrorType.CIRCUIT_OPEN)]
        assert fitting == ["immediate_retry"]

    @pytest.mark.parametrize("label", ["product", "test_code", "page", "unknown"])
    def test_the_environment_is_never_reset_for_the_product(self, label: str) -> None:
        assert not builtin("environment_reset").applies_to(ErrorType.from_label(label))

    @pytest.mark.parametrize("name", ["immediate_retry", "delayed_retry"])
    def test_a_retry_is_possible_unless_it_would_meet_the_broken_session(self, name: str) -> None:
        assert builtin(name).possible(info(FakeEnvironment()))
        assert builtin(name).possible(info(None))
        assert not builtin(name).possible(info(FakeEnvironment(is_broken=True)))

    def test_a_bare_retry_touches_nothing(self) -> None:
        environment = FakeEnvironment()
        assert builtin("immediate_retry").execute(info(environment)) == (True, "", False)
        assert environment.calls == []

    @pytest.mark.parametrize("name", [name for name, (condition, _) in NEEDS.items() if condition])
    def test_what_needs_something_is_possible_only_where_that_is(self, name: str) -> None:
        condition, _action = NEEDS[name]
        assert not builtin(name).possible(info(FakeEnvironment()))
        assert builtin(name).possible(info(FakeEnvironment(**{condition: True})))
        assert not builtin(name).possible(info(None))

    @pytest.mark.parametrize("answer", [True, False], ids=["done", "not-done"])
    @pytest.mark.parametrize("name", [name for name in NEEDS if name != "coordinator_recovery"])
    def test_it_asks_the_environment_and_believes_its_answer(self, name: str, answer: bool) -> None:
        _condition, action = NEEDS[name]
        environment = FakeEnvironment(**{action: answer})
        assert builtin(name).execute(info(environment)) == (answer, "", False)
        assert environment.calls[0] == action

    @pytest.mark.parametrize("name", ["browser_restart", "driver_restart"])
    @pytest.mark.parametrize(
        ("answer", "possible"),
        [("ok", True), ("dead", True), ("busy", True), ("refused", False), ("empty", False)],
    )
    def test_no_browser_is_restarted_at_a_grid_that_cannot_start_any(
        self, name: str, answer: str, possible: bool
    ) -> None:
        assert builtin(name).possible(info(FakeEnvironment(), grid=answer)) is possible

    def test_only_the_driver_restart_asks_for_a_new_driver(self) -> None:
        asked = {}
        for name in ("browser_restart", "driver_restart"):
            environment = FakeEnvironment()
            builtin(name).execute(info(environment))
            asked[name] = environment.restarts
        assert asked == {"browser_restart": [False], "driver_restart": [True]}

    def test_a_switched_endpoint_replaces_what_was_broken_there(self) -> None:
        environment = FakeEnvironment(switch_endpoint=True)
        builtin("node_switch").execute(info(environment))
        assert environment.calls == ["switch_node", "switch_endpoint", "restart_browsers"]

    def test_another_node_of_the_same_grid_is_nearer_than_another_grid(self) -> None:
        environment = FakeEnvironment(switch_node=True, switch_endpoint=True)
        builtin("node_switch").execute(info(environment))
        assert environment.calls == ["switch_node", "restart_browsers"]

    def test_a_node_that_can_be_avoided_is_reason_enough(self) -> None:
        assert builtin("node_switch").possible(info(FakeEnvironment(has_other_node=True)))

    def test_the_title_is_the_name_as_people_read_it(self) -> None:
        assert [s.title for s in BUILTINS][:3] == [
            "Immediate retry",
            "Delayed retry",
            "Extended timeout retry",
        ]


class TestCoordinatorRecovery:
    """A grid gets time to come back; then another one is taken; then it is given up."""

    @staticmethod
    def recover(**answers: Any) -> tuple[bool, list[str], float]:
        clock, environment = FakeClock(), FakeEnvironment(**answers)
        begun = clock.monotonic()
        outcome = CoordinatorRecovery(clock).execute(info(environment))
        return outcome.success, environment.calls, clock.monotonic() - begun

    def test_one_that_is_ready_is_not_waited_for(self) -> None:
        assert self.recover(coordinator_is_ready=True) == (
            True,
            ["coordinator_is_ready", "restart_browsers"],
            0.0,
        )

    def test_one_that_comes_back_is_used_again(self) -> None:
        success, calls, waited_s = self.recover(coordinator_is_ready=[False, False, True])
        assert success
        assert calls == ["coordinator_is_ready"] * 3 + ["restart_browsers"]
        assert waited_s == pytest.approx(1.5)

    def test_one_that_stays_away_is_left_for_another(self) -> None:
        success, calls, waited_s = self.recover(coordinator_is_ready=False, switch_endpoint=True)
        assert success
        assert calls[-3:] == ["coordinator_is_ready", "switch_endpoint", "restart_browsers"]
        assert calls.count("switch_endpoint") == 1
        assert 4.0 <= waited_s < 5.0

    def test_without_another_one_it_is_given_up_after_two_minutes(self) -> None:
        success, calls, waited_s = self.recover(coordinator_is_ready=False, switch_endpoint=False)
        assert not success
        assert "restart_browsers" not in calls
        assert 120.0 <= waited_s < 125.0


def test_a_strategy_keeps_its_error_types_whatever_iterable_they_came_in() -> None:
    strategy = RecoveryStrategy(
        "ours", ProgressiveRecoveryLevel.LEVEL_2, iter([ErrorType.GPU, ErrorType.GPU])
    )
    assert [t for t in ErrorType if strategy.applies_to(t)] == [ErrorType.GPU]
    assert strategy.level is ProgressiveRecoveryLevel.ENHANCED
