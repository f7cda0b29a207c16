"""Finish chosen fixtures, with everything built on them, so that pytest sets them up anew.

Invariant: a fixture that is not named, and does not depend on a named one, is never
torn down from here; with `attempts` this is the only module that touches private
parts of pytest.

`FixtureDef.finish` runs the finalizers of the dependants it knows of first. pytest
registers dependants that declare their dependency as an argument; those that ask for
it with ``request.getfixturevalue`` are registered here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from _pytest import python

FixtureDef = pytest.FixtureDef[Any]

#: What pytest takes for the function of a parameter that is no fixture's: it asks for nothing.
_GIVEN = getattr(python, "get_direct_param_fixture_func", None)


class FixtureKeeper:
    """Knows which fixtures are set up, which one is being set up, and finishes them."""

    def __init__(self) -> None:
        self._requests: dict[FixtureDef, Any] = {}
        self._setups: dict[FixtureDef, int] = {}
        self._starting: list[FixtureDef] = []
        #: Call when an attempt begins: nothing is being set up then. Bound to the list
        #: itself, because it runs once per test of a healthy suite.
        self.forget_starting: Callable[[], None] = self._starting.clear

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: FixtureDef, request: Any) -> None:
        """Remember the request a fixture is set up with; it is needed to finish it."""
        self._requests[fixturedef] = request
        self._setups[fixturedef] = self._setups.get(fixturedef, 0) + 1
        self._starting.append(fixturedef)
        if "request" in fixturedef.argnames and fixturedef.func is not _GIVEN:
            _track_dynamic_dependencies(fixturedef, request)

    def being_set_up(self) -> FixtureDef | None:
        """Return the innermost fixture whose function runs at this moment, None if none does."""
        while self._starting:
            fixturedef = self._starting[-1]
            if fixturedef.cached_result is None:
                return fixturedef
            self._starting.pop()
        return None

    def setups(self, fixturedef: FixtureDef) -> int:
        """Return how often the function of `fixturedef` was about to run."""
        return self._setups.get(fixturedef, 0)

    def parameter_of(self, fixturedef: FixtureDef) -> object:
        """Return the parameter `fixturedef` was last set up with, None without one."""
        return getattr(self._requests.get(fixturedef), "param", None)

    def is_alive(self, fixturedef: FixtureDef) -> bool:
        """Return whether `fixturedef` is set up, successfully, and not yet torn down."""
        cached = fixturedef.cached_result
        return cached is not None and cached[2] is None

    def failed(self) -> Iterator[tuple[FixtureDef, BaseException]]:
        """Yield every fixture whose failed set-up pytest would replay, with its exception."""
        for fixturedef in self._requests:
            cached = fixturedef.cached_result
            if cached is not None and cached[2] is not None:
                yield fixturedef, _exception_of(cached[2])

    def failed_with(self, error: BaseException) -> list[FixtureDef]:
        """Return the fixtures whose set-up raised `error`, first the one set up first."""
        return [fixturedef for fixturedef, raised in self.failed() if raised is error]

    def values(self) -> Iterator[tuple[FixtureDef, Any]]:
        """Yield every fixture that is set up, with its value."""
        for fixturedef in self._requests:
            if fixturedef.cached_result is not None and self.is_alive(fixturedef):
                yield fixturedef, fixturedef.cached_result[0]

    def finish_dependants(self, fixturedef: FixtureDef) -> list[BaseException]:
        """Tear down everything built on `fixturedef`, not itself; return what teardowns raised."""
        errors: list[BaseException] = []
        for dependant in reversed(_dependants(fixturedef)):
            if dependant.cached_result is not None:
                errors += self.finish(dependant)
        return errors

    def finish(self, fixturedef: FixtureDef) -> list[BaseException]:
        """Tear `fixturedef` down, after everything built on it; return what teardowns raised.

        The next request sets it up again. Its cached result is dropped whatever happens.
        """
        request = self._requests.get(fixturedef)
        if request is None:
            return []
        errors: list[BaseException] = []
        try:
            fixturedef.finish(request)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:  # noqa: BLE001 - a teardown may raise outcomes too
            errors.append(error)
        return errors


def clear_unfinished(item: Any) -> None:
    """Let fixtures of `item` be set up again that a hook broke before their function ran.

    They have no result to finish but leave finalizers behind, with which pytest refuses
    to set them up. To be called when the item is torn down.
    """
    request = getattr(item, "_request", None)
    for fixturedefs in getattr(request, "_arg2fixturedefs", {}).values():
        for fixturedef in fixturedefs:
            if fixturedef.cached_result is None:
                fixturedef._finalizers.clear()


def forget_failed_subtests(item: Any) -> None:
    """Let pytest not fail `item` for the subtests of a superseded attempt."""
    try:
        from _pytest.subtests import failed_subtests_key
    except ImportError:
        return
    failed = item.config.stash.get(failed_subtests_key, {})
    for key in (getattr(item, "id", None), item.nodeid):
        failed.pop(key, None)


def drop_instance(item: Any) -> None:
    """Let the next attempt get an instance of the test class of its own."""
    if isinstance(item, pytest.Function) and item.cls is not None:
        vars(item).pop("_instance", None)
        item._obj = None
    # What a unittest case has raised and pytest has not asked for would fail the next attempt.
    vars(item).pop("_excinfo", None)


def requests(item: Any, fixturedef: FixtureDef) -> bool:
    """Return whether `item` is known to request `fixturedef`, not just another of its name.

    What it asks for while it runs, with ``request.getfixturevalue``, is not known.
    """
    info = getattr(item, "_fixtureinfo", None)
    known = info.name2fixturedefs.get(fixturedef.argname, ()) if info is not None else ()
    for candidate in reversed(known):
        if candidate is fixturedef:
            return True
        # One that overrides another of its name may be built on that.
        if fixturedef.argname not in candidate.argnames:
            return False
    return False


def parameter(item: Any, fixturedef: FixtureDef) -> object:
    """Return the parameter with which `item` requests `fixturedef`, None without one."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get(fixturedef.argname)


