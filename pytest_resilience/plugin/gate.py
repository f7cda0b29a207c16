"""Who may run while circuits are open: lets through, puts behind others, waits, turns away.

Invariant: an item is either let through, or comes back later in the same run, or is turned
away with a reason; the order of the items that need no open circuit does not change.
"""

from __future__ import annotations

import enum
from typing import Any

from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.exceptions import CircuitOpenError
from pytest_resilience.plugin.circuits import Circuits, called, why
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.hold import Hold
from pytest_resilience.plugin.timeouts import TestTimeouts


class Admission(enum.Enum):
    """What becomes of an item that comes to the gate."""

    RUNS = "runs"
    #: It was put behind others.
    LATER = "later"
    REFUSED = "refused"


class Gate:
    """Stands before the set-up of every item while a circuit is not closed.

    Args:
        action: See ``--circuit-open-action``.
    """

    def __init__(
        self,
        circuits: Circuits,
        hold: Hold,
        order: Deferrals,
        timeouts: TestTimeouts,
        *,
        action: str,
    ) -> None:
        self.circuits = circuits
        self.action = action
        #: Why the last item was refused, and by which circuit.
        self.refusal = ""
        self.refused_by: CircuitBreaker | None = None
        #: Items that were put behind others.
        self.moved = 0
        self._hold = hold
        self._order = order
        self._timeouts = timeouts

    def admission(self, item: Any, position: int) -> Admission:
        """Decide what becomes of `item`, which is to be set up next; may wait for long.

        Args:
            position: Its place among the items of the session.
        """
        needed = self.circuits.needed_by(item)
        while (refusing := self.circuits.admit(needed)) is not None:
            if self.action == "defer" and self._may_wait(refusing):
                if self._order.put_behind(item, position, self._needs_open):
                    self.moved += 1
                    return Admission.LATER
                self._timeouts.cancel(item)
                refusal = self._hold.wait(refusing)
                self._timeouts.rearm(item)
                if not refusal:
                    continue
            else:
                refusal = f"{called(refusing)} is open: {why(refusing)}"
            self.refusal, self.refused_by = refusal, refusing
            return Admission.REFUSED
        return Admission.RUNS

    def attempt(self, worker: str) -> Attempt:
        """Return what is told, in place of an attempt, of the item refused last."""
        cause = self.circuits.causes.get(self.refused_by, "") if self.refused_by else ""
        return Attempt(
            outcome="failed",
            phase="setup",
            worker=worker,
            error_type=ErrorType.CIRCUIT_OPEN.label,
            infrastructure=True,
            severity=ErrorSeverity.HIGH.value,
            exception=CircuitOpenError.__name__,
            message=self.refusal,
            rule="circuit-open",
            confidence=1.0,
            reason=self.refusal,
            root_error_id=cause,
        )

    def _may_wait(self, breaker: CircuitBreaker) -> bool:
        return breaker not in self.circuits.hopeless

    def _needs_open(self, item: Any) -> bool:
        return bool(self.circuits.refusing(item))
