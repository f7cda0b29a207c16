"""Exceptions and reports of pytest as plain values, and the record of every item.

Invariant: what leaves this module holds no traceback, frame or driver, so nothing of
a failed attempt is kept alive by being recorded; each item yields exactly one
`TestResult` per process that reports it.
"""

from __future__ import annotations

import contextlib
import copy
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import ExceptionFact, Verdict
from pytest_resilience.core.ports import EventSink
from pytest_resilience.core.provenance import is_of_driver
from pytest_resilience.engine import Incident
from pytest_resilience.plugin.attributes import INJECTED

#: Attribute of a report that carries the `Attempt` of a failed or superseded attempt.
ATTEMPT = "resilience"
#: Attribute of the passed call report of an item that needed more than one attempt.
RECOVERED = "resilience_recovered"
#: Attribute of the call report of an item that failed because one of its subtests did.
PART_FAILED = "resilience_part_failed"

#: Attribute of the reports of an item that never ran because a circuit stayed open.
BLOCKED = "resilience_blocked"

#: Attributes without which the report of a phase that passed says just that.
SPECIAL = frozenset({ATTEMPT, RECOVERED, PART_FAILED, BLOCKED, "wasxfail"})

_MESSAGE_LIMIT = 8_000
_CHAIN_LIMIT = 50


def exception_chain(error: BaseException) -> tuple[ExceptionFact, ...]:
    """Return `error` and its causes, contexts and group members as facts, outermost first."""
    return tuple(_walk(error))


def _walk(error: BaseException) -> Iterator[ExceptionFact]:
    seen: set[int] = set()
    waiting: list[tuple[BaseException, str, bool | None]] = [(error, "raised", None)]
    while waiting and len(seen) < _CHAIN_LIMIT:
        current, relation, before = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        fact = _fact(current, relation, before)
        yield fact
        # Depth first: what is behind an exception stands directly after it, and what is
        # behind a group before the group's members.
        behind = [(cause, "cause") for cause in _wrapped(current)]
        if current.__cause__ is not None:
            behind.append((current.__cause__, "cause"))
        elif current.__context__ is not None and not current.__suppress_context__:
            behind.append((current.__context__, "context"))
        waiting[:0] = [
            *((one, how, fact.of_driver if how == "cause" else None) for one, how in behind),
            *((member, "member", None) for member in _members(current)),
        ]


def _wrapped(error: BaseException) -> list[BaseException]:
    # `doctest.UnexpectedException` keeps what the example raised beside the chain.
    with contextlib.suppress(Exception):
        held = getattr(error, "exc_info", None)
        if isinstance(held, tuple) and len(held) == 3 and isinstance(held[1], BaseException):
            return [held[1]]
    return []


def _members(error: BaseException) -> list[BaseException]:
    with contextlib.suppress(Exception):
        members = getattr(error, "exceptions", None)
        if isinstance(members, (tuple, list)):
            return [member for member in members if isinstance(member, BaseException)]
    return []


def _fact(error: BaseException, relation: str, behind: bool | None) -> ExceptionFact:
    mro = tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__[:-1])
    of_driver = is_of_driver(error, mro, behind)
    return ExceptionFact(mro, clip(_text(error)), relation, _origin(error), of_driver)


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
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n… {left_out} characters left out …\n{text[len(text) - half :]}"


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
    attempt = attempt_of(incident, worker)
    attempt.number = number
    attempt.outcome = "failed"
    attempt.phase = report.when or "call"
    attempt.started_us = _started_us(report)
    attempt.duration_s = report.duration
    attempt.traceback = failure_text(report)
    return attempt


def attempt_of(incident: Incident, worker: str) -> Attempt:
    """Return an attempt that tells of `incident`."""
    found = incident.report
    return Attempt(
        phase=found.context.phase,
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
        root_error_id=incident.root_error_id,
        incident_id=incident.incident_id,
        chosen=incident.choice.reason if incident.choice is not None else "",
        candidates=_candidates(incident),
    )


