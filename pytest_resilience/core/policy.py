"""May this failure be retried, and by which recovery?

Invariant: a failure that is neither infrastructure nor transient is final on its first
attempt unless the user asked for more; every decision says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_resilience.core.failures import ErrorType


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the attempts of one item.

    Attributes:
        retry: ``infrastructure``, ``ambiguous``, ``all`` or ``never``.
        max_attempts: Attempts allowed, the first one included.
        max_level: Highest recovery level allowed, 1 to 5.
        budget_left_s: Seconds of recovery the run may still spend; None for no limit.
    """

    retry: str
    max_attempts: int
    max_level: int
    budget_left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether another attempt is made, and why.

    Attributes:
        retry: True if the item is run again.
        reason: One sentence for the report.
    """

    retry: bool
    reason: str


def decide(
    error_type: ErrorType, attempt: int, limits: Limits, *, transient: bool = False
) -> Decision:
    """Decide on a failure of `error_type` in attempt number `attempt` (from 1).

    Args:
        transient: True for an application that was there before and is gone now, which is
            retried although it is nobody's but its own fault.
    """
    if limits.retry == "never":
        return Decision(False, "the test is marked no_resilience")
    if not (transient or _retryable(error_type, limits.retry)):
        return Decision(False, f"{error_type.label} failures are final")
    if attempt >= limits.max_attempts:
        return Decision(False, f"all {limits.max_attempts} attempts are used up")
    if limits.budget_left_s is not None and limits.budget_left_s <= 0:
        return Decision(False, "the recovery budget of the run is used up")
    if transient:
        return Decision(True, f"the {error_type.label} failure may pass by itself")
    return Decision(True, f"{error_type.label} failures are retried")


def _retryable(error_type: ErrorType, retry: str) -> bool:
    if retry == "all":
        return True
    if error_type.infrastructure:
        return True
    return retry == "ambiguous" and error_type is ErrorType.UNKNOWN
