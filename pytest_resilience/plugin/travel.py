"""What an item takes along when it goes to another worker: its attempts so far.

Invariant: what travels is plain values that xdist can carry; on its next worker an item
has the number, the attempts and the tried recoveries that it had on the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.applicability import WORKER_CHANGES
from pytest_resilience.core.chooser import Situation
from pytest_resilience.core.classifier import Diagnosis
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord
from pytest_resilience.core.failures import ErrorContext, ErrorReport, ErrorSeverity, ErrorType
from pytest_resilience.core.policy import Decision
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import Incident, ItemHistory
from pytest_resilience.plugin.desk import Case

#: Attribute of the ``rerun`` report of an item that is to be run on another worker.
HANDOVER = "resilience_handover"
#: Times one item may go to another worker, whatever for.
HOPS = 2


def hops(attempts: Iterable[Attempt]) -> int:
    """Return how often an item with these `attempts` has gone to another worker."""
    return sum(attempt.strategy in WORKER_CHANGES for attempt in attempts)


def handover(case: Case, *, fresh: bool) -> dict[str, Any]:
    """Return what the controller has to know of an item that leaves its worker.

    Args:
        fresh: Whether it is to be run on a worker that is started for it.
    """
    incident = case.history.incidents[-1]
    told: dict[str, Any] = {"fresh": fresh}
    if incident.record is not None and incident.situation is not None:
        told["record"] = incident.record.to_dict()
        told["environment"] = incident.situation.environment
    context = incident.report.context
    told["place"] = {name: getattr(context, name) for name in ("fixture", "command", "endpoint")}
    return told


def arrived(
    item: Any,
    attempts: Iterable[Mapping[str, Any]],
    policy: ItemPolicy,
    strategies: Mapping[str, RecoveryStrategy],
) -> Case:
    """Return the case of an item that comes from another worker.

    Args:
        attempts: Its superseded attempts, as `Attempt.to_dict` wrote them.
        strategies: All recoveries, by name.
    """
    case = Case(item, policy, item.ihook)
    for attempt in attempts:
        case.supersede(Attempt.from_dict(attempt))
    case.number = len(case.superseded) + 1
    case.failures = ItemHistory(
        [incident_of(item.nodeid, a, strategies) for a in case.superseded if a.error_type]
    )
    item.execution_count = case.number
    # Its verdict, should a circuit refuse it here.
    case.last = _report_of(item, case.superseded[-1])
    return case


def incident_of(
    nodeid: str, attempt: Attempt, strategies: Mapping[str, RecoveryStrategy]
) -> Incident:
    """Return the incident with which `attempt` ended, as far as the attempt tells of it."""
    error_type, severity = ErrorType.from_label(attempt.error_type), _severity(attempt)
    report = ErrorReport(
        error_id=attempt.error_id,
        error_type=error_type,
        error_severity=severity,
        message=attempt.message,
        context=ErrorContext(
            nodeid=nodeid,
            phase=attempt.phase,
            attempt=attempt.number,
            browser=attempt.browser,
            worker=attempt.worker,
        ),
        exception=attempt.exception,
        rule=attempt.rule,
        confidence=attempt.confidence,
        evidence=attempt.evidence,
        retry_count=attempt.number - 1,
        resolution_status="retrying",
        injected=attempt.injected,
    )
    diagnosis = Diagnosis(error_type, attempt.confidence, attempt.rule, severity, "")
    return Incident(
        report,
        diagnosis,
        Decision(True, attempt.reason),
        strategy=strategies.get(attempt.strategy),
        root_error_id=attempt.root_error_id,
        incident_id=attempt.incident_id,
    )


def with_record(incident: Incident, told: Mapping[str, Any], policy: ItemPolicy) -> Incident:
    """Return `incident` with its recovery, of which it is not known yet whether it cured.

    Args:
        told: What `handover` returned.
    """
    if "record" not in told:
        return incident
    incident.report.context = replace(incident.report.context, **told["place"])
    incident.record = record = RecoveryPerformanceRecord.from_dict(told["record"])
    incident.situation = Situation(
        incident.report.error_type,
        environment=told["environment"],
        tried=tuple(filter(None, record.tried.split("+"))),
        recommended="",
        transient=False,
        max_level=policy.max_level,
        allowed=policy.strategies,
        error_info={"report": incident.report, "environment": None},
    )
    return incident


def _report_of(item: Any, attempt: Attempt) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=attempt.traceback,
        when="setup" if attempt.phase == "setup" else "call",
        start=attempt.started_us / 1e6,
        stop=attempt.started_us / 1e6 + attempt.duration_s,
        duration=attempt.duration_s,
    )


def _severity(attempt: Attempt) -> ErrorSeverity:
    try:
        return ErrorSeverity(attempt.severity)
    except ValueError:
        return ErrorSeverity.MEDIUM
