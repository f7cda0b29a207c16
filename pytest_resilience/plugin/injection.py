"""Puts the injection of failures together: what is asked for, whether it can be, the plan.

Invariant: loaded only when something is to be injected; what cannot be injected, or is asked
for in a wrong way, ends the run before any test, with a message that names what can be.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_resilience.browser.injector import (
    BrowserFailureInjector,
    InjectedFailure,
    unobtrusive,
)
from pytest_resilience.config import Settings
from pytest_resilience.core.injection import FailureType, Intensity, Need
from pytest_resilience.core.injection_plan import Injection, planned
from pytest_resilience.core.injection_points import Point, nearest
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.plugin.injection_fixtures import FixturePoints
from pytest_resilience.plugin.injection_markers import injections
from pytest_resilience.plugin.injection_round import Hit, browser_of, platform_of
from pytest_resilience.plugin.injection_run import InjectionRun
from pytest_resilience.plugin.injection_strike import OwnFault, Parts, Strikes
from pytest_resilience.plugin.injection_told import PlanShown, register_told

RUN = "resilience-injection"
_HISTORY_FAULTS = ("lock_history", "corrupt_history")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be injected, and where.

    Attributes:
        everywhere: What the options ask for, in every test.
        by_item: What markers ask for.
        own: Faults of the user's own.
    """

    settings: Settings
    everywhere: tuple[Injection, ...]
    by_item: Mapping[pytest.Item, tuple[Injection, ...]]
    own: Mapping[tuple[str, str], OwnFault]

    def plan(self, item: pytest.Item, attempt: int) -> tuple[Injection, ...]:
        """Return what strikes an attempt of `item`."""
        known: Iterable[str] = getattr(item, "fixturenames", ())
        common = (i for i in self.everywhere if not i.point.fixture or i.point.fixture in known)
        settings = self.settings
        return planned(
            settings.inject_seed,
            name_of(item),
            attempt,
            (*self.by_item.get(item, ()), *common),
            settings.inject_rate,
        )

    @property
    def all(self) -> tuple[Injection, ...]:
        """Everything that is asked for by name."""
        return (*self.everywhere, *(i for several in self.by_item.values() for i in several))


def check(settings: Settings) -> None:
    """Check how ``--inject-failure`` is written.

    Raises:
        UsageError: It is written in a wrong way.
    """
    try:
        _everywhere(settings)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


def begin(session: pytest.Session, settings: Settings) -> None:
    """All items are known: get ready to inject, or show the plan.

    Raises:
        UsageError: What is asked for cannot be injected.
    """
    config = session.config
    try:
        asked = _asked(session, settings)
    except ConfigurationError as error:
        _refuse(session, str(error))
        return
    if config.getoption("collectonly", False):
        config.pluginmanager.register(PlanShown(session.items, asked), "resilience-plan")
    else:
        _register(config, asked)


def injector_of(request: pytest.FixtureRequest, settings: Settings) -> ItemInjector:
    """Return the injector of a test that breaks its browser itself."""
    config = request.config
    run = config.pluginmanager.get_plugin(RUN)
    if run is None:
        run = _register(config, Asked(settings, (), {}, _own_faults(config)))
    return ItemInjector(run, request.node)


def name_of(item: pytest.Item) -> str:
    """Return the node id of `item`, the same with any number of workers."""
    grouped = getattr(item.config.option, "loadgroup", False)
    if grouped and item.get_closest_marker("xdist_group") is not None:
        # xdist adds the name of the group, for its own use.
        return item.nodeid.rpartition("@")[0] or item.nodeid
    return item.nodeid


class ItemInjector(BrowserFailureInjector):
    """Breaks the browser of a test, as far as the circuits of the run allow."""

    def __init__(self, run: InjectionRun, item: pytest.Item) -> None:
        parts = run.parts
        own = run.strikes.own_fault(FailureType.DATABASE_ERROR, Intensity.MODERATE)
        super().__init__(
            item,
            seed=f"{run.strikes.seed} {name_of(item)}",
            history=parts.history,
            arrange=(lambda: own(item)) if own is not None else None,
        )
        self._run = run
        self._item = item
        self.on_injected = self._heard

    def _target(self) -> Any:
        registry, session = self._run.parts.registry, self._run.in_sight(self._item)
        circuits = self._run.parts.circuits
        if session is not None and circuits is not None:
            self._breaker = next(iter(circuits.of_session(session)), None)
        return registry, session

    def _tell_circuit(self, injection: Injection) -> None:
        """The run itself tells its circuits of what fails."""

    def _heard(self, injected: InjectedFailure, session: Any) -> None:
        hit = Hit(
            injected.injection,
            struck=bool(injected) or injected.raised,
            reason=injected.reason,
            fault=injected.fault,
            browser=browser_of(session),
            platform=platform_of(session),
            applied=injected.applied,
        )
        self._run.add(hit, self.undo)


