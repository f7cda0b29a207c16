"""`throttle`: recoveries stop in a storm, and resume as tests pass."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.shared import Own
from pytest_resilience.core.throttle import REFUND, TOKENS, Purse, Throttle, tokens_of


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


def test_processes_with_one_purse_have_one_guard_and_one_budget() -> None:
    """Whoever fails, cures, or counts what has passed."""
    purse = Own(Purse())
    one, other = Throttle(tokens=4, purse=purse), Throttle(tokens=4, purse=purse)
    one.failed()
    other.failed()
    assert not one.open
    other.cured()
    assert one.open
    one.took(2.0)
    other.took(3.0)
    assert one.spent_s == other.spent_s == 5.0
    for throttle in (one, other):
        throttle.failed()
        throttle.heard(10)
    # What has passed is counted once, by whoever hears of it.
    assert one.open
    assert purse.read() == Purse(lost=1.0, passed=10, spent_s=5.0)


def test_a_run_on_many_workers_may_lose_more_before_it_is_an_outage() -> None:
    assert [tokens_of(workers) for workers in (1, 2, 4, 8)] == [20.0, 20.0, 40.0, 80.0]


def test_a_purse_comes_back_as_it_was_written() -> None:
    purse = Purse(1.9, 3, 4.5)
    assert Purse.from_dict(json.loads(json.dumps(purse.to_dict()))) == purse
