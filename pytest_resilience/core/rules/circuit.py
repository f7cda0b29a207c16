"""The rules about what the plugin itself refused: a circuit, or the limit of browsers.

Invariant: only the refusal itself is meant, not what once led to it.
"""

from __future__ import annotations

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule

#: Name of the rule for tests that had no browser in time.
LIMITED = "browser-limit"

RULES = (
    BuiltinRule(
        name="circuit-open",
        error_type=ErrorType.CIRCUIT_OPEN,
        confidence=1.0,
        recovery="immediate_retry",
        types=("CircuitOpenError",),
        strong=True,
    ),
    BuiltinRule(
        name=LIMITED,
        error_type=ErrorType.RESOURCE,
        confidence=1.0,
        # It was waited for already, as long as the user allows.
        recovery="escalate",
        types=("BrowserLimitError",),
        strong=True,
    ),
)
