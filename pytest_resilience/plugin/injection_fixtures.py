"""The points at fixtures: before one is set up, and before it is torn down.

Invariant: a fixture whose set-up is made to fail is left as pytest leaves one whose own code
has failed. Registered only where a fixture is somebody's point.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

import pytest

from pytest_resilience.plugin.injection_run import InjectionRun


class FixturePoints:
    """Tells a run when the fixtures called `names` are reached."""

    def __init__(self, run: InjectionRun, names: Collection[str]) -> None:
        self._run = run
        self._names = names

    # After those who only want to know that it is set up: they shall know, also if it fails.
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """A fixture is about to be set up."""
        __tracebackhide__ = True
        if fixturedef.argname not in self._names:
            return
        try:
            self._run.reach("setup", fixturedef.argname)
        except BaseException as error:
            # As pytest does for whatever the fixture itself raises.
            key = fixturedef.cache_key(request)  # type: ignore[arg-type]
            fixturedef.cached_result = (None, key, (error, error.__traceback__))
            raise

    @pytest.hookimpl(specname="pytest_fixture_setup", wrapper=True)
    def pytest_fixture_setup_ended(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """A fixture is set up: be told before it is torn down, and after all built on it."""
        result = yield
        if fixturedef.argname in self._names:
            name = fixturedef.argname
            fixturedef.addfinalizer(lambda: self._run.reach("teardown", name))
        return result
