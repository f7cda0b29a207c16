"""`defer`: run the item again when all others have run.

Invariant: the recovery itself does nothing but ask; whoever runs the items sees to it that
a deferred one still gets its verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.ports import Environment
from pytest_resilience.core.strategies import RecoveryStrategy

DEFER = "defer"

#: What may have come back by the end of the run.
_PASSES_WITH_TIME = frozenset(
    {
        ErrorType.CONNECTION,
        ErrorType.NETWORK,
        ErrorType.TIMEOUT,
        ErrorType.RESOURCE,
        ErrorType.DATABASE,
        ErrorType.COORDINATOR,
    }
)


class Defer(RecoveryStrategy):
    """Put the item behind all others; once per item, and not for the last one.

    It takes no time, but changes the order of the tests and sets wide fixtures up again;
    its surcharge stands for that.
    """

    surcharge_s = 20.0

    def __init__(self) -> None:
        level = ProgressiveRecoveryLevel.CRITICAL
        super().__init__(DEFER, level, _PASSES_WITH_TIME, nominal_s=self.surcharge_s)

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether there are others to run first."""
        environment: Environment | None = error_info["environment"]
        return environment is not None and environment.may_defer()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.defer()
