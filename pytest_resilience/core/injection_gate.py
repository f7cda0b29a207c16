"""What circuits have to say on injected failures, and what is counted of them.

Invariant: a circuit that is open is left in peace: nothing is injected into what it protects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.injection import FailureType, Fault, Intensity

#: The severest intensity that a state of a circuit allows; None for none at all.
_CEILINGS = {
    CircuitState.CLOSED: Intensity.SEVERE,
    CircuitState.HALF_OPEN: Intensity.MODERATE,
    CircuitState.OPEN: None,
    CircuitState.ISOLATED: None,
}
#: What the statistics repeat of the figures of a circuit.
_FIGURES = ("state", "failure_count", "threshold", "threshold_percent")


def allowed(intensity: Intensity, circuit_state: CircuitState | str) -> bool:
    """Return whether a circuit in this state allows failures of an intensity.

    Raises:
        ValueError: There is no such state.
    """
    ceiling = _CEILINGS[CircuitState(circuit_state)]
    return ceiling is not None and intensity <= ceiling


def permitted(
    choices: Iterable[Fault], circuit_state: CircuitState | str, *, exclude_severe: bool = False
) -> tuple[Fault, ...]:
    """Return those of `choices` that a circuit in this state allows.

    Raises:
        ValueError: There is no such state.
    """
    return tuple(
        fault
        for fault in choices
        if allowed(fault.intensity, circuit_state)
        and not (exclude_severe and fault.intensity is Intensity.SEVERE)
    )


def records(
    kind: FailureType,
    intensity: Intensity,
    configured: Collection[FailureType | Intensity] = (),
    *,
    circuit_state: CircuitState | str = CircuitState.CLOSED,
    repeated: bool = False,
) -> tuple[bool, str]:
    """Return whether a circuit is told of an injected failure, and why or why not.

    Args:
        configured: Types and intensities of which it is told in any case.
        circuit_state: State of the circuit before the failure.
        repeated: Whether the failure injected before was of the same type.
    """
    if intensity == Intensity.SEVERE:
        return True, "severe failures always count"
    if kind == FailureType.CRASH:
        return True, "crashes always count"
    if CircuitState(circuit_state) is CircuitState.HALF_OPEN:
        return True, "every failure counts while the circuit is half-open"
    if repeated:
        return True, f"the failure before was a {kind.value}, too"
    for name in (kind, intensity):
        if name in configured:
            return True, f"{name.value} is configured to count"
    return False, f"a single {intensity.value} {kind.value} does not count unless configured"


@dataclass(slots=True)
class InjectionStats:
    """Counts what an injector did.

    Attributes:
        refused: Failures that a circuit did not allow; they are no attempts.
    """

    refused: int = 0
    _tries: Counter[tuple[FailureType, Intensity, bool]] = field(default_factory=Counter)

    def add(self, kind: FailureType, intensity: Intensity, *, success: bool) -> None:
        """Count an attempt to inject a failure; `success` if it struck."""
        self._tries[kind, intensity, success] += 1

    def refuse(self) -> None:
        """Count a failure that a circuit did not allow."""
        self.refused += 1

    def to_dict(self, circuit: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the counts, and those figures of a circuit that tell how near it is to opening.

        Args:
            circuit: What `CircuitBreaker.get_metrics` returns; None if there is no circuit.
        """
        kinds, levels = {k for k, _, _ in self._tries}, {i for _, i, _ in self._tries}
        found: dict[str, Any] = {
            **self._counts(),
            "refused": self.refused,
            "by_type": {k.value: self._counts(k) for k in FailureType if k in kinds},
            "by_intensity": {i.value: self._counts(i) for i in Intensity if i in levels},
        }
        if circuit is not None:
            found["circuit_breaker"] = {name: circuit[name] for name in _FIGURES}
        return found

    def _counts(self, which: FailureType | Intensity | None = None) -> dict[str, int]:
        rows = [(key[2], n) for key, n in self._tries.items() if which is None or which in key]
        return {
            "attempts": sum(n for _, n in rows),
            "successes": sum(n for success, n in rows if success),
        }
