"""A browser that outlives its test is given back when others need it, and only then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pytest_resilience.plugin.giveback import GiveBack


class Keeper:
    """Keeps which fixtures were finished."""

    def __init__(self, *errors: BaseException) -> None:
        self.finished: list[str] = []
        self._errors = [*errors]

    def setups(self, fixturedef: str) -> int:
        return 1

    def is_alive(self, fixturedef: str) -> bool:
        return fixturedef not in self.finished

    def finish(self, fixturedef: str) -> list[BaseException]:
        self.finished.append(fixturedef)
        return self._errors


def item(nodeid: str) -> Any:
    return Mock(spec=pytest.Item, nodeid=nodeid)


def session(fixturedef: str | None, setup: int = 1) -> Any:
    owner = SimpleNamespace(fixturedef=fixturedef, setup=setup) if fixturedef else None
    return SimpleNamespace(owner=owner)


def tear_down(
    keeper: Keeper,
    *sessions: Any,
    nextitem: Any,
    wanted: bool = True,
    mixes: bool = False,
) -> None:
    """Let a test of ``a.py`` be torn down, with `sessions` that have a slot."""
    turnstile: Any = SimpleNamespace(turns=sessions, is_wanted=lambda: wanted)
    hook = GiveBack(turnstile, keeper, lambda: mixes).pytest_runtest_teardown(  # type: ignore[arg-type]
        item("a.py::test_1"), nextitem
    )
    next(hook)
    assert keeper.finished == [], "the test's own teardown comes first"
    with pytest.raises(StopIteration):
        hook.send(None)


OTHER_FILE, SAME_FILE = item("b.py::test_1"), item("a.py::test_2")


@pytest.mark.parametrize(
    ("nextitem", "wanted", "mixes", "given"),
    [
        (OTHER_FILE, True, False, True),
        (SAME_FILE, True, False, False),
        (SAME_FILE, True, True, True),
        (OTHER_FILE, False, True, False),
        (None, True, True, False),
        (object(), True, True, False),
    ],
    ids=["other-file", "same-file", "mixed", "not-wanted", "last-test", "another-attempt"],
)
def test_it_is_given_back(nextitem: Any, wanted: bool, mixes: bool, given: bool) -> None:
    """Where others need it, and no test that may build on this one comes next."""
    keeper = Keeper()
    tear_down(keeper, session("driver"), nextitem=nextitem, wanted=wanted, mixes=mixes)
    assert keeper.finished == (["driver"] if given else [])


def test_a_fixture_with_two_browsers_is_torn_down_once() -> None:
    keeper = Keeper()
    tear_down(keeper, session("pair"), session("pair"), session("admin"), nextitem=OTHER_FILE)
    assert keeper.finished == ["pair", "admin"]


@pytest.mark.parametrize("other", [session(None), session("driver", setup=2)], ids=["none", "old"])
def test_a_browser_that_no_living_fixture_owns_is_kept(other: Any) -> None:
    keeper = Keeper()
    tear_down(keeper, other, nextitem=OTHER_FILE)
    assert keeper.finished == []


def test_what_its_teardown_raises_is_the_teardown_error_of_the_test() -> None:
    turnstile: Any = SimpleNamespace(turns=[session("driver")], is_wanted=lambda: True)
    keeper: Any = Keeper(AssertionError("the cart is not empty"))
    hook = GiveBack(turnstile, keeper, lambda: True).pytest_runtest_teardown(
        item("a.py::test_1"), OTHER_FILE
    )
    next(hook)
    with pytest.raises(AssertionError, match="the cart is not empty"):
        hook.send(None)
