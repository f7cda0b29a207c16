"""The one analysis of a session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.failures import ErrorType, Verdict
from pytest_resilience.report.advice import advice
from pytest_resilience.report.summary import SessionInfo, Summary, cause, normalised


def test_every_verdict_is_counted_in_order(summary: Summary) -> None:
    """Counts name every verdict, also those nobody got, in the order of `Verdict`."""
    assert list(summary.counts) == [verdict.value for verdict in Verdict]
    assert summary.counts["xpassed"] == 0
    assert sum(summary.counts.values()) == len(summary.tests)


def test_tests_are_found_by_verdict(summary: Summary) -> None:
    """Each list holds exactly the tests with its verdict."""
    named = [summary.recovered, summary.failed, summary.unrecovered, summary.blocked]
    assert [[test.nodeid.rpartition("_")[2] for test in tests] for tests in named] == [
        ["cart"],
        ["price"],
        ["pay"],
        ["mail"],
    ]


def test_errors_that_differ_in_numbers_only_are_one_group(
    died: Callable[..., Attempt],
) -> None:
    """Ports, ids and addresses do not make two errors of one."""
    messages = ["refused by localhost:4444 at 0x7f31", "refused by localhost:5555 at 0x99aa"]
    tests = [
        TestResult(f"t::{index}", "recovered", attempts=[died(message=message, injected="crash")])
        for index, message in enumerate(messages)
    ]
    (group,) = Summary(SessionInfo(), tests).error_groups()
    assert (group.count, group.tests, group.recovered, group.injected) == (
        2,
        ["t::0", "t::1"],
        2,
        2,
    )
    assert group.message == "refused by localhost:* at *"
    assert group.example == messages[0]


def test_errors_with_different_rules_stay_apart(died: Callable[..., Attempt]) -> None:
    """The same message diagnosed in two ways is two errors; the most frequent is first."""
    attempts = [died(1, rule="a"), died(2, rule="b"), died(3, rule="b")]
    groups = Summary(SessionInfo(), [TestResult("t", "failed", attempts=attempts)]).error_groups()
    assert [(group.rule, group.count, group.tests) for group in groups] == [
        ("b", 2, ["t"]),
        ("a", 1, ["t"]),
    ]


def test_strategies_are_tallied(record: Callable[..., RecoveryPerformanceRecord]) -> None:
    """Executions, successes and mean seconds add up by strategy and error type."""
    records = [
        record("restart", success=True, took=1.0),
        record("restart", success=False, took=3.0),
        record("retry", success=True, took=0.0),
    ]
    restart, retry = Summary(SessionInfo(), recoveries=records).strategies()
    assert (restart.strategy, restart.executions, restart.successes) == ("restart", 2, 1)
    assert (restart.mean_s, restart.total_s, restart.level) == (2.0, 4.0, 3)
    assert restart.by_error_type == {"browser": (2, 1)}
    assert retry.strategy == "retry"


def test_time_is_summed(summary: Summary) -> None:
    """Recovery time is that of all recoveries; repeated attempts are counted apart."""
    assert summary.recovery_s == 4.0
    assert summary.superseded_s == 3.0
    assert summary.attempts == 8
    summary.recoveries.clear()
    assert summary.recovery_s == 6.0  # what the attempts themselves say


def test_slowest_comes_first(summary: Summary) -> None:
    """The slowest tests are those with the longest way to their verdict."""
    assert [test.duration_s for test in summary.slowest(2)] == [4.0, 3.5]


def test_cause_is_the_first_failure(died: Callable[..., Attempt]) -> None:
    """The first failure is the cause; a test without one has none."""
    test = TestResult("t", "recovered", attempts=[died(1, message="first"), died(2)])
    found = cause(test)
    assert found is not None
    assert found.message == "first"
    assert cause(TestResult("t", "passed", attempts=[Attempt()])) is None


def test_session_duration_needs_both_ends() -> None:
    """Without a start or a finish the duration is unknown, and never negative."""
    assert SessionInfo(started_us=1_000_000, finished_us=3_500_000).duration_s == 2.5
    assert SessionInfo(started_us=5).duration_s == 0.0
    assert SessionInfo(started_us=9_000_000, finished_us=1).duration_s == 0.0


def test_green_session_had_no_incident() -> None:
    """Passing and product failures alone are no incident of this plugin."""
    tests = [TestResult("a", "passed"), TestResult("b", "failed")]
    assert not Summary(SessionInfo(), tests).had_incident
    assert Summary(SessionInfo(), tests, events_lost=1).had_incident


def test_normalised_message_is_one_line() -> None:
    """Only the first line counts, without what varies."""
    assert normalised("pid 4711 died\nsession 12") == "pid * died"
    assert normalised("/session/9f2c1f faded at 12:30") == "/session/* faded at *"


@pytest.mark.parametrize("member", ErrorType, ids=lambda member: member.label)
def test_every_error_type_has_advice(member: ErrorType) -> None:
    """A person is told what to do about each error type."""
    assert advice(member.label).endswith(".")


def test_unknown_error_type_has_no_advice() -> None:
    """A label from another version is no reason to invent advice."""
    assert advice("martian") == ""
