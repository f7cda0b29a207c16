"""Verdicts that were kept are told as reports."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.plugin.kept import KEPT, kept_reports


def result(verdict: Verdict) -> TestResult:
    failed = verdict.fails_session
    outcome = "failed" if failed else "passed"
    if verdict in (Verdict.SKIPPED, Verdict.XFAILED):
        outcome = "skipped"
    last = Attempt(outcome=outcome, traceback="E  why" if failed else "", duration_s=2.0)
    return TestResult("t.py::test_a", verdict.value, started_us=5, reason="why", attempts=[last])


@pytest.mark.parametrize("verdict", Verdict, ids=lambda verdict: verdict.value)
def test_a_kept_verdict_counts_as_what_it_was(verdict: Verdict, pytestconfig: Any) -> None:
    """By pytest's own way of counting reports."""
    reports = kept_reports(result(verdict))
    told = [
        pytestconfig.hook.pytest_report_teststatus(report=report, config=pytestconfig)[0]
        for report in reports
    ]
    wanted = {
        Verdict.RECOVERED: "passed",
        Verdict.UNRECOVERED: "failed",
        Verdict.BLOCKED: "failed",
    }.get(verdict, verdict.value)
    # Without the names that a run with the plugin gives them.
    assert [name for name in told if name] == [wanted]
    assert all(getattr(report, KEPT) for report in reports)
    assert sum(report.duration for report in reports) == 2.0


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_failure_is_told_in_the_phase_it_came_from(phase: str) -> None:
    failed = result(Verdict.FAILED)
    failed.attempts[-1].phase = phase
    outcomes = [(report.when, report.outcome) for report in kept_reports(failed)]
    ran = {"setup": ("setup", "teardown")}.get(phase, ("setup", "call", "teardown"))
    assert outcomes == [(when, "failed" if when == phase else "passed") for when in ran]
