"""What of a test's end counts on a circuit, and why.

Invariant: what says nothing about the infrastructure moves no circuit; an answer, even one
that fails a test, is a success of what gave it; every weight comes with its reason.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_resilience.core.circuit_record import Outcome
from pytest_resilience.core.failures import ErrorSeverity, ErrorType

#: Circuits on which an error of a type counts where a grid serves the browser.
_REMOTE_KINDS = {
    ErrorType.BROWSER: ("browser",),
    ErrorType.GPU: ("browser",),
    ErrorType.DRIVER: ("browser", "endpoint"),
    ErrorType.CONNECTION: ("endpoint",),
    ErrorType.TIMEOUT: ("endpoint",),
    ErrorType.WORKER: ("endpoint",),
    ErrorType.COORDINATOR: ("endpoint",),
    ErrorType.SYSTEM: ("browser", "endpoint"),
}
#: The same where the driver is a process of this host: there is no endpoint to be down.
_LOCAL_KINDS = dict.fromkeys(_REMOTE_KINDS, ("browser",))

_SEVERE = (ErrorSeverity.HIGH, ErrorSeverity.CRITICAL)
_MILD = (ErrorSeverity.INFO, ErrorSeverity.LOW)
#: The infrastructure was never asked, or not to the end.
_SILENT = (ErrorType.TEST_CODE, ErrorType.UNKNOWN, ErrorType.CIRCUIT_OPEN)


class Weight(NamedTuple):
    """What counts, and why."""

    outcome: Outcome
    reason: str


def kinds_of(error_type: ErrorType, *, remote: bool, starting: bool) -> tuple[str, ...]:
    """Return the kinds of circuits on which an error of `error_type` counts; () for none.

    The network of the browser, the memory of the host and the user's databases are nobody's
    circuit, unless no session can be had for want of them: waiting for the browser or the grid
    does not bring them back.

    Args:
        remote: Whether a grid serves the browser.
        starting: Whether a session was asked for, and not had.
    """
    if starting:
        return ("browser", "endpoint") if remote else ("browser",)
    return (_REMOTE_KINDS if remote else _LOCAL_KINDS).get(error_type, ())


def weigh(
    error_type: ErrorType,
    severity: ErrorSeverity,
    *,
    recovered: bool,
    half_open: bool,
    broken: bool,
    repeated: bool,
) -> Weight:
    """Return how a failure counts on a circuit.

    Args:
        recovered: Whether the recovery of it let the test go on.
        half_open: Whether the circuit was being tried.
        broken: Whether a session was lost with it, or could not be had at all.
        repeated: Whether the failure before it on this circuit was of the same type.
    """
    if error_type in _SILENT:
        return Weight(Outcome.IGNORED, f"{error_type.label} says nothing about it")
    if not error_type.infrastructure:
        return Weight(Outcome.SUCCESS, "it answered")
    if half_open:
        return Weight(Outcome.FAILURE, "it was being tried")
    if recovered:
        return Weight(Outcome.IGNORED, "recovered")
    if severity in _SEVERE:
        return Weight(Outcome.FAILURE, f"{severity.value} severity")
    if repeated:
        return Weight(Outcome.FAILURE, f"{error_type.label} once more")
    if broken and severity not in _MILD:
        return Weight(Outcome.FAILURE, "a session was lost")
    return Weight(Outcome.IGNORED, f"{severity.value} severity")
