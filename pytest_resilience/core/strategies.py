"""Recovery strategies: what they are, and how users add their own.

Invariant: whatever a strategy does, its execution ends with an outcome; no two strategies
of a run have the same name, and what cannot be used is refused before the first test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from typing import Any

from pytest_resilience.core.execution import Outcome, execute
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.exceptions import StrategyError

_ATTRIBUTES = ("name", "level", "error_types", "nominal_s")
#: What is declared for a strategy that does not say what it costs, by level.
_NOMINAL_S = {1: 1.0, 2: 2.0, 3: 5.0, 4: 15.0, 5: 30.0}


class RecoveryStrategy:
    """One recovery action at one level; subclass it and override `_execute_impl`.

    Attributes:
        name: Unique identifier, such as ``browser_restart``.
        level: How much of the environment it touches.
        error_types: Error types it can help with.
        nominal_s: Seconds it typically takes until it is known whether it helped; what is
            reckoned with until there is experience.
        surcharge_s: Seconds that are added to what it took: for what it costs besides time.
    """

    surcharge_s: float = 0.0

    def __init__(
        self,
        name: str,
        level: ProgressiveRecoveryLevel,
        error_types: Iterable[ErrorType],
        *,
        nominal_s: float | None = None,
    ) -> None:
        self.name = name
        self.level = ProgressiveRecoveryLevel(level)
        self.error_types = frozenset(error_types)
        self.nominal_s = _NOMINAL_S[self.level] if nominal_s is None else nominal_s

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ").capitalize()

    def applies_to(self, error_type: ErrorType) -> bool:
        """Return whether the strategy can help with `error_type`."""
        return error_type in self.error_types

    def possible(self, error_info: Mapping[str, Any]) -> bool:
        """Return whether it can work for this very failure, where it happened; must be quick.

        Args:
            error_info: As for `execute`.
        """
        return True

    def execute(self, error_info: Mapping[str, Any], timeout_s: float | None = None) -> Outcome:
        """Run the strategy.

        Args:
            error_info: ``report`` (an `ErrorReport`) and ``environment`` (an `Environment`).
            timeout_s: Seconds it may take, None for as long as it wants; see
                `execution.execute`.
        """
        return execute(self._execute_impl, error_info, timeout_s)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool | Awaitable[bool]:
        """Do it; return True if the next attempt may succeed. May be ``async``."""
        raise NotImplementedError(f"{type(self).__name__} must override _execute_impl")


class CustomStrategies:
    """Strategies that users add by a call, before there is a run to add them to."""

    def __init__(self) -> None:
        self._strategies: dict[str, RecoveryStrategy] = {}

    def __iter__(self) -> Iterator[RecoveryStrategy]:
        return iter(self._strategies.values())

    def add(self, strategy: RecoveryStrategy) -> None:
        """Add `strategy`; one of the same class and name replaces it, as on a reload.

        Raises:
            StrategyError: It is not a strategy, or another one has its name.
        """
        check(strategy, "add_custom_strategy")
        known = self._strategies.get(strategy.name)
        if known is not None and _home(type(known)) != _home(type(strategy)):
            raise StrategyError(_taken(strategy, known, "add_custom_strategy"))
        self._strategies[strategy.name] = strategy


#: Where conftest files add theirs.
CUSTOM_STRATEGIES = CustomStrategies()


def add_custom_strategy(strategy: RecoveryStrategy) -> None:
    """Let runs that start from now on recover with `strategy`, too.

    Raises:
        StrategyError: It is not a strategy, or another one has its name.
    """
    CUSTOM_STRATEGIES.add(strategy)


def united(
    builtin: Iterable[RecoveryStrategy], others: Iterable[tuple[str, object]]
) -> tuple[RecoveryStrategy, ...]:
    """Return the strategies of a run, checked.

    Args:
        others: Where each of the users' own comes from, in words, and the strategy.

    Raises:
        StrategyError: One is not a strategy, or two have the same name; names the offender.
    """
    known = {strategy.name: strategy for strategy in builtin}
    for source, offered in others:
        strategy = check(offered, source)
        if strategy.name in known:
            raise StrategyError(_taken(strategy, known[strategy.name], source))
        known[strategy.name] = strategy
    return tuple(known.values())


def check(offered: object, source: str) -> RecoveryStrategy:
    """Return `offered` if it is a strategy that can be used.

    Raises:
        StrategyError: It is not; says from where it came and what is wrong with it.
    """
    if isinstance(offered, type) and issubclass(offered, RecoveryStrategy):
        raise StrategyError(f"{source}: {_home(offered)} is a class; give an instance of it.")
    if not isinstance(offered, RecoveryStrategy):
        raise StrategyError(
            f"{source}: {offered!r} is not a strategy; expected an instance of a subclass of "
            "pytest_resilience.RecoveryStrategy."
        )
    wrong = _wrong_with(offered)
    if wrong:
        raise StrategyError(f"{source}: {_home(type(offered))}: {wrong}.")
    return offered


def _wrong_with(strategy: RecoveryStrategy) -> str:
    missing = [name for name in _ATTRIBUTES if not hasattr(strategy, name)]
    if missing:
        return f"has no {', '.join(missing)}; its __init__ must call super().__init__"
    if not isinstance(strategy.name, str) or not strategy.name.strip():
        return f"its name is {strategy.name!r}; expected a text"
    if not isinstance(strategy.level, ProgressiveRecoveryLevel):
        return f"its level is {strategy.level!r}; expected a ProgressiveRecoveryLevel"
    strange = [repr(t) for t in strategy.error_types if not isinstance(t, ErrorType)]
    if strange:
        return f"its error_types contain {', '.join(strange)}; expected members of ErrorType"
    if not isinstance(strategy.nominal_s, int | float) or not strategy.nominal_s >= 0:
        return f"its nominal_s is {strategy.nominal_s!r}; expected seconds, 0 or more"
    return ""


def _taken(new: RecoveryStrategy, known: RecoveryStrategy, source: str) -> str:
    return (
        f"{source}: the name {new.name!r} of {_home(type(new))} is taken by {_home(type(known))}; "
        "give it another."
    )


def _home(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
