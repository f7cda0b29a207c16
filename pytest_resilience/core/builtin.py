"""The strategies that come with the package.

Invariant: each is what `APPLICABILITY` says of it, and touches nothing but the environment it
is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_resilience.core.applicability import (
    APPLICABILITY,
    BATCH,
    PRECISION,
    WORKER_RESTART,
    WORKER_SWITCH,
)
from pytest_resilience.core.evidence import EMPTY, GRID, REFUSED, SILENT
from pytest_resilience.core.failures import ErrorReport
from pytest_resilience.core.knobs import ran_short
from pytest_resilience.core.ports import Clock, Environment, RandomSource
from pytest_resilience.core.strategies import RecoveryStrategy

_ATTEMPTS_COUNTED = 30


class Builtin(RecoveryStrategy):
    """A strategy that `APPLICABILITY` describes."""

    def __init__(self, name: str) -> None:
        fit = APPLICABILITY[name]
        super().__init__(name, fit.level, fit.error_types, nominal_s=fit.nominal_s)


class ImmediateRetry(Builtin):
    """Run the item again at once; its fixtures of function scope are rebuilt anyway."""

    def __init__(self) -> None:
        super().__init__("immediate_retry")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return False where a session is broken, which a retry would meet again."""
        return not _breakage(error_info)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        return True


class DelayedRetry(Builtin):
    """Wait, then run the item again: for what comes back by itself.

    The wait before attempt n + 1 is drawn evenly from 0 to `base_s` times `factor` to the
    power n - 1, so that those who failed together do not come back together.

    Args:
        cap_s: Seconds no wait exceeds.
    """

    def __init__(
        self,
        clock: Clock,
        chance: RandomSource,
        *,
        base_s: float = 1.0,
        factor: float = 2.0,
        cap_s: float = 10.0,
    ) -> None:
        super().__init__("delayed_retry")
        self._clock = clock
        self._chance = chance
        self._base_s = base_s
        self._factor = factor
        self._cap_s = cap_s

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return False where a session is broken, which waiting does not mend."""
        return not _breakage(error_info)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        report: ErrorReport = error_info["report"]
        longest_s = self._cap_s
        # Far beyond the cap the power itself would overflow.
        if report.context.attempt <= _ATTEMPTS_COUNTED:
            grown_s = self._base_s * self._factor ** (report.context.attempt - 1)
            longest_s = min(self._cap_s, grown_s)
        self._clock.sleep(longest_s * self._chance.random())
        return True


class ExtendedTimeoutRetry(Builtin):
    """Run the item again with longer time-outs for pages and scripts, for that item alone."""

    FACTOR = 2.0

    def __init__(self) -> None:
        super().__init__("extended_timeout_retry")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether there is a time-out of the user's own that can be extended."""
        environment = _environment(error_info)
        return environment is not None and environment.has_timeouts()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.extend_timeouts(self.FACTOR)


class FreshWindow(Builtin):
    """Open a new tab in the same session and close the dead one."""

    def __init__(self) -> None:
        super().__init__("fresh_window")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether nothing is broken but tabs of living browsers on this machine."""
        environment = _environment(error_info)
        return environment is not None and environment.has_dead_tabs()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.replace_tabs()


class RestartBrowsers(Builtin):
    """Replace the broken sessions, and with `with_driver` their driver processes too."""

    def __init__(self, name: str, *, with_driver: bool) -> None:
        super().__init__(name)
        self._with_driver = with_driver

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return False where the grid that would have to start a browser cannot."""
        return _grid(error_info) not in (REFUSED, SILENT, EMPTY)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.restart_browsers(with_driver=self._with_driver)


