"""Records of circuits in every state, and a chance that is known."""

from __future__ import annotations

from typing import Any

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import (
    CircuitRecord,
    CircuitState,
    Lease,
    Outcome,
    Transition,
)

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED
FAILURE, SUCCESS, IGNORED = Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED

CONFIG = CircuitConfig(failure_threshold=3, recovery_timeout=60, half_open_after=8, lease_s=20)
NOW = 1000.0


class Fixed:
    """Chance that always draws the same."""

    def __init__(self, number: float = 0.0) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


LOW, HIGH = Fixed(0.0), Fixed(0.5)

CALM = CircuitRecord(changed_at=990.0)
OPENED = CircuitRecord(
    state=OPEN,
    generation=1,
    opened_at=990.0,
    probe_after=998.0,
    open_until=1050.0,
    consecutive_failures=3,
    failures=3,
    last_reason="3 failures in a row: refused",
    changed_at=990.0,
)
TRYING = CircuitRecord(
    state=HALF_OPEN,
    generation=2,
    opened_at=930.0,
    open_until=990.0,
    leases=(Lease(7, 995.0),),
    last_permit=7,
    changed_at=995.0,
)
APART = CircuitRecord(state=ISOLATED, generation=4, changed_at=990.0, last_reason="by hand")


def failures(record: CircuitRecord, *times: float, config: CircuitConfig = CONFIG) -> Any:
    """Return the record, and the transitions, after failures at `times`."""
    moves: tuple[Transition, ...] = ()
    for now in times:
        record, _, more = rules.report(
            record, config, now, LOW, outcome=FAILURE, reason=f"refused at {now:g}"
        )
        moves += more
    return record, moves
