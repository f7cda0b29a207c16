"""Less for a test that ran out: when the strategies are possible, and what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.evidence import HOST, SHORT, ProbeResult
from pytest_resilience.core.failures import ErrorContext, ErrorReport, ErrorSeverity, ErrorType
from pytest_resilience.core.strategies import RecoveryStrategy
from tests.doubles import FakeEnvironment

REDUCTIONS = [s for s in builtin_strategies() if s.name.endswith("_reduction")]
HOST_SHORT = ProbeResult(HOST, SHORT, "memory: 3 MiB", 0.0).to_dict()

each_reduction = pytest.mark.parametrize("strategy", REDUCTIONS, ids=lambda s: s.name)


def info(
    environment: FakeEnvironment | None, error_type: ErrorType, *evidence: dict[str, Any]
) -> dict[str, Any]:
    report = ErrorReport("1", error_type, ErrorSeverity.HIGH, "", ErrorContext(), evidence=evidence)
    return {"report": report, "environment": environment}


def test_there_are_two() -> None:
    assert [s.name for s in REDUCTIONS] == ["batch_reduction", "precision_reduction"]


@each_reduction
@pytest.mark.parametrize(
    ("error_type", "evidence", "less", "possible"),
    [
        (ErrorType.RESOURCE, (), True, True),
        (ErrorType.RESOURCE, (), False, False),
        (ErrorType.BROWSER, (HOST_SHORT,), True, True),
        (ErrorType.BROWSER, (), True, False),
    ],
    ids=["resource", "nothing-less", "browser-on-short-host", "browser-crashed-alone"],
)
def test_it_is_possible_where_resources_ran_short_and_less_can_be_had(
    strategy: RecoveryStrategy,
    error_type: ErrorType,
    evidence: tuple[dict[str, Any], ...],
    less: bool,
    possible: bool,
) -> None:
    environment = FakeEnvironment(may_reduce=less)
    assert strategy.possible(info(environment, error_type, *evidence)) is possible


@each_reduction
def test_without_surroundings_it_is_not_possible(strategy: RecoveryStrategy) -> None:
    assert not strategy.possible(info(None, ErrorType.RESOURCE))


@each_reduction
@pytest.mark.parametrize("answer", [True, False])
def test_it_succeeds_if_what_is_broken_was_replaced(
    strategy: RecoveryStrategy, answer: bool
) -> None:
    environment = FakeEnvironment(reduce=answer)
    assert strategy.execute(info(environment, ErrorType.RESOURCE)).success is answer
    assert environment.calls == ["reduce"]
