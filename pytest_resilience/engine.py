"""RecoveryEngine: a failure in, a decision out, a recovery measured.

Invariant: the engine speaks to the world through ports alone; whatever a probe, a
rule or a strategy of others raises is contained, recorded and never changes a
verdict by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.aggregation import ErrorLog, fingerprint
from pytest_resilience.core.classifier import BUILTIN_RULES, Diagnosis, Rule, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorContext, ErrorReport, Failure
from pytest_resilience.core.policy import Decision, Limits, decide
from pytest_resilience.core.ports import Clock, Environment, EventSink, RandomSource
from pytest_resilience.core.strategies import RecoveryStrategy, builtin_strategies, choose


@dataclass(slots=True)
class Incident:
    """One failure on its way through diagnosis, decision and recovery.

    Attributes:
        decision: Whether the item is run again.
        strategy: What is done before that; None if it is not.
        record: The measured recovery, None until it ran.
        root_error_id: The error that explains this one; its own id if none does.
    """

    report: ErrorReport
    diagnosis: Diagnosis
    decision: Decision
    strategy: RecoveryStrategy | None = None
    record: events.RecoveryPerformanceRecord | None = None
    root_error_id: str = ""


@dataclass(slots=True)
class ItemHistory:
    """What was already tried for one item."""

    incidents: list[Incident] = field(default_factory=list)

    @property
    def tried(self) -> frozenset[str]:
        """Names of the strategies that already ran for the item."""
        return frozenset(i.strategy.name for i in self.incidents if i.strategy is not None)


class RecoveryEngine:
    """Diagnoses failures, decides on another attempt and runs the recovery before it."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        chance: RandomSource | None = None,
        sink: EventSink,
        new_id: Callable[[], str],
        rules: Sequence[Rule] = BUILTIN_RULES,
        errors: ErrorLog | None = None,
        strategies: Iterable[RecoveryStrategy] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sink = sink
        self._new_id = new_id
        self._rules = rules
        #: All errors of the run, folded and related.
        self.errors = ErrorLog() if errors is None else errors
        self._strategies = tuple(
            builtin_strategies(clock, chance) if strategies is None else strategies
        )
        self._spent_s = 0.0

    def diagnose(
        self,
        failure: Failure,
        evidence: Evidence,
        policy: ItemPolicy,
        history: ItemHistory,
        *,
        hopeless: str = "",
    ) -> Incident:
        """Diagnose `failure`, record it, and decide whether the item is run again.

        Args:
            hopeless: Why no recovery can help ("" if one may): a reason from outside,
                such as a fixture that has failed too often.
        """
        diagnosis = classify(failure, evidence, self._rules)
        decision, strategy = self._decide(diagnosis, failure.attempt, policy, history, hopeless)
        report = ErrorReport(
            error_id=self._new_id(),
            error_type=diagnosis.error_type,
            error_severity=diagnosis.severity,
            message=failure.message,
            context=ErrorContext.of(failure),
            exception=failure.exception,
            rule=diagnosis.rule,
            confidence=diagnosis.confidence,
            evidence=evidence.to_dicts(),
            retry_count=failure.attempt - 1,
            resolution_status="retrying" if decision.retry else "failed",
            injected=failure.injected,
        )
        incident = Incident(report, diagnosis, decision, strategy)
        history.incidents.append(incident)
        self.errors.add(report)
        incident.root_error_id = self.errors.root_of(report.error_id).error_id
        self._sink.emit(events.ERROR, _error_payload(incident))
        return incident

    def recover(self, incident: Incident, environment: Environment) -> None:
        """Run the strategy of `incident` on `environment` and measure it; never raises."""
        strategy = incident.strategy
        if strategy is None:
            return
        started, started_us = self._clock.monotonic(), self._clock.now_us()
        success, detail = strategy.execute(_error_info(incident, environment))
        seconds = self._clock.monotonic() - started
        self._spent_s += seconds
        incident.record = events.RecoveryPerformanceRecord(
            strategy_id=strategy.name,
            strategy_name=strategy.title,
            error_type=incident.report.error_type.label,
            execution_time=seconds,
            success=success,
            affected_tasks=1,
            timestamp_us=started_us,
            context={
                "error_id": incident.report.error_id,
                "nodeid": incident.report.context.nodeid,
                "attempt": incident.report.context.attempt,
                "recovery_level": int(strategy.level),
                "detail": detail,
            },
        )

    def settle(self, history: ItemHistory, *, survived: bool) -> None:
        """Record how the latest recovery of an item turned out.

        Args:
            survived: Whether the attempt after it got past the failure, that is passed
                or failed for a reason that is not infrastructure.
        """
        for incident in history.incidents:
            record, incident.record = incident.record, None
            if record is not None:
                record.success = survived
                record.recovered_tasks = int(survived)
                self._sink.emit(events.RECOVERY, record.to_dict())
                incident.report.retry_successful = survived
                status = "resolved" if survived else "failed"
                incident.report.resolution_status = status
                self.errors.set_status(incident.report.error_id, status)
                # Said again in full: the later record of an error replaces the earlier one.
                self._sink.emit(events.ERROR, _error_payload(incident))

    def _decide(
        self,
        diagnosis: Diagnosis,
        attempt: int,
        policy: ItemPolicy,
        history: ItemHistory,
        hopeless: str,
    ) -> tuple[Decision, RecoveryStrategy | None]:
        limits = Limits(policy.retry, policy.max_attempts, policy.max_level, self._budget_left())
        decision = decide(diagnosis.error_type, attempt, limits, transient=diagnosis.transient)
        if not decision.retry:
            return decision, None
        if diagnosis.recovery == "escalate":
            return Decision(False, "no retry can cure this; the set-up must be changed"), None
        if hopeless:
            return Decision(False, hopeless), None
        strategy = choose(
            self._strategies,
            diagnosis.error_type,
            tried=history.tried,
            max_level=policy.max_level,
            recommended=diagnosis.recovery,
            transient=diagnosis.transient,
        )
        if strategy is None:
            reason = f"no recovery up to level {policy.max_level} can help"
            return Decision(False, reason), None
        return decision, strategy

    def _budget_left(self) -> float | None:
        if self._settings.budget is None:
            return None
        return self._settings.budget - self._spent_s


def _error_info(incident: Incident, environment: Environment) -> dict[str, Any]:
    return {"report": incident.report, "environment": environment}


def _error_payload(incident: Incident) -> dict[str, Any]:
    report, context = incident.report, incident.report.context
    return {
        "error_id": report.error_id,
        "root_error_id": incident.root_error_id,
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
