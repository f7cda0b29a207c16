"""The settlement of a session: every collected item has exactly one verdict.

Invariant: a session that was not stopped on purpose is never green while an item is without
a verdict, or has two; whatever ran, or did not run, the items. Nothing is asked per test: what
was expected and what came are compared when all is over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.observe import ATTEMPT, Recorder
from pytest_resilience.plugin.stream import OWN, decides

#: Why there is no verdict, if nobody knows better.
_UNKNOWN = "nothing that ran it, if anything did, has reported how it ended"
#: With these a person, or a plugin, ends a session before its time.
_ENDINGS = (pytest.exit.Exception, pytest.UsageError)
_PHASES = ("setup", "call", "teardown")
_SHOWN = 3


class Ledger:
    """Compares what was collected with what became of it, and makes good what is missing.

    Args:
        results: All results of the run, by the time it ends.
        settle: Takes in the reports of an item; None if whoever hears the reports does.

    Attributes:
        closing: Called when no more items will be run, before the comparison: the last chance
            for those that were to be run again.
        aborted: Returns why no item was run at all, "" if nothing else says so.
        why_lost: Returns why an item has no verdict, "" if that is not known.
    """

    def __init__(
        self,
        config: pytest.Config,
        results: Sequence[TestResult],
        faults: FaultReporter,
        *,
        settle: Recorder | None = None,
    ) -> None:
        self._config = config
        self._results = results
        self._faults = faults
        self._settle = settle
        self.closing: Callable[[], None] = lambda: None
        self.aborted: Callable[[], str] = str
        self.why_lost: Callable[[], str] = str
        self._expected: Sequence[str] = ()
        self._times = 1
        self._seen: Hearsay | None = None

    def expect(self, nodeids: Sequence[str], times: int = 1) -> None:
        """Take note that each of `nodeids` is to get a verdict, or so many of them."""
        self._expected, self._times = nodeids, times

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Expect what was collected here; a controller collects nothing itself."""
        if self._settle is None:
            return
        self.expect([item.nodeid for item in session.items])
        manager = self._config.pluginmanager
        if manager.get_plugin("terminalreporter") is None and self._seen is None:
            # Otherwise the terminal keeps the reports, and nobody else need listen.
            self._seen = Hearsay()
            manager.register(self._seen, "resilience-hearsay")

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Do not expect what was deselected after all was collected."""
        if self._expected and self._settle is not None:
            gone = {item.nodeid for item in items}
            self._expected = [nodeid for nodeid in self._expected if nodeid not in gone]

    # Outermost, since others give verdicts when the loop has ended: registered after them.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """When the last item has run, settle the session."""
        on_purpose = True
        try:
            result = yield
            on_purpose = bool(session.shouldfail or session.shouldstop)
            return result
        except (session.Interrupted, session.Failed, KeyboardInterrupt, *_ENDINGS):
            raise
        except BaseException:
            on_purpose = False
            raise
        finally:
            try:
                self.closing()
                self.close(session, stopped=on_purpose)
            except Exception as fault:  # noqa: BLE001 - what was lost is red, whatever fails here
                session.testsfailed += 1
                self._faults(fault)

    def close(self, session: pytest.Session, *, stopped: bool) -> None:
        """Name what has no verdict, and what has two; let the session fail for either.

        Args:
            stopped: Whether the session was ended on purpose, so that items may be left.
        """
        expected = Counter(self._expected)
        came = Counter(result.nodeid for result in self._results)
        short = {nodeid for nodeid in expected if came[nodeid] < self._times}
        if short and self._settle is not None:
            short -= self._read_off(short)
        why = self.aborted() or ("the run was stopped" if stopped else "")
        if short and why:
            self._faults.notes["not run"] = f"{len(short)} of {len(expected)}: {why}"
        elif short:
            self._tell_lost([nodeid for nodeid in expected if nodeid in short])
        twice = [n for n, count in came.items() if count > max(1, expected[n]) * self._times]
        if twice:
            session.testsfailed += len(twice)
            self._faults.warn(self._told_twice(twice))

    def _read_off(self, nodeids: set[str]) -> set[str]:
        """Take in the verdicts of items that ran without us; return of which there were any."""
        heard: dict[str, list[pytest.TestReport]] = {}
        for report in self._heard():
            if getattr(report, "nodeid", None) in nodeids and not hasattr(report, "context"):
                heard.setdefault(report.nodeid, []).append(report)
        settled = set()
        for nodeid, reports in heard.items():
            told = [report for report in reports if report.when in _PHASES]
            if self._settle is not None and any(decides(report) for report in told):
                told.sort(key=lambda report: _PHASES.index(report.when or "call"))
                self._settle.settled(nodeid, told, [], "main")
                settled.add(nodeid)
        return settled

    def _heard(self) -> Iterable[pytest.TestReport]:
        if self._seen is not None:
            return self._seen.reports
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        kept = reporter.stats.values() if reporter is not None else ()
        return [r for reports in kept for r in reports if isinstance(r, pytest.TestReport)]

    def _tell_lost(self, nodeids: Sequence[str]) -> None:
        """Give items that have no verdict the one that says so."""
        why = self.why_lost() or _UNKNOWN
        for nodeid in nodeids:
            setup, down = lost_reports(nodeid, why)
            if self._settle is not None:
                self._settle.settled(nodeid, (setup, down), [], "main")
            for report in (setup, down):
                self._config.hook.pytest_runtest_logreport(report=report)

    def _told_twice(self, nodeids: Sequence[str]) -> str:
        told = []
        for nodeid in nodeids[:_SHOWN]:
            verdicts = [f"{r.verdict} on {r.worker}" for r in self._results if r.nodeid == nodeid]
            told.append(f"{nodeid} ({', '.join(verdicts)})")
        more = f" and {len(nodeids) - _SHOWN} more" if len(nodeids) > _SHOWN else ""
        return f"more than one verdict: {', '.join(told)}{more}; each is counted"


class Hearsay:
    """Keeps all reports, where there is no terminal that does."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep `report`."""
        self.reports.append(report)


def lost_reports(nodeid: str, why: str) -> tuple[pytest.TestReport, pytest.TestReport]:
    """Return the reports of an item that was collected, and has no verdict."""
    message = f"{nodeid} was collected and has no verdict: {why}"
    attempt = Attempt(
        outcome="failed",
        phase="setup",
        started_us=time.time_ns() // 1_000,
        error_type=ErrorType.TASK.label,
        infrastructure=True,
        severity=ErrorSeverity.HIGH.value,
        message=message,
        rule="no-verdict",
        confidence=1.0,
        reason=why,
        traceback=message,
    )
    setup = own_report(nodeid, "setup", "failed", message)
    setattr(setup, ATTEMPT, attempt.to_dict())
    return setup, own_report(nodeid, "teardown", "passed")


def own_report(
    nodeid: str, when: Any, outcome: Any, longrepr: str | None = None
) -> pytest.TestReport:
    """Return a report that this process makes for an item it has not got itself."""
    path, _, names = nodeid.partition("::")
    now = time.time()
    report = pytest.TestReport(
        nodeid=nodeid,
        location=(path, None, names.replace("::", ".") or path),
        keywords={},
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        duration=0.0,
        start=now,
        stop=now,
    )
    setattr(report, OWN, True)
    return report
