"""Failures inside subtests, which pytest reports at once while the call passes.

Invariant: a failed subtest is published once: as ``rerun`` if the attempt it belongs to
is superseded for it, else as the failure it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from pytest_resilience.engine import Incident
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.desk import Case, FailureDesk

Call = pytest.CallInfo[Any]


class Part(NamedTuple):
    """A failed subtest: its incident, None if the plugin itself failed, and its text."""

    incident: Incident | None
    text: str

    @property
    def excused(self) -> bool:
        """Whether infrastructure is to blame."""
        return self.incident is not None and self.incident.report.error_type.infrastructure


class SubtestWatch:
    """Sees failures inside subtests, which pytest reports at once while the call passes.

    Registered only where items can have subtests. A failed subtest that may be retried
    is published as ``rerun``, and supersedes the attempt unless another part of the test
    failed for good.
    """

    def __init__(self, desk: FailureDesk) -> None:
        self._desk = desk
        #: The case whose call phase runs, None outside of that.
        self.case: Case | None = None
        self._error: BaseException | None = None
        self._lost: Part | None = None
        self._failed: Part | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Call) -> None:
        """Remember what a subtest raised; its report does not hold the exception."""
        failed = call.when == "call" and call.excinfo is not None
        self._error = call.excinfo.value if failed and call.excinfo is not None else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Publish a failed subtest as a rerun if its failure may be retried."""
        case, error = self.case, self._error
        if case is None or error is None or not is_subtest(report) or not report.failed:
            return
        incident = self._desk.open(case, "call", error)
        part = Part(incident, observe.failure_text(report))
        retry = incident is not None and incident.decision.retry
        if retry and self._failed is None and not case.stopping:
            report.outcome = "rerun"
            self._lost = part
        elif self._failed is None or self._failed.excused:
            self._failed = part

    def end(self) -> tuple[Part | None, Part | None]:
        """Return which part of the call phase just run may be retried, and which failed."""
        parts = self._lost, self._failed
        self.case = self._error = self._lost = self._failed = None
        return parts


def is_subtest(report: Any) -> bool:
    """Return whether `report` is about a part of a test, reported on its own."""
    return hasattr(report, "context")
