"""Gives a browser back between two tests, when others need what it uses.

A browser of a wider scope lives on when its test has ended. Where others wait for one, or where
more are in use than may be, the fixture that owns it is torn down, with all that is built on it;
the next test that asks for it sets it up again, when its turn comes.

Invariant: tests that may build on one another keep their browser; and what a teardown raises
here is told as the teardown of the test that used the browser last, as it would be anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper
from pytest_resilience.plugin.turnstile import Turnstile

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.plugin.environment import Owner


class GiveBack:
    """Stands behind the teardown of every test, once a browser was let in.

    Args:
        mixes: Returns whether tests of one module are run apart anyway, so that none of them
            can build on another.
    """

    def __init__(
        self, turnstile: Turnstile, keeper: FixtureKeeper, mixes: Callable[[], bool]
    ) -> None:
        self._turnstile = turnstile
        self._keeper = keeper
        self._mixes = mixes

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: Any
    ) -> Generator[None, object, object]:
        """Give back what others need and the next test can have anew."""
        result = yield
        if isinstance(nextitem, pytest.Item) and self._turnstile.is_wanted():
            errors = [
                error
                for fixturedef in self._idle(item, nextitem)
                for error in self._keeper.finish(fixturedef)
            ]
            if errors:
                raise errors[0]
        return result

    def _idle(self, item: pytest.Item, nextitem: pytest.Item) -> list[FixtureDef]:
        """Return the fixtures that own a browser and can be set up again for `nextitem`."""
        apart = self._mixes() or _are_apart(item, nextitem)
        owners = [owner for s in self._turnstile.turns if (owner := self._owner(s)) is not None]
        return [owner for owner in dict.fromkeys(owners) if apart]

    def _owner(self, session: DriverSession) -> FixtureDef | None:
        owner: Owner | None = session.owner
        if owner is None or self._keeper.setups(owner.fixturedef) != owner.setup:
            return None
        return owner.fixturedef if self._keeper.is_alive(owner.fixturedef) else None


def _are_apart(item: pytest.Item, nextitem: pytest.Item) -> bool:
    """Return whether two tests that follow one another have nothing in common."""
    file, group = _home(item)
    other_file, other_group = _home(nextitem)
    return file != other_file and (group != other_group or not group)


def _home(item: pytest.Item) -> tuple[str, str]:
    """Return file and xdist group of a test; the group is told at the end of its id."""
    file, _, name = item.nodeid.partition("::")
    # What a parameter's id has in it is no group.
    return file, name.rpartition("]")[2].partition("@")[2]