def _candidates(incident: Incident) -> tuple[dict[str, Any], ...]:
    if incident.choice is None:
        return ()
    return tuple(candidate.to_dict() for candidate in incident.choice.candidates)


class Recorder:
    """Turns the reports of an item into its one `TestResult`.

    Args:
        sink: Where finished attempts and results go; None in a controller, whose
            workers record their own.
        on_result: Called with every finished result; None where nobody asks for them, so that
            those of tests that simply passed are not kept.
        on_superseded: Called with the node id of an item that is run again.
        on_blocked: Called before it is published that an item was blocked.
    """

    def __init__(
        self,
        sink: EventSink | None,
        on_result: Callable[[TestResult], None] | None,
        on_superseded: Callable[[str], None],
        on_blocked: Callable[[], None] = lambda: None,
    ) -> None:
        self._emit_many = sink.emit_many if sink is not None else None
        self._on_result = on_result or _nobody_asks
        self._keeps = on_result is not None
        self._on_superseded = on_superseded
        #: To be called before it is published that an item was blocked.
        self.blocked = on_blocked
        #: Items that simply passed so far.
        self.passes = 0
        #: All results so far, in order.
        self.results: list[TestResult] = []

    def recording(self, sink: EventSink) -> Recorder:
        """Return a recorder that shares the results of this one, and tells them to `sink` too."""
        twin = copy.copy(self)
        twin._emit_many = sink.emit_many
        return twin

    def superseded(self, report: pytest.TestReport, number: int, worker: str) -> Attempt:
        """Take in attempt `number` of an item, which is run again."""
        data = getattr(report, ATTEMPT, None)
        if data is None:
            # Another plugin re-runs this item; all we know is what its report says.
            attempt = Attempt(phase=report.when or "call", duration_s=report.duration)
            attempt.injected = getattr(report, INJECTED, "")
            attempt.started_us = _started_us(report)
            attempt.traceback = failure_text(report)
        else:
            attempt = Attempt.from_dict(data)
        attempt.outcome, attempt.number, attempt.worker = "rerun", number, worker
        if self._emit_many is not None:
            self._emit_many(((events.ATTEMPT, {"nodeid": report.nodeid, **attempt.to_dict()}),))
        self._on_superseded(report.nodeid)
        return attempt

    def settled(
        self,
        nodeid: str,
        reports: Sequence[pytest.TestReport],
        superseded: Sequence[Attempt],
        worker: str,
    ) -> TestResult:
        """Take in the reports of the last attempt of an item: its verdict is final now."""
        result = _result(nodeid, reports, superseded, worker)
        self.record(result)
        self.results.append(result)
        self._on_result(result)
        return result

    def record(self, result: TestResult) -> None:
        """Tell `result`, and its last attempt, to the sink."""
        if self._emit_many is not None:
            last = {"nodeid": result.nodeid, **result.attempts[-1].to_dict()}
            self._emit_many(((events.ATTEMPT, last), (events.TEST_RESULT, result.to_dict())))

    def passed(
        self,
        nodeid: str,
        reports: Sequence[pytest.TestReport],
        worker: str,
    ) -> TestResult | None:
        """Take in the three reports of an item that simply passed, which is most there is.

        Does what `settled` does, in fewer calls, and records what is not default alone.

        Returns:
            The result; None where nobody asks for it.
        """
        setup, call, teardown = reports
        # Asked without a call: this is done for every test of every suite.
        if INJECTED in teardown.__dict__:
            return self.settled(nodeid, reports, (), worker)
        self.passes += 1
        started_us, seconds = int(setup.start * 1e6), teardown.stop - setup.start
        busy_s = setup.duration + call.duration + teardown.duration
        if self._emit_many is not None:
            shared = {"nodeid": nodeid, "started_us": started_us, "worker": worker}
            self._emit_many(
                (
                    (
                        events.ATTEMPT,
                        {
                            **shared,
                            "number": 1,
                            "outcome": "passed",
                            "phase": "call",
                            "duration_s": busy_s,
                        },
                    ),
                    (
                        events.TEST_RESULT,
                        {**shared, "verdict": "passed", "duration_s": seconds, "attempts": 1},
                    ),
                )
            )
        if not self._keeps:
            return None
        attempt = Attempt(1, "passed", "call", started_us, busy_s, worker)
        result = TestResult(nodeid, "passed", worker, started_us, seconds, "", [attempt])
        self.results.append(result)
        self._on_result(result)
        return result


