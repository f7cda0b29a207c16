"""One failure on its way to recovery, what was tried for its item, and both told as plain values.

Invariant: what is told is JSON-plain. All failures of an item from one on until it got past them
bear the same `incident_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.core import events
from pytest_resilience.core.aggregation import fingerprint
from pytest_resilience.core.chooser import Situation
from pytest_resilience.core.classifier import Diagnosis
from pytest_resilience.core.failures import ErrorReport
from pytest_resilience.core.policy import Decision
from pytest_resilience.core.selection import Choice
from pytest_resilience.core.strategies import RecoveryStrategy


@dataclass(slots=True)
class Incident:
    """One failure on its way through diagnosis, decision and recovery.

    Attributes:
        decision: Whether the item is run again.
        situation: What the choice of the recovery was made for; None if none was made.
        choice: What it was chosen from, and why; None if none was made.
        strategy: What is done before the next attempt; None if there is none.
        record: The measured recovery, None until it ran and after it was settled.
        measured: The machine before and after the recovery; see `ports.Meter`.
        recovered_at: Moment of the clock at which the recovery ended.
        cost_s: Seconds until it was known whether the recovery cured; 0 before.
        rebuilt_s: Seconds from there until the next attempt was set up, None if it was not.
        root_error_id: The error that explains this one; its own id if none does.
        incident_id: Error with which the item's trouble began, not got past since.
    """

    report: ErrorReport
    diagnosis: Diagnosis
    decision: Decision
    situation: Situation | None = None
    choice: Choice | None = None
    strategy: RecoveryStrategy | None = None
    record: events.RecoveryPerformanceRecord | None = None
    measured: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {})
    recovered_at: float = 0.0
    rebuilt_s: float | None = None
    cost_s: float = 0.0
    root_error_id: str = ""
    incident_id: str = ""

    @property
    def strategy_name(self) -> str:
        """The name of its strategy, "" if there is none."""
        return self.strategy.name if self.strategy is not None else ""


@dataclass(slots=True)
class ItemHistory:
    """What was already tried for one item."""

    incidents: list[Incident] = field(default_factory=list)

    @property
    def tried(self) -> tuple[str, ...]:
        """Strategies that ran for the item and did not cure, since the last one that did."""
        names: list[str] = []
        for incident in self.incidents:
            if incident.report.retry_successful:
                names.clear()
            elif incident.strategy is not None:
                names.append(incident.strategy.name)
        return tuple(names)

    @property
    def incident_id(self) -> str:
        """Id of the failure with which what is not got past yet began, "" if there is none."""
        under_way = [i for i in self.incidents[-1:] if not i.report.retry_successful]
        return under_way[0].incident_id if under_way else ""


def escalation(incident: Incident, history: ItemHistory) -> dict[str, Any]:
    """Return what a person is told of an incident that is left to people."""
    tried = [
        {"strategy": i.strategy.name, "level": int(i.strategy.level), "cost_s": i.cost_s}
        for i in history.incidents
        if i.strategy is not None and not i.report.retry_successful
    ]
    return {
        "error_id": incident.report.error_id,
        "incident_id": incident.incident_id,
        "nodeid": incident.report.context.nodeid,
        "error_type": incident.report.error_type.label,
        "reason": incident.decision.reason,
        "tried": tried,
        "cost_s": sum(step["cost_s"] for step in tried),
        "candidates": candidates(incident.choice),
    }


def candidates(choice: Choice | None) -> list[dict[str, Any]]:
    """Return what `choice` was made from."""
    return [candidate.to_dict() for candidate in choice.candidates] if choice is not None else []


def error_payload(incident: Incident) -> dict[str, Any]:
    """Return the record of the error of `incident`, as it stands now."""
    report, context = incident.report, incident.report.context
    return {
        "error_id": report.error_id,
        "root_error_id": incident.root_error_id,
        "incident_id": incident.incident_id,
        "fingerprint": fingerprint(report.error_type, report.exception, report.message),
        "error_type": report.error_type.label,
        "layer": report.error_type.layer,
        "infrastructure": report.error_type.infrastructure,
        "severity": report.error_severity.value,
        "message": report.message,
        "exception": report.exception,
        "rule": report.rule,
        "confidence": report.confidence,
        "evidence": list(report.evidence),
        "nodeid": context.nodeid,
        "phase": context.phase,
        "attempt": context.attempt,
        "fixture": context.fixture,
        "command": context.command,
        "browser": context.browser,
        "endpoint": context.endpoint,
        "worker": context.worker,
        "retry_count": report.retry_count,
        "resolution_status": report.resolution_status,
        "retry_successful": report.retry_successful,
        "decision": incident.decision.reason,
        "injected": report.injected,
    }
