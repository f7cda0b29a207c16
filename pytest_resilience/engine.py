"""RecoveryEngine: a failure in, a decision out, a recovery measured.

Invariant: the engine speaks to the world through ports alone; whatever a probe, a
rule or a strategy of others raises is contained, recorded and never changes a
verdict by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.aggregation import ErrorLog
from pytest_resilience.core.applicability import WORKER_CHANGES
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.chooser import TIMEOUT_RULES, Chooser, Memory, Situation
from pytest_resilience.core.classifier import BUILTIN_RULES, Rule, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorContext, ErrorReport, Failure
from pytest_resilience.core.impact import impact, stability
from pytest_resilience.core.incident import (
    Incident,
    ItemHistory,
    candidates,
    error_payload,
    escalation,
)
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.policy import Decision, Limits, decide
from pytest_resilience.core.ports import Clock, Environment, EventSink, Meter, RandomSource
from pytest_resilience.core.selection import joined, policy_named
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.core.throttle import Throttle

__all__ = ["Incident", "ItemHistory", "RecoveryEngine"]

#: How the choice begins for what works on other workers.
_AWAY: Mapping[str, Any] = {
    "start_level": int(ProgressiveRecoveryLevel.SYSTEM),
    "preferred": WORKER_CHANGES,
}


class RecoveryEngine:
    """Diagnoses failures, decides on another attempt and runs the recovery before it.

    Args:
        chance: For waits and for probing; strategies get none without it.
        meter: Measures the machine around a recovery; nothing is measured without it.
        memory: What earlier runs have learned; called when first needed.
        passed: Returns how many tests have passed so far, as far as this process counts them.
        throttle: What stops recoveries; of its own if not given.
    """

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
        meter: Meter | None = None,
        memory: Callable[[], Memory] | None = None,
        passed: Callable[[], int] = int,
        throttle: Throttle | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sink = sink
        self._new_id = new_id
        self._rules = rules
        #: All errors of the run, folded and related.
        self.errors = ErrorLog() if errors is None else errors
        self.chooser = Chooser(
            builtin_strategies(clock, chance) if strategies is None else strategies,
            policy_named(settings.policy),
            memory or (lambda: Memory(TIMEOUT_RULES[settings.timeout_rule])),
            chance or _NoChance(),
        )
        self._meter = meter
        self._passed = passed
        self._throttle = throttle or Throttle()

    def diagnose(
        self,
        failure: Failure,
        evidence: Evidence,
        policy: ItemPolicy,
        history: ItemHistory,
        *,
        hopeless: str = "",
        environment: Environment | None = None,
        start_level: int = 1,
        elsewhere: bool = False,
        away: bool = False,
    ) -> Incident:
        """Diagnose `failure`, record it, and decide whether the item is run again.

        Args:
            hopeless: Why no recovery can help ("" if one may): a reason from outside,
                such as a fixture that has failed too often.
            environment: What recoveries are asked about whether they are possible there.
            start_level: Level of recovery to start at; what the circuits concerned dictate.
            elsewhere: Whether what fails here works on other workers, or may do, so that even
                what nobody can mend here is no reason to give up.
            away: Whether the item is to go to one of them, if it can.
        """
        diagnosis = classify(failure, evidence, self._rules)
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
            injected=failure.injected,
        )
        # The recovery before this attempt did not cure if this is infrastructure again.
        again = diagnosis.error_type.infrastructure or diagnosis.transient
        self.settle(history, survived=not again)
        incident = Incident(report, diagnosis, Decision(False, ""))
        incident.incident_id = history.incident_id or report.error_id
        if diagnosis.recovery == "escalate":
            away = elsewhere
            if not elsewhere:
                hopeless = "no retry can cure this; the set-up must be changed"
        error_info = _error_info(report, environment)
        start = _AWAY if away else {"start_level": start_level}
        self._decide(incident, failure, policy, history, hopeless, error_info, start)
        report.resolution_status = "retrying" if incident.decision.retry else "failed"
        history.incidents.append(incident)
        self.errors.add(report)
        incident.root_error_id = self.errors.root_of(report.error_id).error_id
        self._sink.emit(events.ERROR, error_payload(incident))
        if diagnosis.error_type.infrastructure and not incident.decision.retry:
            self._sink.emit(events.ESCALATION, escalation(incident, history))
        return incident

    def reconsider(self, incident: Incident) -> None:
        """Let the item of `incident` go elsewhere, if it can: it is known now that it should."""
        if incident.strategy is None or incident.situation is None:
            return
        situation = replace(incident.situation, **_AWAY)
        strategy, choice = self.chooser.choose(situation)
        if strategy is not None and strategy.name in WORKER_CHANGES:
            incident.situation, incident.strategy, incident.choice = situation, strategy, choice

    def recover(self, incident: Incident, environment: Environment) -> None:
        """Run the strategy of `incident` on `environment` and measure it; never raises."""
        strategy, situation = incident.strategy, incident.situation
        if strategy is None or situation is None:
            return
        error_type = incident.report.error_type
        before = self._measured()
        started, started_us = self._clock.monotonic(), self._clock.now_us()
        limit_s = self.chooser.timeout_s(error_type, strategy)
        outcome = strategy.execute(_error_info(incident.report, environment), limit_s)
        incident.recovered_at = self._clock.monotonic()
        seconds = incident.recovered_at - started
        self._throttle.took(seconds)
        if self._teaches(incident):
            self.chooser.timed(error_type, strategy, seconds, outcome.timed_out)
        after = self._measured()
        incident.record = events.RecoveryPerformanceRecord(
            strategy_id=strategy.name,
            strategy_name=strategy.title,
            error_type=error_type.label,
            execution_time=seconds,
            success=outcome.success,
            affected_tasks=1,
            timestamp_us=started_us,
            resource_usage={name: after[name] - before.get(name, 0.0) for name in after},
            environment=situation.environment,
            tried=joined(set(situation.tried)),
            context={
                "error_id": incident.report.error_id,
                "incident_id": incident.incident_id,
                "nodeid": incident.report.context.nodeid,
                "attempt": incident.report.context.attempt,
                "recovery_level": int(strategy.level),
                "detail": outcome.detail,
                "timed_out": outcome.timed_out,
                "timeout_s": limit_s,
                "chosen": incident.choice.reason if incident.choice is not None else "",
                "candidates": candidates(incident.choice),
                **self._injected(incident),
            },
        )
        # Whether the test went on belongs to both, and is not known yet.
        incident.measured = (before, after)

    def settle(self, history: ItemHistory, *, survived: bool) -> None:
        """Record how the latest recovery of an item turned out.

        Args:
            survived: Whether the attempt after it got past the failure, that is passed
                or failed for a reason that is not infrastructure.
        """
        for incident in history.incidents:
            record, incident.record = incident.record, None
            if record is not None and incident.situation is not None:
                self._conclude(incident, incident.situation, record, survived)

    def count_passed(self) -> None:
        """Let those decide who do not know how many tests have passed on other workers."""
        self._throttle.heard(self._passed())

    def resume(self, history: ItemHistory) -> None:
        """The attempt after the latest recovery begins only now."""
        if history.incidents:
            history.incidents[-1].recovered_at = self._clock.monotonic()

    def underway(self, history: ItemHistory) -> None:
        """The attempt after the latest recovery has been set up."""
        for incident in history.incidents[-1:]:
            incident.rebuilt_s = self._clock.monotonic() - incident.recovered_at

    def _conclude(
        self,
        incident: Incident,
        situation: Situation,
        record: events.RecoveryPerformanceRecord,
        survived: bool,
    ) -> None:
        before, after = incident.measured
        record.success = survived
        record.recovered_tasks = int(survived)
        # What was torn down had to be set up again. An attempt that failed again is part of
        # the price as a whole; the rest of one that got through is not.
        lost_s = self._clock.monotonic() - incident.recovered_at
        if survived and incident.rebuilt_s is not None:
            lost_s = incident.rebuilt_s
        surcharge_s = incident.strategy.surcharge_s if incident.strategy is not None else 0.0
        record.cost_s = record.execution_time + lost_s + surcharge_s
        incident.cost_s = record.cost_s
        record.impact_score = impact(
            before, after, record.execution_time, record.affected_tasks, record.recovered_tasks
        )
        record.stability_score = stability(
            cpu_percent=after.get("cpu_percent", 0.0),
            memory_percent=after.get("memory_percent", 0.0),
            affected=record.affected_tasks,
            recovered=record.recovered_tasks,
        )
        if self._teaches(incident):
            self.chooser.learn(situation, record)
        (self._throttle.cured if survived else self._throttle.failed)()
        self._sink.emit(events.RECOVERY, record.to_dict())
        incident.report.retry_successful = survived
        status = "resolved" if survived else "failed"
        incident.report.resolution_status = status
        self.errors.set_status(incident.report.error_id, status)
        # Said again in full: the later record of an error replaces the earlier one.
        self._sink.emit(events.ERROR, error_payload(incident))

    def _decide(
        self,
        incident: Incident,
        failure: Failure,
        policy: ItemPolicy,
        history: ItemHistory,
        hopeless: str,
        error_info: Mapping[str, Any],
        start: Mapping[str, Any],
    ) -> None:
        diagnosis = incident.diagnosis
        limits = Limits(policy.retry, policy.max_attempts, policy.max_level, self._budget_left())
        decision = decide(
            diagnosis.error_type, failure.attempt, limits, transient=diagnosis.transient
        )
        if decision.retry:
            decision = self._vetoed(hopeless) or decision
        if decision.retry:
            incident.situation = Situation(
                diagnosis.error_type,
                environment=failure.environment,
                tried=history.tried,
                recommended=diagnosis.recovery,
                transient=diagnosis.transient,
                max_level=policy.max_level,
                allowed=policy.strategies,
                error_info=error_info,
                **start,
            )
            incident.strategy, incident.choice = self.chooser.choose(incident.situation)
            if incident.strategy is None:
                decision = Decision(False, incident.choice.reason)
        incident.decision = decision

    def _vetoed(self, hopeless: str) -> Decision | None:
        if hopeless:
            return Decision(False, hopeless)
        self.count_passed()
        if not self._throttle.open:
            return Decision(False, self._throttle.reason)
        return None

    def _teaches(self, incident: Incident) -> bool:
        """Return whether anything is learned from the recovery of `incident`."""
        return not incident.report.injected or self._settings.inject_learn

    def _injected(self, incident: Incident) -> dict[str, Any]:
        injected = incident.report.injected
        return {"injected": injected, "learn": self._settings.inject_learn} if injected else {}

    def _measured(self) -> dict[str, float]:
        if self._meter is None:
            return {}
        try:
            return dict(self._meter.sample())
        except Exception:  # noqa: BLE001 - what cannot be measured is not measured
            return {}

    def _budget_left(self) -> float | None:
        if self._settings.budget is None:
            return None
        return self._settings.budget - self._throttle.spent_s


class _NoChance:
    """Chance where there is none: nothing unlikely ever happens."""

    def random(self) -> float:
        return 0.999


def _error_info(report: ErrorReport, environment: Environment | None) -> dict[str, Any]:
    return {"report": report, "environment": environment}
