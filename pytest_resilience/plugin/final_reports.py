"""What the last reports of an item say of the attempts before them.

Invariant: a test that took more than one attempt never reads as one that simply passed, and
no failure of the product is hidden behind a later one of the infrastructure.
"""

from __future__ import annotations

import pytest

from pytest_resilience.plugin import observe
from pytest_resilience.plugin.desk import Case


def simply_passed(reports: tuple[pytest.TestReport, ...]) -> bool:
    """Return whether these are the reports of an item that passed, and nothing else."""
    if len(reports) != 3 or hasattr(reports[1], "wasxfail"):
        return False
    return reports[1].outcome == reports[2].outcome == "passed"


def name_attempt(case: Case, report: pytest.TestReport) -> None:
    """Say on the final report of an item that it took several attempts."""
    if case.number > 1:
        report.rerun = case.number - 1  # type: ignore[attr-defined]
    if hasattr(report, "wasxfail") or hasattr(report, observe.PART_FAILED):
        return
    if report.when == "call" and report.outcome == "passed":
        if case.number == 1 and case.mended is not None:
            setattr(report, observe.ATTEMPT, case.mended.to_dict())
        if case.number > 1 or case.mended is not None:
            setattr(report, observe.RECOVERED, True)
    elif report.outcome == "skipped" and case.superseded:
        _refuse_skip(case, report)
    # A product failure is not hidden by an infrastructure failure after it.
    for attempt in case.superseded:
        if report.outcome == "failed" and not attempt.infrastructure:
            report.sections.append((f"Failure of attempt {attempt.number}", attempt.traceback))


def _refuse_skip(case: Case, report: pytest.TestReport) -> None:
    """Fail an item that failed and then skips itself: it never ran to its end."""
    failure = case.superseded[-1]
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    told = f"{reason} in attempt {case.number}, after attempt {failure.number} had failed"
    report.outcome = "failed"
    report.longrepr = f"{told}:\n\n{failure.traceback}"
    undone = {"strategy": "", "level": 0, "recovery_s": 0.0}
    setattr(report, observe.ATTEMPT, {**failure.to_dict(), **undone, "reason": told})
