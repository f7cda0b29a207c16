"""The pytest11 entry point: options, and the place where everything is put together.

Invariant: importing this module loads the standard library, pytest and `config`
alone; without ``--resilience`` it registers its options, markers and fixtures and nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.config import Settings, resolve
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.options import OPTIONS, Option
from pytest_resilience.plugin import markers
from pytest_resilience.plugin.distribution import distributes

if TYPE_CHECKING:
    from pytest_resilience.browser.injector import BrowserFailureInjector
    from pytest_resilience.core.circuit import CircuitBreaker
    from pytest_resilience.plugin.handle import Resilience

#: Options with which pytest runs no test to its end.
_NO_TESTS_RUN = (
    "collectonly",
    "setuponly",
    "setupplan",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "cacheshow",
    "help",
    "version",
)

SETTINGS = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register every option, on the command line and as an ini key."""
    group = parser.getgroup("resilience", "recovery from infrastructure failures")
    for option in OPTIONS:
        _add_option(group, option)
        parser.addini(option.ini, f"{option.help} (same as {option.flag})", default=None)


def _add_option(group: Any, option: Option) -> None:
    # Values stay text here: `config.resolve` checks them, whatever their source, and
    # None means "not given".
    dest = f"resilience_{option.name}"
    help_text = option.help
    if option.kind != "flag":
        several = {"action": "append"} if option.kind == "faults" else {}
        if option.default is not None:
            help_text += f" Default: {option.default}."
        group.addoption(
            option.flag,
            dest=dest,
            default=None,
            metavar=option.metavar or "{" + ",".join(option.choices) + "}",
            help=help_text.replace("%", "%%"),
            **several,
        )
    else:
        group.addoption(
            option.flag, dest=dest, action="store_const", const=True, default=None, help=help_text
        )
    if option.negative_flag:
        group.addoption(
            option.negative_flag,
            dest=dest,
            action="store_const",
            const=False,
            help=f"Do without {option.flag}.",
        )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make our hooks known, so that conftest files may implement them."""
    from pytest_resilience import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings, and switch the plugin on if it was asked for."""
    for registration in markers.REGISTRATIONS:
        config.addinivalue_line("markers", registration)
    settings = config.stash[SETTINGS] = _settings(config)
    if (settings.resume or settings.resume_changed) and not settings.enabled:
        raise pytest.UsageError("--resilience-resume needs --resilience")
    if settings.inject_failure or settings.inject_rate:
        from pytest_resilience.plugin import injection

        injection.check(settings)
    if settings.inject_failure or settings.inject_rate or distributes(config):
        # The markers of tests are known to the workers of xdist alone.
        from pytest_resilience.plugin.injection_told import register_told

        register_told(config.pluginmanager)
    if settings.enabled and not any(config.getoption(name, False) for name in _NO_TESTS_RUN):
        from pytest_resilience.plugin.composition import switch_on

        switch_on(config, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Get ready to inject failures, if anybody asks for any; the only look at tests there is."""
    config = session.config
    settings = config.stash[SETTINGS]
    asked = settings.inject_failure or settings.inject_rate or any(map(_asks, session.items))
    others = [name for name in _NO_TESTS_RUN if name != "collectonly"]
    if asked and not any(config.getoption(name, False) for name in others):
        from pytest_resilience.plugin import injection

        injection.begin(session, settings)


def _asks(item: pytest.Item) -> bool:
    """Return whether a test has a marker or a fixture that injects failures."""
    if "failure_injector" in getattr(item, "fixturenames", ()):
        return True
    # Keywords, which are quick to look at, hold the ids of parameters, too.
    return "inject_failure" in item.keywords and bool(item.get_closest_marker("inject_failure"))


def _settings(config: pytest.Config) -> Settings:
    names = [option.name for option in OPTIONS]
    try:
        return resolve(
            {name: config.getoption(f"resilience_{name}") for name in names},
            os.environ,
            {option.name: config.getini(option.ini) for option in OPTIONS},
            invocation_dir=Path(config.invocation_params.dir),
            rootdir=config.rootpath,
        )
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture
def resilience(request: pytest.FixtureRequest) -> Resilience:
    """This attempt of the test: its number, and why the one before it failed.

    ``resilience.attempt`` counts from 1; ``resilience.diagnosis`` is None in the first one.
    """
    from pytest_resilience.plugin.handle import Resilience

    return Resilience(request.node)


@pytest.fixture
def circuit_breaker(request: pytest.FixtureRequest) -> CircuitBreaker:
    """The circuit of this test's type: that of its marker, else of its module.

    For what the test itself depends on: ``circuit_breaker.execute(call)``, or
    ``with circuit_breaker.guard():``.
    """
    from pytest_resilience.circuits import CIRCUITS

    types = (m.kwargs.get("test_type") for m in request.node.iter_markers("resilience"))
    name = next((name for name in types if name), request.node.nodeid.partition("::")[0])
    return CIRCUITS.get("test_type", name)


@pytest.fixture
def failure_injector(request: pytest.FixtureRequest) -> BrowserFailureInjector:
    """Breaks the browser of this test: ``failure_injector.inject_failure("crash", "severe")``.

    Whatever was injected is undone when the attempt has ended.
    """
    from pytest_resilience.plugin import injection

    return injection.injector_of(request, request.config.stash[SETTINGS])