def tear_down_to(item: Any, nextitem: Any) -> None:
    """Tear down what `nextitem` does not share with what is set up, though `item` never ran.

    The item before it left standing what it shares with `item`, and pytest insists that
    nothing else stands when an item is set up.
    """
    item.session._setupstate.teardown_exact(nextitem)


def shared_node(item: Any) -> Any:
    """Return the innermost node that the next attempt of `item` shares with this one.

    That is its parent, unless a collector above failed to set up: pytest would replay
    that failure for as long as the collector is not torn down.
    """
    for node, (_finalizers, error) in item.session._setupstate.stack.items():
        if error is not None and node is not item:
            return node.parent
    return item.parent


def _dependants(fixturedef: FixtureDef) -> list[FixtureDef]:
    """Return the fixtures that are finished with `fixturedef`, first the one set up first."""
    # Those are what pytest, and we, register for it: their bound method `finish`.
    finishes = (getattr(finalizer, "func", None) for finalizer in fixturedef._finalizers)
    owners = (getattr(finish, "__self__", None) for finish in finishes)
    return [o for o in dict.fromkeys(owners) if isinstance(o, pytest.FixtureDef)]


def _exception_of(cached_error: Any) -> BaseException:
    # pytest caches (exception, traceback).
    error: BaseException = cached_error[0] if isinstance(cached_error, tuple) else cached_error
    return error


def _track_dynamic_dependencies(fixturedef: FixtureDef, request: Any) -> None:
    original: Callable[[str], Any] = request.getfixturevalue

    def getfixturevalue(argname: str) -> Any:
        value = original(argname)
        if argname in fixturedef.argnames:
            # Declared: pytest, which asks for arguments this way too, registers it itself.
            return value
        dependency = request._get_active_fixturedef(argname)
        if isinstance(dependency, pytest.FixtureDef) and dependency is not fixturedef:
            dependency.addfinalizer(functools.partial(fixturedef.finish, request=request))
        return value

    request.getfixturevalue = getfixturevalue
