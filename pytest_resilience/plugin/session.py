"""The session as its user sees it: counts, reports, history, exit status.

Invariant: the summary is made once, after every fixture is torn down and every worker
has ended; a report or history that cannot be written is a warning, never a verdict.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

import pytest_resilience
from pytest_resilience.config import Settings
from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.core.ports import EventSink
from pytest_resilience.exceptions import (
    HistoryDamagedError,
    RecordsUnreadableError,
    ResilienceError,
    StoreError,
)
from pytest_resilience.options import OPTIONS
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.observe import BLOCKED, RECOVERED
from pytest_resilience.store.merger import Merger
from pytest_resilience.store.spool import Spool

if TYPE_CHECKING:
    from pytest_resilience.report.summary import Summary

_STATUS_PLUGIN = "resilience-status"
#: What a recovered test is called in pytest's own counts and progress.
_RECOVERED_STATUS = ("recovered", "r", ("RECOVERED", {"yellow": True}))
#: The item's own rerun report follows; its subtests are not counted beside it.
_SUBTEST_RERUN_STATUS = ("", "", "")
_RECOVERED = Verdict.RECOVERED.value
#: Verdicts after which there is a failure to tell of.
_TROUBLED = frozenset(
    v.value for v in (Verdict.RECOVERED, Verdict.FAILED, Verdict.UNRECOVERED, Verdict.BLOCKED)
)
#: Verdicts that leave a session green.
_FINE = frozenset(
    v.value
    for v in (Verdict.PASSED, Verdict.RECOVERED, Verdict.SKIPPED, Verdict.XFAILED, Verdict.XPASSED)
)
_RERUN_STATUS = ("rerun", "R", ("RERUN", {"yellow": True}))
#: It never ran.
_BLOCKED_STATUS = ("blocked", "B", ("BLOCKED", {"red": True}))


class StatusNames:
    """Names reruns and recovered tests in pytest's own progress and counts."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        """Name `report` if it is one of ours."""
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]
            return _SUBTEST_RERUN_STATUS if hasattr(report, "context") else _RERUN_STATUS
        if hasattr(report, RECOVERED):
            return _RECOVERED_STATUS
        if hasattr(report, BLOCKED) and report.outcome == "failed":
            return _BLOCKED_STATUS
        return None


