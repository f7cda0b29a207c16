"""The half of a session that runs tests: its parts begin when the items are known.

Invariant: nothing of it is in a process that runs no test; what it has patched is undone when
pytest ends, and no browser that was started in this process outlives it.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.exceptions import MarkerError
from pytest_resilience.plugin import sharing
from pytest_resilience.plugin.attempts import AttemptLoop
from pytest_resilience.plugin.breakers import CircuitLog
from pytest_resilience.plugin.companion import (
    Companion,
    ForkedParts,
    is_foreign,
    is_forked,
    notices,
)
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.desk import FailureDesk
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.fixtures import FixtureKeeper
from pytest_resilience.plugin.gate import Gate
from pytest_resilience.plugin.markers import Policies
from pytest_resilience.plugin.observe import Recorder
from pytest_resilience.plugin.sink import HookedSink
from pytest_resilience.plugin.station import Station
from pytest_resilience.plugin.stream import ReportStream
from pytest_resilience.plugin.subtests import SubtestWatch
from pytest_resilience.plugin.timeouts import TestTimeouts
from pytest_resilience.plugin.worker import NOTICES, REFUSAL, WARNINGS


class RunningHalf:
    """What a process that runs tests needs; its parts are registered when they are needed."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        registry: SessionRegistry,
        keeper: FixtureKeeper,
        deferrals: Deferrals,
        gate: Gate,
        desk: FailureDesk,
        sink: HookedSink,
        recorder: Recorder,
        faults: FaultReporter,
        log: CircuitLog,
        worker: str,
        strategies: tuple[str, ...],
        station: Station | None,
    ) -> None:
        self._station = station
        self._known = strategies
        self._sink = sink
        self._faults = faults
        self._recorder = recorder
        self._config = config
        self._settings = settings
        self._registry = registry
        self._keeper = keeper
        self._deferrals = deferrals
        self._gate = gate
        self._log = log
        self._desk = desk
        self._worker = worker
        registry.watch()

    def injection_parts(self) -> dict[str, Any]:
        """Return what an injector of failures needs to know of this process."""
        return {
            "registry": self._registry,
            "circuits": self._gate.circuits,
            "desk": self._desk,
            "emit": self._sink.emit,
            "warn": self._faults.warn,
            "worker": self._worker,
            "history": self._settings.db,
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Decide everything that can be decided once per item, and register the loop."""
        try:
            policies = Policies(session.items, self._settings, self._known, self._faults.warn)
        except MarkerError as error:
            self._refuse(str(error))
            return
        types = {item: p.test_type for item, p in policies.items() if p.test_type}
        self._gate.circuits.set_types(types)
        forked = {item for item in session.items if is_forked(item)}
        foreign = forked | {item for item in session.items if is_foreign(item)}
        subtests = None
        if any(_may_have_subtests(item) for item in session.items):
            subtests = SubtestWatch(self._desk)
            self._register(subtests, "resilience-subtests")
        self._register(self._keeper, "resilience-fixtures")
        self._register(
            AttemptLoop(
                self._config,
                desk=self._desk,
                keeper=self._keeper,
                policies=policies,
                foreign=foreign,
                timeouts=TestTimeouts(self._config),
                subtests=subtests,
                recorder=self._recorder,
                deferrals=self._deferrals,
                gate=self._gate,
                preflight=self._settings.preflight,
                worker=self._worker,
            ),
            "resilience-attempts",
        )
        if foreign:
            wanted = {item.nodeid for item in foreign}
            self._register(ReportStream(self._recorder, wanted), "resilience-stream")
            self._register(
                Companion(self._desk, policies, foreign, forked, self._worker),
                "resilience-companion",
            )
        if forked:
            self._register(ForkedParts(forked), "resilience-forked-parts")
        self._tell(notices(foreign, forked))
        if self._station is not None:
            usual = ItemPolicy.of(self._settings)
            self._register(self._station, "resilience-station")
            self._station.settle_in(session, policies, foreign, usual)
        self._sink.listen()

    def _register(self, part: object, name: str) -> None:
        manager = self._config.pluginmanager
        if manager.hasplugin(name):
            # xdist's --looponfail collects twice in a session: the last items count.
            manager.unregister(name=name)
        manager.register(part, name)

    def _tell(self, told: list[str]) -> None:
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[NOTICES] = told
            return
        for notice in told:
            self._faults.warn(notice)

    def _refuse(self, why: str) -> None:
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is None:
            raise pytest.UsageError(why)
        # What a worker raises here reaches nobody: its controller raises it instead.
        output[REFUSAL] = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool | None:
        """Run nothing in a worker whose items were refused."""
        return True if REFUSAL in getattr(self._config, "workeroutput", ()) else None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Leave no browser behind that this process started and nobody closed."""
        adjusted = {a: None for s in self._registry.used_since(-1) for a in s.adjustments}
        if adjusted:
            self._faults.notes["time-outs adjusted"] = "; ".join(adjusted)
        self._registry.reap_all()
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            sharing.hand_in(output, self._log.told())
            output[WARNINGS] = self._faults.messages

    def pytest_unconfigure(self) -> None:
        """Undo every patch."""
        self._registry.reap_all()
        self._registry.unwatch()


def _may_have_subtests(item: pytest.Item) -> bool:
    if "subtests" in getattr(item, "fixturenames", ()):
        return True
    cls = getattr(item, "cls", None)
    return cls is not None and hasattr(cls, "subTest")
