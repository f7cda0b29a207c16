"""What went wrong: a failure and its evidence in, an error type and the reason out.

Invariant: `classify` never raises and always names the rule that decided; evidence is
asked before the exception's usual meaning, and what nothing marks as infrastructure
stays the product's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, ExceptionFact, Failure
from pytest_resilience.core.rule import Case, Rule
from pytest_resilience.core.rules import BUILTIN_RULES, USUAL_RECOVERY, USUAL_SEVERITY

__all__ = ["BUILTIN_RULES", "Diagnosis", "Rule", "classify"]

# What an exception says is worth less when nobody asked the browser.
_UNPROBED = 0.8


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The classification of one failure.

    Attributes:
        confidence: 0 to 1; lower where no probe was made.
        rule: Name of the rule that decided, never empty.
        recovery: Name of the cheapest sensible strategy: ``none``, ``immediate_retry``,
            ``command_retry``, ``delayed_retry``, ``fresh_window``, ``browser_restart``,
            ``driver_restart``, ``node_switch``, ``coordinator_recovery``,
            ``batch_reduction``, ``hardware_switch``, ``environment_reset`` or ``escalate``.
        transient: True if another attempt is worth it although nobody is excused.
    """

    error_type: ErrorType
    confidence: float
    rule: str
    severity: ErrorSeverity
    recovery: str
    transient: bool = False


def classify(
    failure: Failure, evidence: Evidence, rules: Sequence[Rule] = BUILTIN_RULES
) -> Diagnosis:
    """Return the diagnosis of `failure` by the first of `rules` that matches.

    In an exception group each member is diagnosed for itself, and a member that is the
    product's or the test's own decides.
    """
    try:
        diagnoses = [
            _first_match(Case.of(failure, chain, evidence), rules)
            for chain in _members(failure.chain)
        ]
        # A group says nothing itself; of a member nobody knows, the product may be to blame.
        if len(diagnoses) > 1 and diagnoses[0].error_type is ErrorType.UNKNOWN:
            del diagnoses[0]
        return min(diagnoses, key=_precedence)
    except Exception as error:  # noqa: BLE001 - a diagnosis must never cost the verdict
        return _diagnosis(ErrorType.UNKNOWN, 0.0, f"classifier-failed-{type(error).__name__}")


def _first_match(case: Case, rules: Iterable[Rule]) -> Diagnosis:
    for rule in rules:
        if rule.matches(case):
            return Diagnosis(
                error_type=rule.error_type,
                confidence=_confidence(rule, case),
                rule=rule.name or "unnamed-rule",
                severity=rule.severity or USUAL_SEVERITY[rule.error_type],
                recovery=rule.recovery or USUAL_RECOVERY[rule.error_type],
                transient=rule.transient,
            )
    return _diagnosis(ErrorType.UNKNOWN, 0.2, "nothing-matched")


def _confidence(rule: Rule, case: Case) -> float:
    return round(rule.confidence * (1.0 if len(case.evidence) else _UNPROBED), 3)


def _diagnosis(error_type: ErrorType, confidence: float, rule: str) -> Diagnosis:
    return Diagnosis(
        error_type, confidence, rule, USUAL_SEVERITY[error_type], USUAL_RECOVERY[error_type]
    )


def _members(chain: Sequence[ExceptionFact]) -> list[Sequence[ExceptionFact]]:
    """Return one chain per group member, or the whole chain if there is no group.

    What precedes the first member is the group itself and what was behind it as a whole.
    """
    starts = [i for i, fact in enumerate(chain) if fact.relation == "member"]
    if not starts:
        return [chain]
    return [chain[a:b] for a, b in zip([0, *starts], [*starts, len(chain)], strict=True) if b > a]


def _precedence(diagnosis: Diagnosis) -> tuple[int, float]:
    return int(diagnosis.error_type.infrastructure), -diagnosis.confidence
