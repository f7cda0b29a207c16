"""Strategies of others: how they are added, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import CustomStrategies, RecoveryStrategy, united
from pytest_resilience.exceptions import StrategyError


class Restore(RecoveryStrategy):
    """A strategy as users write them."""

    def __init__(self, name: str = "restore", **keywords: Any) -> None:
        super().__init__(name, ProgressiveRecoveryLevel.SYSTEM, [ErrorType.DATABASE], **keywords)

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        return True


class Other(Restore):
    """Another one."""


class Unfinished(RecoveryStrategy):
    """One whose author forgot something."""

    def __init__(self) -> None:
        self.name = "unfinished"


def with_wrong(**attributes: Any) -> RecoveryStrategy:
    strategy = Restore()
    vars(strategy).update(attributes)
    return strategy


def test_they_come_after_the_built_in_ones_in_the_order_in_which_they_were_added() -> None:
    first, second = Restore("first"), Other("second")
    found = united(builtin_strategies(), [("here", first), ("there", second)])
    assert found == (*builtin_names(found), first, second)


def builtin_names(found: tuple[RecoveryStrategy, ...]) -> tuple[RecoveryStrategy, ...]:
    names = [strategy.name for strategy in builtin_strategies()]
    return tuple(strategy for strategy in found if strategy.name in names)


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        pytest.param("restore", "'restore' is not a strategy", id="a-text"),
        pytest.param(None, "None is not a strategy", id="nothing"),
        pytest.param(Restore, "Restore is a class; give an instance of it", id="a-class"),
        pytest.param(
            Unfinished(), "Unfinished: has no level, error_types, nominal_s", id="no-super-init"
        ),
        pytest.param(with_wrong(name=""), "Restore: its name is ''", id="no-name"),
        pytest.param(with_wrong(level=4), "Restore: its level is 4", id="wrong-level"),
        pytest.param(
            with_wrong(error_types={"database"}),
            "Restore: its error_types contain 'database'",
            id="wrong-type",
        ),
        pytest.param(with_wrong(nominal_s="long"), "Restore: its nominal_s is 'long'", id="cost"),
        pytest.param(
            Restore("browser_restart"),
            "the name 'browser_restart' of test_custom_strategies.Restore is taken by "
            "pytest_resilience.core.builtin.RestartBrowsers",
            id="taken",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_source(offered: Any, told: str) -> None:
    with pytest.raises(StrategyError) as raised:
        united(builtin_strategies(), [("the hook", offered)])
    assert raised.value.message.startswith("the hook: ")
    assert told in raised.value.message.replace(f"{__name__}.", "test_custom_strategies.")


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(StrategyError, match="'twin'"):
        united((), [("here", Restore("twin")), ("there", Restore("twin"))])


def test_a_conftest_that_is_loaded_again_replaces_its_own() -> None:
    custom = CustomStrategies()
    custom.add(Restore())
    again = Restore()
    custom.add(again)
    assert list(custom) == [again]


def test_a_name_that_another_class_has_is_refused_at_once() -> None:
    custom = CustomStrategies()
    custom.add(Restore())
    with pytest.raises(StrategyError, match="add_custom_strategy: the name 'restore'"):
        custom.add(Other())


def test_something_else_is_refused_at_once() -> None:
    with pytest.raises(StrategyError, match="add_custom_strategy: 7 is not a strategy"):
        CustomStrategies().add(7)  # type: ignore[arg-type]


def test_a_level_may_be_given_as_a_number_and_sets_what_is_reckoned_with() -> None:
    strategy = RecoveryStrategy("ours", 3, [])  # type: ignore[arg-type]
    assert strategy.level is ProgressiveRecoveryLevel.COMPONENT
    assert strategy.nominal_s == 5.0
    assert Restore(nominal_s=0.5).nominal_s == 0.5


def test_it_is_possible_unless_it_says_otherwise() -> None:
    assert Restore().possible({})
