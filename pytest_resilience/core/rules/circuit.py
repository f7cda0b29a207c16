"""The rule about what a circuit refused.

Invariant: only the refusal itself is meant, not what once opened the circuit.
"""

from __future__ import annotations

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule

RULES = (
    BuiltinRule(
        name="circuit-open",
        error_type=ErrorType.CIRCUIT_OPEN,
        confidence=1.0,
        recovery="immediate_retry",
        types=("CircuitOpenError",),
        strong=True,
    ),
)
