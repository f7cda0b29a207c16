"""Our markers, validated when tests are collected.

Invariant: a wrong marker argument is a usage error that names the test, the argument
and the valid ones, before any test runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy, Settings, check, nearest
from pytest_resilience.exceptions import ConfigurationError, MarkerError

INJECT_FAILURE = (
    "inject_failure(type, intensity='moderate', at='call', times=1, probability=1.0, "
    "after_commands=None, command=None, simulated=False): break something on purpose while this "
    "test runs; see the option --inject-failure."
)
REGISTRATIONS = (
    "resilience(retry=..., max_attempts=..., max_level=..., strategies=[...], test_type=...): how "
    "failures of this test are retried; see the options of the same names. strategies: the only "
    "recoveries it allows. test_type: the circuit it shares with others of its type.",
    "no_resilience: never retry this test; its failures are still diagnosed.",
    INJECT_FAILURE,
)

_ARGUMENTS = ("retry", "max_attempts", "max_level", "strategies", "test_type")


def item_policy(item: pytest.Item, settings: Settings, known: Sequence[str]) -> ItemPolicy:
    """Return the policy of `item`: the settings, changed by its markers, nearest last.

    Args:
        known: Names of all strategies there are.

    Raises:
        MarkerError: A marker was given wrong arguments.
    """
    policy = ItemPolicy.of(settings)
    for marker in reversed(list(item.iter_markers("resilience"))):
        policy = dataclasses.replace(policy, **_arguments(item, marker, known))
    for marker in item.iter_markers("no_resilience"):
        if marker.args or marker.kwargs:
            raise MarkerError(f"{item.nodeid}: marker no_resilience takes no arguments.")
        policy = dataclasses.replace(policy, retry="never")
    return policy


class Policies(dict[pytest.Item, ItemPolicy]):
    """The policies of all items, decided when they were collected.

    Another plugin may bring more items while tests run. These are decided when they come; a
    marker with wrong arguments is a warning then, and the item runs as the settings say.

    Raises:
        MarkerError: A marker of one of `items` was given wrong arguments.
    """

    def __init__(
        self,
        items: Iterable[pytest.Item],
        settings: Settings,
        known: Sequence[str],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__((item, item_policy(item, settings, known)) for item in items)
        self._settings = settings
        self._known = known
        self._warn = warn

    def __missing__(self, item: pytest.Item) -> ItemPolicy:
        try:
            policy = item_policy(item, self._settings, self._known)
        except MarkerError as error:
            self._warn(str(error))
            policy = ItemPolicy.of(self._settings)
        self[item] = policy
        return policy


def _arguments(item: pytest.Item, marker: pytest.Mark, known: Sequence[str]) -> dict[str, Any]:
    valid = ", ".join(_ARGUMENTS)
    if marker.args:
        raise MarkerError(
            f"{item.nodeid}: marker resilience takes keyword arguments only ({valid}); "
            f"got {marker.args[0]!r}."
        )
    return {
        name: _strategies(item, value, known)
        if name == "strategies"
        else _checked(item, name, value, valid)
        for name, value in marker.kwargs.items()
    }


def _strategies(item: pytest.Item, value: Any, known: Sequence[str]) -> tuple[str, ...]:
    source, valid = f"{item.nodeid}: marker resilience(strategies=...)", ", ".join(known)
    if not isinstance(value, list | tuple) or not value:
        raise MarkerError(f"{source}: {value!r} is not valid; expected a list of: {valid}.")
    for name in value:
        if name not in known:
            hint = nearest(str(name), known)
            raise MarkerError(f"{source}: unknown strategy {name!r}; valid ones: {valid}.{hint}")
    return tuple(value)


def _checked(item: pytest.Item, name: str, value: Any, valid: str) -> Any:
    if name not in _ARGUMENTS:
        raise MarkerError(
            f"{item.nodeid}: marker resilience has no argument {name!r}; "
            f"valid ones: {valid}.{nearest(name, _ARGUMENTS)}"
        )
    if name == "test_type":
        if not isinstance(value, str) or not value.strip():
            raise MarkerError(
                f"{item.nodeid}: marker resilience(test_type=...): {value!r} is not valid; "
                "expected a name."
            )
        return value.strip()
    try:
        return check(name, value, f"{item.nodeid}: marker resilience({name}=...)")
    except ConfigurationError as error:
        raise MarkerError(error.message) from None
