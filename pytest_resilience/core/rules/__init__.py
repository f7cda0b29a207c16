"""The built-in table of classification rules, in the order in which they are asked.

Invariant: evidence and strong signatures stand before broad ones, infrastructure before
the product, so that the first match is the most specific one; names are unique.
"""

from __future__ import annotations

from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.core.rule import Rule
from pytest_resilience.core.rules import (
    browser,
    circuit,
    grid,
    hang,
    host,
    network,
    product,
    session,
    start,
    wire,
)

BUILTIN_RULES: tuple[Rule, ...] = (
    *circuit.RULES,
    *product.FIRST,
    *hang.RULES,
    *session.RULES,
    *start.RULES,
    *host.RULES,
    *grid.RULES,
    *browser.RULES,
    *network.RULES,
    *wire.RULES,
    *start.LAST,
    *product.RULES,
)

#: Severity of an error type where a rule does not say otherwise.
USUAL_SEVERITY = {
    ErrorType.PRODUCT: ErrorSeverity.MEDIUM,
    ErrorType.TEST_CODE: ErrorSeverity.MEDIUM,
    ErrorType.PAGE: ErrorSeverity.MEDIUM,
    ErrorType.BROWSER: ErrorSeverity.HIGH,
    ErrorType.DRIVER: ErrorSeverity.HIGH,
    ErrorType.GPU: ErrorSeverity.HIGH,
    ErrorType.CONNECTION: ErrorSeverity.MEDIUM,
    ErrorType.NETWORK: ErrorSeverity.MEDIUM,
    ErrorType.TIMEOUT: ErrorSeverity.MEDIUM,
    ErrorType.RESOURCE: ErrorSeverity.HIGH,
    ErrorType.HARDWARE: ErrorSeverity.HIGH,
    ErrorType.WORKER: ErrorSeverity.HIGH,
    ErrorType.TASK: ErrorSeverity.LOW,
    ErrorType.DATABASE: ErrorSeverity.HIGH,
    ErrorType.COORDINATOR: ErrorSeverity.CRITICAL,
    ErrorType.SYSTEM: ErrorSeverity.CRITICAL,
    ErrorType.CIRCUIT_OPEN: ErrorSeverity.HIGH,
    ErrorType.UNKNOWN: ErrorSeverity.MEDIUM,
}

#: Cheapest strategy against an error type where a rule does not say otherwise.
USUAL_RECOVERY = {
    ErrorType.PRODUCT: "none",
    ErrorType.TEST_CODE: "none",
    ErrorType.PAGE: "none",
    ErrorType.BROWSER: "browser_restart",
    ErrorType.DRIVER: "driver_restart",
    ErrorType.GPU: "browser_restart",
    ErrorType.CONNECTION: "command_retry",
    ErrorType.NETWORK: "delayed_retry",
    ErrorType.TIMEOUT: "delayed_retry",
    ErrorType.RESOURCE: "batch_reduction",
    ErrorType.HARDWARE: "hardware_switch",
    ErrorType.WORKER: "node_switch",
    ErrorType.TASK: "immediate_retry",
    ErrorType.DATABASE: "delayed_retry",
    ErrorType.COORDINATOR: "coordinator_recovery",
    ErrorType.SYSTEM: "escalate",
    ErrorType.CIRCUIT_OPEN: "immediate_retry",
    ErrorType.UNKNOWN: "none",
}