def _nobody_asks(_result: TestResult) -> None:
    """Where nobody asks for results, nobody is told of them."""


def _started_us(report: pytest.TestReport) -> int:
    return int(getattr(report, "start", 0.0) * 1_000_000)


def _result(
    nodeid: str,
    reports: Sequence[pytest.TestReport],
    superseded: Sequence[Attempt],
    worker: str,
) -> TestResult:
    attempt = _last_attempt(reports, len(superseded) + 1, worker)
    started_us = superseded[0].started_us if superseded else attempt.started_us
    finished_us = int(getattr(reports[-1], "stop", 0.0) * 1_000_000) if reports else 0
    verdict = _verdict(attempt, reports, superseded)
    return TestResult(
        nodeid,
        verdict.value,
        worker,
        started_us,
        max(0, finished_us - started_us) / 1_000_000,
        _reason(verdict, attempt, reports),
        [*superseded, attempt],
    )


def _last_attempt(reports: Sequence[pytest.TestReport], number: int, worker: str) -> Attempt:
    data: dict[str, Any] | None = None
    outcome, phase, failed, duration = "passed", "call", None, 0.0
    for report in reports:
        duration += report.duration
        data = data or getattr(report, ATTEMPT, None)
        if failed is None and (report.outcome == "failed" or hasattr(report, PART_FAILED)):
            outcome, phase, failed = "failed", report.when or "call", report
        elif report.outcome == "skipped" and outcome == "passed":
            outcome = "skipped"
    if failed is not None:
        # What a failed report tells goes before what was recovered around it.
        data = getattr(failed, ATTEMPT, None)
    if data is None:
        attempt = Attempt()
        if failed is not None:
            attempt.traceback = failure_text(failed)
    else:
        attempt = Attempt.from_dict(data)
    attempt.number, attempt.worker, attempt.duration_s = number, worker, duration
    attempt.injected = attempt.injected or _injected(reports)
    attempt.outcome = outcome
    if failed is not None or data is None:
        attempt.phase = phase
    if reports:
        attempt.started_us = int(getattr(reports[0], "start", 0.0) * 1_000_000)
    return attempt


def _injected(reports: Sequence[pytest.TestReport]) -> str:
    """Return what was injected; the last report knows all of it."""
    for report in reversed(reports):
        told: str = getattr(report, INJECTED, "")
        if told:
            return told
    return ""


def _verdict(
    attempt: Attempt, reports: Sequence[pytest.TestReport], superseded: Sequence[Attempt]
) -> Verdict:
    if any(hasattr(report, BLOCKED) for report in reports) and attempt.outcome == "failed":
        return Verdict.BLOCKED
    if attempt.outcome == "failed":
        # Under --resilience-retry=all an earlier attempt may have failed for a product cause.
        product = [a for a in superseded if a.error_type and not a.infrastructure]
        lost = attempt.infrastructure and not product
        return Verdict.UNRECOVERED if lost else Verdict.FAILED
    expected = False
    for report in reports:
        expected = expected or hasattr(report, "wasxfail")
    if attempt.outcome == "skipped":
        return Verdict.XFAILED if expected else Verdict.SKIPPED
    if expected:
        return Verdict.XPASSED
    return Verdict.RECOVERED if superseded or attempt.infrastructure else Verdict.PASSED


def _reason(verdict: Verdict, attempt: Attempt, reports: Sequence[pytest.TestReport]) -> str:
    if verdict in (Verdict.UNRECOVERED, Verdict.BLOCKED):
        return attempt.reason
    for report in reports:
        if report.outcome == "skipped":
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
