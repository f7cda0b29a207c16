"""`core.policy`: which failure is followed by another attempt, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.policy import Decision, Limits, decide

INFRASTRUCTURE = frozenset(ErrorType) - {
    ErrorType.PRODUCT,
    ErrorType.PAGE,
    ErrorType.TEST_CODE,
    ErrorType.UNKNOWN,
}
#: The contract in one table: what each setting of ``--resilience-retry`` lets be retried.
RETRIED = {
    "never": frozenset(),
    "infrastructure": INFRASTRUCTURE,
    "ambiguous": INFRASTRUCTURE | {ErrorType.UNKNOWN},
    "all": frozenset(ErrorType),
}


@given(
    error_type=st.sampled_from(ErrorType),
    retry=st.sampled_from(sorted(RETRIED)),
    attempt=st.integers(1, 6),
    max_attempts=st.integers(1, 6),
    max_level=st.integers(1, 5),
    budget=st.none() | st.floats(-10, 10),
)
@example(ErrorType.BROWSER, "infrastructure", 1, 2, 5, 0.0)
@example(ErrorType.BROWSER, "infrastructure", 1, 2, 5, 5e-324)
@example(ErrorType.UNKNOWN, "ambiguous", 3, 4, 1, None)
def test_a_failure_is_retried_exactly_when_type_attempts_and_budget_allow_it(
    error_type: ErrorType,
    retry: str,
    attempt: int,
    max_attempts: int,
    max_level: int,
    budget: float | None,
) -> None:
    decision = decide(error_type, attempt, Limits(retry, max_attempts, max_level, budget))
    allowed = (
        error_type in RETRIED[retry] and attempt < max_attempts and (budget is None or budget > 0)
    )
    assert decision.retry is allowed
    assert decision.reason


@pytest.mark.parametrize("attempt", [4, 5, 100])
def test_no_attempt_follows_the_last_one_allowed(attempt: int) -> None:
    assert not decide(ErrorType.BROWSER, attempt, Limits("all", 4, 5)).retry


@pytest.mark.parametrize(
    ("error_type", "attempt", "limits", "expected"),
    [
        pytest.param(
            ErrorType.BROWSER,
            1,
            Limits("infrastructure", 4, 5),
            Decision(True, "browser failures are retried"),
            id="retried",
        ),
        pytest.param(
            ErrorType.PRODUCT,
            1,
            Limits("infrastructure", 4, 5),
            Decision(False, "product failures are final"),
            id="product",
        ),
        pytest.param(
            ErrorType.UNKNOWN,
            1,
            Limits("infrastructure", 4, 5),
            Decision(False, "unknown failures are final"),
            id="unknown",
        ),
        pytest.param(
            ErrorType.PRODUCT,
            4,
            Limits("infrastructure", 4, 5, 0),
            Decision(False, "product failures are final"),
            id="the-type-is-named-before-spent-limits",
        ),
        pytest.param(
            ErrorType.DRIVER,
            3,
            Limits("infrastructure", 3, 5),
            Decision(False, "all 3 attempts are used up"),
            id="attempts",
        ),
        pytest.param(
            ErrorType.DRIVER,
            1,
            Limits("infrastructure", 4, 5, 0),
            Decision(False, "the recovery budget of the run is used up"),
            id="budget",
        ),
        pytest.param(
            ErrorType.PRODUCT,
            9,
            Limits("never", 4, 5, 0),
            Decision(False, "the test is marked no_resilience"),
            id="the-marker-is-named-before-all",
        ),
    ],
)
def test_the_reason_names_what_decided(
    error_type: ErrorType, attempt: int, limits: Limits, expected: Decision
) -> None:
    assert decide(error_type, attempt, limits) == expected


@given(
    error_type=st.sampled_from(ErrorType),
    retry=st.sampled_from(sorted(set(RETRIED) - {"never"})),
    attempt=st.integers(1, 6),
    budget=st.none() | st.floats(-10, 10),
)
def test_what_may_pass_by_itself_is_retried_within_all_limits(
    error_type: ErrorType, retry: str, attempt: int, budget: float | None
) -> None:
    """An application that vanished is nobody's excuse, but gets its further attempts."""
    decision = decide(error_type, attempt, Limits(retry, 4, 5, budget), transient=True)
    assert decision.retry is (attempt < 4 and (budget is None or budget > 0))


def test_a_marked_test_is_not_retried_even_if_it_may_pass_by_itself() -> None:
    assert not decide(ErrorType.PAGE, 1, Limits("never", 4, 5), transient=True).retry


def test_the_reason_does_not_call_what_may_pass_infrastructure() -> None:
    assert decide(ErrorType.PAGE, 1, Limits("infrastructure", 4, 5), transient=True) == Decision(
        True, "the page failure may pass by itself"
    )
