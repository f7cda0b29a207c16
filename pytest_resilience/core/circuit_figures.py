"""What a record says of its circuit to those who wait for it, or look at it.

Invariant: nothing here changes a record, and every figure is one of the moment asked for.
"""

from __future__ import annotations

import math
from typing import Any

from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import CircuitRecord, CircuitState
from pytest_resilience.core.circuit_rules import may_try
from pytest_resilience.core.circuit_window import Tally, current, slot_of, tally

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED


def retry_after(record: CircuitRecord, config: CircuitConfig, now: float) -> float:
    """Return in how many seconds a permit may be had; 0 for now, infinite if isolated."""
    if record.state is ISOLATED:
        return math.inf
    if record.state is OPEN:
        return max(0.0, record.open_until - now)
    if record.state is CLOSED or may_try(record, config):
        return 0.0
    return max(0.0, min(lease.granted_at for lease in record.leases) + config.lease_s - now)


def next_probe(record: CircuitRecord, now: float) -> float:
    """Return in how many seconds a health probe counts; 0 for now, infinite if it is not open."""
    return max(0.0, record.probe_after - now) if record.state is OPEN else math.inf


def health(record: CircuitRecord, config: CircuitConfig, now: float) -> float:
    """Return how far the circuit is from opening, or from closing again.

    Returns:
        0 if it is open or isolated, 0 to below 50 if half-open, by the trials that succeeded,
        and 50 to 100 if closed: 100 if nothing failed, 50 just before it opens.
    """
    if record.state is HALF_OPEN:
        return 50.0 * min(1.0, record.consecutive_successes / config.success_threshold)
    if record.state is not CLOSED:
        return 0.0
    calls = recent(record, config, now)
    # A few calls say little yet: they count as if the others of the minimum had succeeded.
    share = calls.failures / max(calls.calls, config.minimum_calls) / config.failure_rate
    row = record.consecutive_failures / config.failure_threshold
    return 100.0 - 50.0 * min(1.0, max(share, row))


def metrics(record: CircuitRecord, config: CircuitConfig, now: float) -> dict[str, Any]:
    """Return the figures of a circuit as a JSON-plain dict; see `CircuitBreaker.get_metrics`."""
    calls = recent(record, config, now)
    wait = retry_after(record, config, now)
    return {
        "state": record.state.value,
        "generation": record.generation,
        "health_percentage": round(health(record, config, now), 1),
        "total_successes": record.successes,
        "total_failures": record.failures,
        "total_ignored": record.ignored,
        "total_refused": record.refused,
        "total_stale": record.stale,
        "failure_count": record.consecutive_failures,
        "threshold": config.failure_threshold,
        "threshold_percent": round(
            min(100.0, 100.0 * record.consecutive_failures / config.failure_threshold), 1
        ),
        "window_calls": calls.calls,
        "window_failures": calls.failures,
        "window_failure_rate": round(calls.rate, 3),
        "window_mean_ms": round(calls.mean_ms, 1),
        "trials_in_flight": len(record.leases),
        "reopenings": record.reopenings,
        "retry_after_s": round(wait, 3) if math.isfinite(wait) else None,
        "last_reason": record.last_reason,
    }


def recent(record: CircuitRecord, config: CircuitConfig, now: float) -> Tally:
    """Return the sums over the calls that have not aged out of the window."""
    return tally(current(record.window, slot_of(now, config.window_s)))
