"""Exceptions and reports of pytest as plain values, and the record of every item.

Invariant: what leaves this module holds no traceback, frame or driver, so nothing of
a failed attempt is kept alive by being recorded; each item yields exactly one
`TestResult` per process that reports it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import ExceptionFact, Verdict
from pytest_resilience.core.ports import EventSink
from pytest_resilience.engine import Incident

#: Attribute of a report that carries the `Attempt` of a failed or superseded attempt.
ATTEMPT = "resilience"
#: Attribute of the passed call report of an item that needed more than one attempt.
RECOVERED = "resilience_recovered"

_MESSAGE_LIMIT = 8_000
_CHAIN_LIMIT = 50


def exception_chain(error: BaseException) -> tuple[ExceptionFact, ...]:
    """Return `error` and its causes, contexts and group members as facts, outermost first."""
    return tuple(_walk(error))


def _walk(error: BaseException) -> Iterator[ExceptionFact]:
    seen: set[int] = set()
    waiting: list[tuple[BaseException, str]] = [(error, "raised")]
    while waiting and len(seen) < _CHAIN_LIMIT:
        current, relation = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield _fact(current, relation)
        members = getattr(current, "exceptions", None)
        if isinstance(members, (tuple, list)):
            waiting += [(m, "member") for m in members if isinstance(m, BaseException)]
        if current.__cause__ is not None:
            waiting.append((current.__cause__, "cause"))
        elif current.__context__ is not None and not current.__suppress_context__:
            waiting.append((current.__context__, "context"))


def _fact(error: BaseException, relation: str) -> ExceptionFact:
    mro = tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__[:-1])
    return ExceptionFact(mro, clip(_text(error)), relation, _origin(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return f"<{type(error).__name__} whose text could not be made>"


def _origin(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return ""
    code = frame.tb_frame.f_code
    return f"{code.co_filename}:{code.co_name}"


def clip(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """Return `text`, its middle left out if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"


def failure_text(report: pytest.TestReport) -> str:
    """Return the failure of `report` as pytest shows it, clipped."""
    try:
        return clip(report.longreprtext)
    except Exception:  # noqa: BLE001 - reports of other plugins hold anything
        return clip(traceback.format_exc(limit=1))


def failed_attempt(
    number: int, report: pytest.TestReport, incident: Incident, worker: str
) -> Attempt:
    """Return the attempt that ended with the failure of `incident`."""
    found = incident.report
    return Attempt(
        number=number,
        outcome="failed",
        phase=report.when or "call",
        started_us=int(getattr(report, "start", 0.0) * 1_000_000),
        duration_s=report.duration,
        worker=worker,
        error_id=found.error_id,
        error_type=found.error_type.label,
        infrastructure=found.error_type.infrastructure,
        severity=found.error_severity.value,
        exception=found.exception,
        message=found.message,
        rule=found.rule,
        confidence=found.confidence,
        evidence=found.evidence,
        injected=found.injected,
        reason=incident.decision.reason,
        browser=found.context.browser,
        traceback=failure_text(report),
    )