class DatabaseReconnect(Builtin):
    """Set up anew the fixtures that hold a connection to the database that failed."""

    def __init__(self) -> None:
        super().__init__("database_reconnect")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether there is such a fixture."""
        environment = _environment(error_info)
        return environment is not None and environment.has_connections()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.reconnect()


class NodeSwitch(Builtin):
    """Start new sessions on other nodes of the grid, or at the next endpoint that is ready."""

    def __init__(self) -> None:
        super().__init__("node_switch")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether the node can be avoided, or the endpoint is one of several."""
        environment = _environment(error_info)
        if environment is None:
            return False
        return environment.has_other_endpoint() or environment.has_other_node()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        # Where the grid itself is well, its nodes are nearer than another grid.
        if not (environment.switch_node() or environment.switch_endpoint()):
            return False
        return environment.restart_browsers(with_driver=True)


class Reduction(Builtin):
    """Run the item again with less: with fewer browsers and smaller batches, or less precisely."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}_reduction")
        self._what = what

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether resources ran short, and less can be had."""
        environment, report = _environment(error_info), error_info.get("report")
        if environment is None or report is None:
            return False
        short = ran_short(report.error_type.label, report.evidence)
        return short and environment.may_reduce(self._what)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.reduce(self._what)


class WorkerChange(Builtin):
    """Run the item on another worker; with `fresh` on one that is started for it."""

    def __init__(self, name: str, *, fresh: bool) -> None:
        super().__init__(name)
        self._fresh = fresh

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether there are workers, and the item may go to another one."""
        environment = _environment(error_info)
        return environment is not None and environment.may_change_worker(fresh=self._fresh)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.change_worker(fresh=self._fresh)


class CoordinatorRecovery(Builtin):
    """Wait until the grid is ready again, or go to another one that is.

    Args:
        patience_s: Seconds the grid gets before another one is taken.
        limit_s: Seconds after which waiting is given up.
    """

    def __init__(self, clock: Clock, *, patience_s: float = 4.0, limit_s: float = 120.0) -> None:
        super().__init__("coordinator_recovery")
        self._clock = clock
        self._patience_s = patience_s
        self._limit_s = limit_s

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether a grid is concerned."""
        environment = _environment(error_info)
        return environment is not None and environment.has_coordinator()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        begun, pause_s = self._clock.monotonic(), 0.5
        while not environment.coordinator_is_ready():
            waited_s = self._clock.monotonic() - begun
            if waited_s >= self._limit_s:
                return False
            if waited_s >= self._patience_s and environment.switch_endpoint():
                break
            self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
        return environment.restart_browsers(with_driver=True)


class EnvironmentReset(Builtin):
    """End all browsers of the item and what is left over, and let the user reset the rest."""

    def __init__(self) -> None:
        super().__init__("environment_reset")

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.reset()


def builtin_strategies(
    clock: Clock | None = None, chance: RandomSource | None = None
) -> tuple[RecoveryStrategy, ...]:
    """Return the strategies that come with the package, cheapest level first.

    Those that wait are left out where there is no clock or no chance.
    """
    return (
        ImmediateRetry(),
        *((DelayedRetry(clock, chance),) if clock is not None and chance is not None else ()),
        ExtendedTimeoutRetry(),
        FreshWindow(),
        RestartBrowsers("browser_restart", with_driver=False),
        RestartBrowsers("driver_restart", with_driver=True),
        DatabaseReconnect(),
        NodeSwitch(),
        Reduction(BATCH),
        Reduction(PRECISION),
        *worker_changes(),
        EnvironmentReset(),
        *((CoordinatorRecovery(clock),) if clock is not None else ()),
    )


def worker_changes() -> tuple[RecoveryStrategy, ...]:
    """Return the strategies that bring an item to another worker, cheapest first."""
    return WorkerChange(WORKER_SWITCH, fresh=False), WorkerChange(WORKER_RESTART, fresh=True)


def _environment(error_info: Mapping[str, Any]) -> Environment | None:
    return error_info.get("environment")


def _breakage(error_info: Mapping[str, Any]) -> bool:
    environment = _environment(error_info)
    return environment is not None and environment.is_broken()


def _grid(error_info: Mapping[str, Any]) -> object:
    """Return what the grid answered when the failure was examined, None if it was not asked."""
    report: ErrorReport | None = error_info.get("report")
    answers = [r["answer"] for r in report.evidence if r["probe"] == GRID] if report else []
    return answers[-1] if answers else None