def _register(config: pytest.Config, asked: Asked) -> InjectionRun:
    manager = config.pluginmanager
    parts = _parts(config)
    strikes = Strikes(parts, asked.own, seed=asked.settings.inject_seed)
    run = InjectionRun(strikes, asked.plan, name_of)
    desk, learn = parts.desk, asked.settings.inject_learn
    if desk is not None:
        desk.injected = run.told
        desk.commands.injected = lambda item: (run.told(item), learn)
        _put(manager, strikes.observer, "resilience-injection-observer")
    else:
        parts.registry.watch()
        _put(manager, OwnRegistry(parts.registry), "resilience-injection-registry")
    _put(manager, run, RUN)
    names = {i.point.fixture for i in asked.all if i.point.fixture}
    if names:
        _put(manager, FixturePoints(run, names), "resilience-injection-fixtures")
    if not hasattr(config, "workerinput"):
        register_told(manager)
    return run


def _put(manager: pytest.PytestPluginManager, part: object, name: str) -> None:
    if manager.hasplugin(name):
        # xdist's --looponfail collects twice in a session: the last items count.
        manager.unregister(name=name)
    manager.register(part, name)


def _parts(config: pytest.Config) -> Parts:
    half = config.pluginmanager.get_plugin("resilience-running")
    if half is not None:
        return Parts(**half.injection_parts())
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return Parts(unobtrusive(), _nowhere, worker)


def _nowhere(_kind: str, _payload: object) -> None:
    """Without ``--resilience`` nothing is recorded."""


class OwnRegistry:
    """Watches the sessions of a run without ``--resilience``, and leaves nothing behind."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """End the browsers whose drivers were killed."""
        self._registry.reap_all()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Undo every patch."""
        self._registry.reap_all()
        self._registry.unwatch()


# What is asked for


def _everywhere(settings: Settings) -> tuple[Injection, ...]:
    return tuple(Injection.parse(text) for text in settings.inject_failure or ())


def _asked(session: pytest.Session, settings: Settings) -> Asked:
    everywhere, items = _everywhere(settings), session.items
    by_item = {item: found for item in items if (found := injections(item))}
    asked = Asked(settings, everywhere, by_item, _own_faults(session.config))
    for item, several in by_item.items():
        for injection in several:
            _require(injection, asked, f"{item.nodeid}: marker inject_failure")
    for injection in everywhere:
        _require(injection, asked, injection.source)
        _find_fixture(injection.point, items)
    return asked


def _require(injection: Injection, asked: Asked, source: str) -> None:
    """Check that what does not depend on the browser is there."""
    if (injection.type.value, injection.intensity.value) in asked.own:
        return
    having = {Need.BIDI, Need.WEBGL}
    if "PYTEST_XDIST_WORKER" in os.environ:
        having.add(Need.XDIST)
    try:
        injection.require(having)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error.message}") from None
    settings = asked.settings
    if injection.simulated or (settings.enabled and settings.db is not None):
        return
    if any(fault.name in _HISTORY_FAULTS for fault in injection.faults):
        raise ConfigurationError(
            f"{source}: {injection} needs a history, and this run keeps none; it is kept with "
            "--resilience, unless --no-resilience-db is given."
        )


def _find_fixture(point: Point, items: Iterable[pytest.Item]) -> None:
    names = {name for item in items for name in getattr(item, "fixturenames", ())}
    if point.fixture and names and point.fixture not in names:
        raise ConfigurationError(
            f"--inject-failure: no test has a fixture {point.fixture!r}; there are: "
            f"{', '.join(sorted(names))}.{nearest(point.fixture, sorted(names))}"
        )


def _own_faults(config: pytest.Config) -> dict[tuple[str, str], OwnFault]:
    found: dict[tuple[str, str], OwnFault] = {}
    given: list[Mapping[str, OwnFault] | None] = config.hook.pytest_resilience_faults(config=config)
    for name, fault in ((n, f) for several in given for n, f in (several or {}).items()):
        injection = Injection.parse(name, source="hook pytest_resilience_faults")
        if not callable(fault):
            raise ConfigurationError(
                f"hook pytest_resilience_faults: {name!r} is {fault!r}, which cannot be called; "
                "expected a function that takes the test and returns what undoes the fault."
            )
        found.setdefault((injection.type.value, injection.intensity.value), fault)
    return found


def _refuse(session: pytest.Session, why: str) -> None:
    """End the run before any test.

    What a worker of xdist raises here reaches nobody; a failed collection does.
    """
    if not hasattr(session.config, "workerinput"):
        raise pytest.UsageError(why)
    session.items.clear()
    report: Any = pytest.CollectReport(
        nodeid="pytest-resilience", outcome="failed", longrepr=f"ERROR: {why}", result=[]
    )
    session.config.hook.pytest_collectreport(report=report)