class Recorder:
    """Turns the stream of reports into one `TestResult` per item.

    Args:
        sink: Where finished results go; None in a controller, whose workers record
            their own.
        on_result: Called with every finished result.
        on_superseded: Called with the node id of an item that is run again.
    """

    def __init__(
        self,
        sink: EventSink | None,
        on_result: Callable[[TestResult], None] | None = None,
        on_superseded: Callable[[str], None] | None = None,
    ) -> None:
        self._sink = sink
        self._on_result = on_result
        self._on_superseded = on_superseded
        self._open: dict[tuple[str, str], _OpenItem] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add `report` to its item; its teardown report settles the item."""
        if hasattr(report, "context"):
            # A subtest is part of its item, whose own report follows.
            return
        key = (report.nodeid, getattr(report, "worker_id", "main"))
        item = self._open.get(key)
        if item is None:
            item = self._open[key] = _OpenItem(report, key[1])
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]
            attempt = item.supersede(report)
            if self._sink is not None:
                self._sink.emit(events.ATTEMPT, {"nodeid": report.nodeid, **attempt.to_dict()})
            if self._on_superseded is not None:
                self._on_superseded(report.nodeid)
        else:
            item.add(report)
            if report.when == "teardown" or report.when not in ("setup", "call"):
                del self._open[key]
                self._settle(item)

    def unfinished(self) -> list[TestResult]:
        """Return results for items that began but never came to an end."""
        return [item.result() for item in self._open.values()]

    def _settle(self, item: _OpenItem) -> None:
        result = item.result()
        if self._sink is not None:
            last = result.attempts[-1]
            self._sink.emit(events.ATTEMPT, {"nodeid": result.nodeid, **last.to_dict()})
            self._sink.emit(events.TEST_RESULT, result.to_dict())
        if self._on_result is not None:
            self._on_result(result)


class _OpenItem:
    """The reports of one item so far."""

    def __init__(self, report: pytest.TestReport, worker: str) -> None:
        self.nodeid = report.nodeid
        self.worker = worker
        self.started_us = int(getattr(report, "start", 0.0) * 1_000_000)
        self.finished_us = self.started_us
        self.superseded: list[Attempt] = []
        self.reports: list[pytest.TestReport] = []

    def add(self, report: pytest.TestReport) -> None:
        self.reports.append(report)
        self.finished_us = int(getattr(report, "stop", 0.0) * 1_000_000)

    def supersede(self, report: pytest.TestReport) -> Attempt:
        data = getattr(report, ATTEMPT, None)
        if data is None:
            # Another plugin re-runs this item; all we know is what its report says.
            attempt = Attempt(phase=report.when or "call", outcome="rerun")
            attempt.duration_s = report.duration
            attempt.traceback = failure_text(report)
        else:
            attempt = Attempt.from_dict(data)
        attempt.number = len(self.superseded) + 1
        self.superseded.append(attempt)
        self.reports.clear()
        return attempt

    def result(self) -> TestResult:
        attempt = self._last_attempt()
        verdict = self._verdict(attempt)
        return TestResult(
            nodeid=self.nodeid,
            verdict=verdict.value,
            worker=self.worker,
            started_us=self.started_us,
            duration_s=max(0.0, (self.finished_us - self.started_us) / 1_000_000),
            reason=self._reason(verdict, attempt),
            attempts=[*self.superseded, attempt],
        )

    def _last_attempt(self) -> Attempt:
        failed = next((r for r in self.reports if r.failed), None)
        told = next((d for r in self.reports if (d := getattr(r, ATTEMPT, None))), None)
        attempt = Attempt() if told is None else Attempt.from_dict(told)
        attempt.number = len(self.superseded) + 1
        attempt.worker = self.worker
        attempt.duration_s = sum(report.duration for report in self.reports)
        if self.reports:
            attempt.started_us = int(getattr(self.reports[0], "start", 0.0) * 1_000_000)
        if failed is not None:
            attempt.outcome, attempt.phase = "failed", failed.when or "call"
            if told is None:
                attempt.traceback = failure_text(failed)
        elif any(report.skipped for report in self.reports):
            attempt.outcome = "skipped"
        return attempt

    def _verdict(self, attempt: Attempt) -> Verdict:
        if attempt.outcome == "failed":
            return Verdict.UNRECOVERED if attempt.infrastructure else Verdict.FAILED
        if attempt.outcome == "skipped":
            expected = any(hasattr(r, "wasxfail") for r in self.reports)
            return Verdict.XFAILED if expected else Verdict.SKIPPED
        if any(r.when == "call" and hasattr(r, "wasxfail") for r in self.reports):
            return Verdict.XPASSED
        recovered = self.superseded or attempt.infrastructure
        return Verdict.RECOVERED if recovered else Verdict.PASSED

    def _reason(self, verdict: Verdict, attempt: Attempt) -> str:
        if verdict is Verdict.UNRECOVERED:
            return attempt.reason
        for report in self.reports:
            if report.skipped:
                return _skip_reason(report)
        return ""


def _skip_reason(report: pytest.TestReport) -> str:
    wasxfail = getattr(report, "wasxfail", None)
    if wasxfail is not None:
        return str(wasxfail)
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    return str(longrepr)
