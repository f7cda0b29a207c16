"""The recovery strategies of a run: the built-in ones, and those that users have added.

Invariant: what cannot be used ends the run before its first test, with a message that
names it; a hook that raises costs its own strategies alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from pytest_resilience.core.strategies import CUSTOM_STRATEGIES, RecoveryStrategy, united
from pytest_resilience.exceptions import StrategyError

_CALL, _HOOK = "add_custom_strategy", "hook pytest_resilience_strategies"


def all_strategies(
    config: pytest.Config,
    builtin: Iterable[RecoveryStrategy],
    guard: Callable[[Exception], None],
) -> tuple[RecoveryStrategy, ...]:
    """Return what recoveries are chosen from.

    Raises:
        pytest.UsageError: A strategy of the user's own cannot be used.
    """
    try:
        return united(builtin, _added(config, guard))
    except StrategyError as error:
        raise pytest.UsageError(str(error)) from None


def _added(
    config: pytest.Config, guard: Callable[[Exception], None]
) -> Iterator[tuple[str, object]]:
    for strategy in CUSTOM_STRATEGIES:
        yield _CALL, strategy
    try:
        answers = config.hook.pytest_resilience_strategies(config=config)
    except Exception as fault:  # noqa: BLE001 - hooks of others must not stop the run
        guard(fault)
        return
    for answer in answers:
        if not isinstance(answer, list | tuple):
            raise StrategyError(f"{_HOOK}: {answer!r} was returned; expected a list of strategies.")
        for strategy in answer:
            yield _HOOK, strategy
