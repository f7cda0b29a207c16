"""What can be done before the next attempt, and what is done first.

Invariant: a strategy that measured facts rule out for an error type (a bare retry in
a dead session) is not applicable to it; whatever a strategy raises is contained.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from pytest_resilience.core.failures import ErrorReport, ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.ports import Clock, Environment, RandomSource

#: Failures in which the session itself stays usable, so that a retry alone can help.
_SESSION_SURVIVES = frozenset(
    {
        ErrorType.CONNECTION,
        ErrorType.NETWORK,
        ErrorType.TIMEOUT,
        ErrorType.RESOURCE,
        ErrorType.DATABASE,
        ErrorType.COORDINATOR,
        ErrorType.TASK,
        ErrorType.PAGE,
        ErrorType.PRODUCT,
        ErrorType.TEST_CODE,
        ErrorType.UNKNOWN,
    }
)


#: Failures of what may come back without being touched.
_COMES_BACK = frozenset(
    {
        ErrorType.CONNECTION,
        ErrorType.NETWORK,
        ErrorType.TIMEOUT,
        ErrorType.RESOURCE,
        ErrorType.DATABASE,
        ErrorType.COORDINATOR,
        ErrorType.TASK,
        ErrorType.PAGE,
    }
)
_ATTEMPTS_COUNTED = 30


class RecoveryStrategy:
    """One recovery action at one level; subclass it and override `_execute_impl`.

    Attributes:
        name: Unique identifier, such as ``browser_restart``.
        level: How much of the environment it touches.
        error_types: Error types it can help with.
    """

    def __init__(
        self,
        name: str,
        level: ProgressiveRecoveryLevel,
        error_types: Iterable[ErrorType],
    ) -> None:
        self.name = name
        self.level = level
        self.error_types = frozenset(error_types)

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ").capitalize()

    def applies_to(self, error_type: ErrorType) -> bool:
        """Return whether the strategy can help with `error_type`."""
        return error_type in self.error_types

    def execute(self, error_info: Mapping[str, Any]) -> tuple[bool, str]:
        """Run the strategy.

        Args:
            error_info: ``report`` (an `ErrorReport`) and ``environment`` (an `Environment`).

        Returns:
            Whether it reports success, and what there is to say about it.
        """
        try:
            result = self._execute_impl(error_info)
            if inspect.isawaitable(result):
                result = _run(result)
            return bool(result), ""
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a failing recovery is a result
            return False, describe(error)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool | Awaitable[bool]:
        """Do it; return True if the next attempt may succeed. May be ``async``."""
        raise NotImplementedError(f"{type(self).__name__} must override _execute_impl")


def describe(error: BaseException) -> str:
    """Return type and text of `error`, whatever its ``__str__`` does."""
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def _run(awaitable: Awaitable[bool]) -> bool:
    import asyncio

    async def outcome() -> bool:
        return await awaitable

    return asyncio.run(outcome())


class ImmediateRetry(RecoveryStrategy):
    """Run the item again at once; its fixtures of function scope are rebuilt anyway."""

    def __init__(self) -> None:
        super().__init__("immediate_retry", ProgressiveRecoveryLevel.BASIC, _SESSION_SURVIVES)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        return True


class DelayedRetry(RecoveryStrategy):
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
        super().__init__("delayed_retry", ProgressiveRecoveryLevel.ENHANCED, _COMES_BACK)
        self._clock = clock
        self._chance = chance
        self._base_s = base_s
        self._factor = factor
        self._cap_s = cap_s

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        report: ErrorReport = error_info["report"]
        longest_s = self._cap_s
        # Far beyond the cap the power itself would overflow.
        if report.context.attempt <= _ATTEMPTS_COUNTED:
            grown_s = self._base_s * self._factor ** (report.context.attempt - 1)
            longest_s = min(self._cap_s, grown_s)
        self._clock.sleep(longest_s * self._chance.random())
        return True


class RestartBrowsers(RecoveryStrategy):
    """Replace the broken sessions, and with `with_driver` their driver processes too."""

    def __init__(self, name: str, error_types: Iterable[ErrorType], *, with_driver: bool) -> None:
        super().__init__(name, ProgressiveRecoveryLevel.COMPONENT, error_types)
        self._with_driver = with_driver

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        environment: Environment = error_info["environment"]
        return environment.restart_browsers(with_driver=self._with_driver)


def builtin_strategies(
    clock: Clock | None = None, chance: RandomSource | None = None
) -> tuple[RecoveryStrategy, ...]:
    """Return the strategies that come with the package, cheapest level first.

    Those that wait are left out where there is no clock or no chance.
    """
    everything = frozenset(ErrorType) - {ErrorType.CIRCUIT_OPEN}
    return (
        ImmediateRetry(),
        *((DelayedRetry(clock, chance),) if clock is not None and chance is not None else ()),
        RestartBrowsers("browser_restart", everything - {ErrorType.DRIVER}, with_driver=False),
        RestartBrowsers("driver_restart", everything, with_driver=True),
    )


def choose(
    strategies: Iterable[RecoveryStrategy],
    error_type: ErrorType,
    *,
    tried: frozenset[str],
    max_level: int,
    recommended: str = "",
    transient: bool = False,
) -> RecoveryStrategy | None:
    """Return the strategy to run next for `error_type`, None if none may help.

    What the diagnosis has `recommended` comes first, then the lowest level; a strategy
    already tried for the item comes again only when no other is left.

    Args:
        transient: True if nothing is broken here, so that the recommended strategy is
            worth being repeated and no other is.
    """
    fitting = sorted(
        (s for s in strategies if s.applies_to(error_type) and s.level <= max_level),
        key=lambda strategy: strategy.level,
    )
    fresh = [strategy for strategy in fitting if strategy.name not in tried]
    for strategy in fitting if transient else fresh:
        if strategy.name == recommended:
            return strategy
    if fresh:
        return fresh[0]
    return fitting[-1] if fitting else None
