"""The strategies that come with the package.

Invariant: a strategy that measured facts rule out for an error type (a bare retry in a
dead session) is not applicable to it, and `APPLICABILITY` says why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pytest_resilience.core.deferral import DEFER
from pytest_resilience.core.evidence import EMPTY, GRID, REFUSED, SILENT
from pytest_resilience.core.failures import ErrorReport, ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel as Level
from pytest_resilience.core.ports import Clock, Environment, RandomSource
from pytest_resilience.core.strategies import RecoveryStrategy

_ATTEMPTS_COUNTED = 30

WORKER_SWITCH = "worker_switch"
WORKER_RESTART = "worker_restart"
#: Strategies that bring an item to another worker.
WORKER_CHANGES = frozenset({WORKER_SWITCH, WORKER_RESTART})
#: After these the item is not run again where it failed.
LEAVING = WORKER_CHANGES | {DEFER}


class Fit(NamedTuple):
    """What a built-in strategy is, and where it may help.

    Attributes:
        nominal_s: See `RecoveryStrategy`.
        error_types: Error types it is applicable to.
        reason: Why to these and to no others.
    """

    level: Level
    nominal_s: float
    error_types: frozenset[ErrorType]
    reason: str


def _fit(level: Level, nominal_s: float, error_types: Collection[ErrorType], reason: str) -> Fit:
    return Fit(level, nominal_s, frozenset(error_types), reason)


_E = ErrorType
_EVERYTHING = frozenset(ErrorType) - {_E.CIRCUIT_OPEN}
_OURS = {_E.PRODUCT, _E.TEST_CODE, _E.PAGE, _E.UNKNOWN}
_OF_A_WORKER = _EVERYTHING - _OURS - {_E.COORDINATOR}
_TRANSIENT = {_E.PAGE, _E.CONNECTION, _E.NETWORK, _E.TIMEOUT, _E.RESOURCE, _E.TASK}

#: What each strategy is, by name, in the order of levels.
APPLICABILITY: Mapping[str, Fit] = {
    "immediate_retry": _fit(
        Level.BASIC,
        1.0,
        _OURS | _TRANSIENT | {_E.CIRCUIT_OPEN},
        "A bare retry cured none of 76 browser and 19 driver failures, but 23 of 58 on the wire; "
        "a grid that is down is down a moment later, and a connection to a database that is lost "
        "stays in its fixture. Where a circuit refused, its closing was waited for before.",
    ),
    "delayed_retry": _fit(
        Level.ENHANCED,
        2.0,
        _TRANSIENT | {_E.DATABASE, _E.COORDINATOR},
        "What others provide comes back by itself; a browser or driver that died does not.",
    ),
    "extended_timeout_retry": _fit(
        Level.ENHANCED,
        10.0,
        {_E.TIMEOUT},
        "Only what was too slow needs more time; what waits for the product never gets it.",
    ),
    "fresh_window": _fit(
        Level.ENHANCED,
        1.5,
        {_E.BROWSER, _E.RESOURCE},
        "A tab can die alone: its browser then opens another one in 0.2 to 0.4 s.",
    ),
    "browser_restart": _fit(
        Level.COMPONENT,
        3.0,
        _EVERYTHING - {_E.DRIVER},
        "A new session cured 62 of 73 browser failures; a driver that died can start none.",
    ),
    "driver_restart": _fit(
        Level.COMPONENT,
        3.5,
        _EVERYTHING,
        "A new driver cured 19 of 19 driver failures, and costs no more than a new session.",
    ),
    "database_reconnect": _fit(
        Level.COMPONENT,
        1.0,
        {_E.DATABASE},
        "A connection that was lost stays lost until another one is opened.",
    ),
    "node_switch": _fit(
        Level.SYSTEM,
        5.0,
        {_E.WORKER, _E.COORDINATOR, _E.CONNECTION, _E.NETWORK, _E.DRIVER, _E.BROWSER, _E.RESOURCE},
        "Where one grid fails, its nodes included, another one may not.",
    ),
    WORKER_SWITCH: _fit(
        Level.SYSTEM,
        6.0,
        _OF_A_WORKER,
        "What is wrong with one process and its surroundings need not be with another; a grid "
        "is the same for all.",
    ),
    WORKER_RESTART: _fit(
        Level.SYSTEM,
        9.0,
        _OF_A_WORKER,
        "A new process has what an old one has lost or used up; it must import and collect first.",
    ),
    "environment_reset": _fit(
        Level.CRITICAL,
        15.0,
        _EVERYTHING - _OURS,
        "Whatever is left over from earlier can break what comes; never worth it for the product.",
    ),
    "coordinator_recovery": _fit(
        Level.CRITICAL,
        10.0,
        {_E.COORDINATOR, _E.WORKER, _E.CONNECTION},
        "A hub that restarts needs some seconds, and has lost its sessions then.",
    ),
}


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
    """Start new sessions at the next endpoint of the list that is ready."""

    def __init__(self) -> None:
        super().__init__("node_switch")

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether the endpoint that failed is one of several we were given."""
        environment = _environment(error_info)
        return environment is not None and environment.has_other_endpoint()

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        if not environment.switch_endpoint():
            return False
        return environment.restart_browsers(with_driver=True)


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
