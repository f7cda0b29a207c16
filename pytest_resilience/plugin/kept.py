"""Verdicts that were kept from the run that is resumed, as reports of pytest's.

Invariant: a kept verdict is reported as what it was, and marked as kept in every report; its
reports are made of what was recorded, so that what a test printed is not in them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_resilience.core.events import TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.plugin import observe

#: Attribute of the reports of a test that did not run in this session.
KEPT = "resilience_kept"
#: The property of the test in JUnit's report.
PROPERTY = ("resilience_kept", "true")


class KeptStatus:
    """Marks kept verdicts in pytest's own progress."""

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self, report: Any) -> Generator[None, Any, Any]:
        """Say of `report` that it is kept, if it is."""
        status = yield
        if not hasattr(report, KEPT) or not status or not status[2]:
            return status
        category, letter, word = status
        if isinstance(word, str):
            return category, letter, f"{word} (kept)"
        return category, letter, (f"{word[0]} (kept)", word[1])


def kept_reports(result: TestResult) -> list[pytest.TestReport]:
    """Return the reports of `result` for its set-up, its call if it got so far, its teardown."""
    last = result.attempts[-1]
    phase = last.phase if last.outcome != "passed" else "call"
    outcome = "failed" if Verdict(result.verdict).fails_session else "passed"
    if result.verdict in (Verdict.SKIPPED.value, Verdict.XFAILED.value):
        outcome = "skipped"
    text: Any = last.traceback or last.message or result.reason or result.verdict
    if outcome == "skipped":
        text = _skip(result)
        phase = "setup" if result.verdict == Verdict.SKIPPED.value else "call"
    reports = []
    for when in ("setup", "call", "teardown"):
        if when == "call" and phase == "setup":
            continue
        own = when == phase
        report = _report(result, when, outcome if own else "passed", text if own else None)
        if own:
            _mark(report, result)
        reports.append(report)
    reports[-1].user_properties = [PROPERTY]
    return reports


def _mark(report: Any, result: TestResult) -> None:
    """Say on the report that tells the verdict what it tells besides."""
    last = result.attempts[-1]
    report.duration = last.duration_s or result.duration_s
    report.stop = report.start + report.duration
    if result.verdict in (Verdict.XFAILED.value, Verdict.XPASSED.value):
        report.wasxfail = result.reason
    elif result.verdict == Verdict.RECOVERED.value:
        setattr(report, observe.RECOVERED, True)
    elif result.verdict == Verdict.BLOCKED.value:
        setattr(report, observe.BLOCKED, True)
    if last.error_type:
        setattr(report, observe.ATTEMPT, last.to_dict())
    if len(result.attempts) > 1:
        report.rerun = len(result.attempts) - 1


def _skip(result: TestResult) -> tuple[str, int, str] | str:
    if result.verdict == Verdict.XFAILED.value:
        return result.reason or result.verdict
    return (result.nodeid.partition("::")[0], 0, f"Skipped: {result.reason}")


def _report(result: TestResult, when: Any, outcome: Any, text: Any) -> pytest.TestReport:
    path, _, names = result.nodeid.partition("::")
    start = result.started_us / 1e6
    report = pytest.TestReport(
        nodeid=result.nodeid,
        location=(path, None, names.replace("::", ".") or path),
        keywords={},
        outcome=outcome,
        longrepr=text,
        when=when,
        duration=0.0,
        start=start,
        stop=start,
    )
    setattr(report, KEPT, True)
    return report