class SessionReport:
    """Collects the results of a session and reports them at its end."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        session_id: str,
        spool: Spool | None,
        sink: EventSink,
        faults: FaultReporter,
    ) -> None:
        self._config = config
        self._settings = settings
        self._session_id = session_id
        self._spool = spool
        self._sink = sink
        self._faults = faults
        self._results: list[TestResult] = []
        self._uncollected: list[str] = []
        self._started_us = time.time_ns() // 1_000
        self._summary: Summary | None = None
        self._merger: Merger | None = None
        #: Records that are known to be missing.
        self.events_lost = 0
        #: Returns what became of the circuits; see `breakers.CircuitLog`.
        self.circuits: Callable[[], dict[str, Any]] = dict
        #: Returns how many browsers were used over time; see `crowd.told`.
        self.concurrency: Callable[[], dict[str, Any]] = dict

    def add(self, result: TestResult) -> None:
        """Add the verdict of an item."""
        self._results.append(result)
        if self._merger is None and result.verdict in _TROUBLED:
            self._prepare_merge()
        if result.verdict == _RECOVERED and len(result.attempts) == 1:
            # It had passed before its teardown lost the environment.
            self._recount(result.nodeid, "passed", "recovered")

    def _prepare_merge(self) -> None:
        # Loading DuckDB takes long; a session that has failed will not mind the company.
        if self._spool is not None and self._settings.db is not None:
            self._merger = Merger(self._settings.db)
            self._merger.prepare()

    def superseded(self, nodeid: str) -> None:
        """Count an item that is run again for what it is."""
        self.name_statuses()
        for status in list(self._stats()):
            # What pytest counted of the subtests of a superseded attempt is taken back.
            self._recount(nodeid, status, None, subtests=True)

    def name_statuses(self) -> None:
        """A report follows that pytest has no name for."""
        manager = self._config.pluginmanager
        if not manager.hasplugin(_STATUS_PLUGIN):
            # Asked for every report, so registered only once there is something to name.
            manager.register(StatusNames(), _STATUS_PLUGIN)

    def _recount(
        self, nodeid: str, status: str, new_status: str | None, *, subtests: bool = False
    ) -> None:
        stats = self._stats()
        moved = [
            report
            for report in stats.get(status, [])
            if getattr(report, "nodeid", None) == nodeid and hasattr(report, "context") is subtests
        ]
        if moved:
            stats[status] = [report for report in stats[status] if report not in moved]
            if new_status is not None:
                stats.setdefault(new_status, []).extend(moved)

    def _stats(self) -> dict[str, list[Any]]:
        """The terminal's counts, or an empty dict without a terminal."""
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter.stats if reporter is not None else {}

    def pytest_report_header(self) -> str:
        """Say with what the session runs."""
        s = self._settings
        return (
            f"resilience: {pytest_resilience.__version__}, retry={s.retry}, "
            f"max-attempts={s.max_attempts}, max-level={s.max_level}"
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of what could not be collected: nobody knows which tests are in it."""
        if report.failed:
            self._uncollected.append(report.nodeid or "the whole session")

    def pytest_sessionstart(self) -> None:
        """Record that the session began."""
        self._sink.emit(events.SESSION_STARTED, self._facts())

    # Innermost: after the teardown of all fixtures and workers, before the terminal's own.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Summarise, write reports, merge the history; decide the strict exit status."""
        try:
            return (yield)
        finally:
            try:
                self._finish(session)
            except Exception as fault:  # noqa: BLE001 - reporting must not change a verdict
                self._faults(fault)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the verdicts, and where to read more."""
        try:
            self._show(terminalreporter)
        except Exception as fault:  # noqa: BLE001 - showing must not change a verdict
            self._faults(fault)

    def _show(self, terminalreporter: Any) -> None:
        if self._summary is None:
            return
        from pytest_resilience.report.terminal import summary_lines

        verbosity = self._config.get_verbosity()
        lines = summary_lines(self._summary, verbosity=verbosity, color=terminalreporter.hasmarkup)
        if lines and verbosity >= 0:
            terminalreporter.section("resilience", "=")
        for text, markup in lines:
            terminalreporter.write_line(text, **markup)

    def _finish(self, session: pytest.Session) -> None:
        strict = self._settings.strict and any(map(was_recovered, self._results))
        if strict and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._uncollected:
            self._faults.notes["not collected"] = ", ".join(self._uncollected)
        self._summary = summary = self._summarise(int(session.exitstatus))
        self._sink.emit(
            events.SESSION_FINISHED,
            {"exit_status": int(session.exitstatus), "counts": dict(summary.counts)},
        )
        merger = self._begin_merge(summary)
        self._write_reports(summary)
        if merger is not None and self._end_merge(merger, summary):
            # Once more, with what the merge had to tell.
            self._write_reports(summary)

    def _summarise(self, exit_status: int) -> Summary:
        from pytest_resilience.report.summary import SessionInfo, Summary

        facts = self._facts()
        info = SessionInfo(
            session_id=self._session_id,
            started_us=self._started_us,
            finished_us=time.time_ns() // 1_000,
            exit_status=exit_status,
            rootdir=facts["project"],
            python_version=facts["python_version"],
            pytest_version=facts["pytest_version"],
            plugin_version=facts["plugin_version"],
            platform=facts["platform"],
            workers=sorted({result.worker for result in self._results}),
            options=facts["options"],
            facts=dict(self._faults.notes),
        )
        circuits = self.circuits()
        return Summary(
            circuits=circuits.get("circuits", []),
            circuit_waited_s=circuits.get("waited_s", 0.0),
            moved=circuits.get("moved", 0),
            agreement=circuits.get("agreement", {}),
            concurrency=self.concurrency(),
            session=info,
            tests=self._results,
            recoveries=[record for result in self._results for record in recoveries(result)],
            warnings=self._faults.messages,
            events_lost=self.events_lost,
        )

    def _facts(self) -> dict[str, Any]:
        values = {option.name: getattr(self._settings, option.name) for option in OPTIONS}
        return {
            "started_us": self._started_us,
            "project": self._config.rootpath.name,
            "python_version": platform.python_version(),
            "pytest_version": pytest.__version__,
            "plugin_version": pytest_resilience.__version__,
            "host": platform.node(),
            "workers": int(getattr(self._config.option, "numprocesses", None) or 1),
            "platform": platform.platform(terse=True),
            "options": {
                name: value if isinstance(value, (bool, int, float, str)) else str(value)
                for name, value in values.items()
                if value is not None
            },
        }

    def _begin_merge(self, summary: Summary) -> Merger | None:
        """Let the spool be taken into the history; None if there is no history."""
        if self._spool is None or self._settings.db is None:
            return None
        self._spool.close()
        merger = self._merger or Merger(self._settings.db)
        merger.begin()
        if self._spool.error:
            self._faults.warn(
                f"--resilience-db: {self._spool.lost} records did not reach the history "
                f"{self._shown(self._settings.db)}: {self._spool.error}"
            )
            summary.events_lost += self._spool.lost
        return merger

    def _end_merge(self, merger: Merger, summary: Summary) -> bool:
        """Wait for the history; return whether there was something to warn of."""
        warned = len(self._faults.messages)
        try:
            merged = merger.finish()
            if merged.moved_aside is not None:
                text = (
                    f"the history was damaged; it is kept as {merged.moved_aside}, a new one begun"
                )
                self._faults.warn(str(HistoryDamagedError(text)))
            if merged.bad:
                text = (
                    f"{merged.bad} records of killed runs are unreadable; kept as *.jsonl.damaged"
                )
                self._faults.warn(str(RecordsUnreadableError(text)))
            if merged.snapshot_error:
                text = f"the next run will not know what this one learned: {merged.snapshot_error}"
                self._faults.warn(str(StoreError(text)))
            if merger.path.exists():
                history = {"history": self._shown(self._settings.db)}
                summary.artifacts = {**history, **summary.artifacts}
        except ResilienceError as error:
            self._faults.warn(f"--resilience-db: {error}")
        return len(self._faults.messages) > warned

    def pytest_unconfigure(self) -> None:
        """Leave no process behind if the session ended without its summary."""
        if self._merger is not None:
            self._merger.close()

    def _write_reports(self, summary: Summary) -> None:
        from pytest_resilience.report.exchange import write_json
        from pytest_resilience.report.html import write_html

        # The JSON comes last, so that it tells of a report that could not be written.
        targets = (
            ("report", self._settings.report, write_html),
            ("json", self._settings.json, write_json),
        )
        for name, path, write in targets:
            if path is None:
                continue
            try:
                write(summary, path)
                summary.artifacts[name] = self._shown(path)
            except ResilienceError as error:
                self._faults.warn(str(error))

    def _shown(self, path: Any) -> str:
        try:
            return str(path.relative_to(self._config.invocation_params.dir))
        except ValueError:
            return str(path)


def was_recovered(result: TestResult) -> bool:
    """Return whether an infrastructure failure of `result` was recovered from.

    An expected failure, too, may have needed more than one attempt to come about.
    """
    lost = any(attempt.infrastructure for attempt in result.attempts)
    return lost and result.verdict in _FINE


def recoveries(result: TestResult) -> list[RecoveryPerformanceRecord]:
    """Return the recoveries of an item, read off its attempts.

    A recovery succeeded if the attempt after it got past the failure.
    """
    records = []
    for attempt, following in zip(result.attempts, [*result.attempts[1:], None], strict=True):
        if attempt.strategy:
            success = _got_past(attempt, following)
            records.append(
                RecoveryPerformanceRecord(
                    strategy_id=attempt.strategy,
                    strategy_name=attempt.strategy.replace("_", " ").capitalize(),
                    error_type=attempt.error_type,
                    execution_time=attempt.recovery_s,
                    success=success,
                    affected_tasks=1,
                    recovered_tasks=int(success),
                    timestamp_us=attempt.started_us,
                    context={
                        "error_id": attempt.error_id,
                        "nodeid": result.nodeid,
                        "attempt": attempt.number,
                        "recovery_level": attempt.level,
                    },
                )
            )
    return records


def _got_past(attempt: Attempt, following: Attempt | None) -> bool:
    if following is None:
        return attempt.outcome == "passed"
    return following.outcome in ("passed", "skipped") or not following.infrastructure
