"""`throttle`: recoveries stop in a storm, and resume as tests pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.throttle import REFUND, TOKENS, Throttle


def test_it_allows_recoveries_until_half_of_its_tokens_have_failed() -> None:
    throttle = Throttle()
    for _ in range(int(TOKENS / 2) - 1):
        throttle.failed()
    assert throttle.open
    throttle.failed()
    assert not throttle.open
    assert "looks like an outage" in throttle.reason


def test_one_cure_makes_up_for_all_failures_before_it() -> None:
    throttle = Throttle(tokens=4)
    for _ in range(100):
        throttle.failed()
    throttle.cured()
    throttle.failed()
    assert throttle.open


def test_passing_tests_let_recoveries_resume() -> None:
    throttle = Throttle(tokens=4)
    throttle.failed()
    throttle.failed()
    throttle.heard(1)
    assert throttle.open


def test_a_pass_is_counted_once_however_often_it_is_heard() -> None:
    throttle = Throttle(tokens=4, refund=0.5)
    for _ in range(4):
        throttle.failed()
    for _ in range(10):
        throttle.heard(1)
    assert not throttle.open


@given(st.lists(st.sampled_from(["failed", "cured", "passed"]), max_size=200))
def test_it_is_open_exactly_while_more_than_half_of_the_tokens_are_left(
    happened: list[str],
) -> None:
    throttle, tokens, passed = Throttle(), TOKENS, 0
    for event in happened:
        if event == "failed":
            throttle.failed()
            tokens = max(0.0, tokens - 1)
        elif event == "cured":
            throttle.cured()
            tokens = TOKENS
        else:
            passed += 1
            throttle.heard(passed)
            tokens = min(TOKENS, tokens + REFUND)
        assert throttle.open == (tokens > TOKENS / 2)
