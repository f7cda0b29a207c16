"""`delayed_retry`: how long is waited, and for what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.builtin import DelayedRetry, builtin_strategies
from pytest_resilience.core.failures import ErrorContext, ErrorReport, ErrorSeverity, ErrorType
from tests.doubles import FakeClock

NEVER_WAITED_FOR = {
    ErrorType.BROWSER,
    ErrorType.DRIVER,
    ErrorType.GPU,
    ErrorType.SYSTEM,
    ErrorType.PRODUCT,
    ErrorType.TEST_CODE,
}


class Drawn:
    """Chance that always draws the same."""

    def __init__(self, share: float) -> None:
        self._share = share

    def random(self) -> float:
        return self._share


def waited(attempt: int, share: float) -> float:
    clock = FakeClock()
    begun = clock.monotonic()
    report = ErrorReport(
        "1", ErrorType.PAGE, ErrorSeverity.LOW, "gone", ErrorContext(attempt=attempt)
    )
    strategy = DelayedRetry(clock, Drawn(share))
    assert strategy.execute({"report": report, "environment": None}) == (True, "", False)
    return clock.monotonic() - begun


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (2000, 10)]
)
def test_the_longest_wait_doubles_up_to_ten_seconds(attempt: int, longest: float) -> None:
    assert waited(attempt, 1.0) == pytest.approx(longest)


@given(attempt=st.integers(1, 10_000), share=st.floats(0, 1, exclude_max=True))
def test_chance_spreads_the_wait_over_all_of_it(attempt: int, share: float) -> None:
    assert waited(attempt, share) == pytest.approx(share * waited(attempt, 1.0), abs=1e-6)


def test_nothing_is_waited_for_that_stays_broken() -> None:
    strategy = DelayedRetry(FakeClock(), Drawn(0))
    assert not any(strategy.applies_to(member) for member in NEVER_WAITED_FOR)
    assert strategy.applies_to(ErrorType.PAGE)


def test_without_clock_and_chance_nothing_waits() -> None:
    assert "delayed_retry" not in [s.name for s in builtin_strategies()]
    assert "delayed_retry" in [s.name for s in builtin_strategies(FakeClock(), Drawn(0))]
