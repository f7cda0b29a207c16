"""The composition root: what an enabled session is made of.

Invariant: every part is created here, once, with what it needs passed in; in a worker
the recording half alone, in the controller the reporting half alone, without xdist both.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from typing import Any

import pytest

from pytest_resilience.browser.meter import SystemMeter
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core.aggregation import ERROR_HOOKS, ErrorLog
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import BUILTIN_RULES, Rule
from pytest_resilience.core.deferral import Defer
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import RecoveryEngine
from pytest_resilience.exceptions import MarkerError
from pytest_resilience.plugin import checkpoints, controller, limits, resume, sharing, wards
from pytest_resilience.plugin.attempts import AttemptLoop
from pytest_resilience.plugin.breakers import Alerts, CircuitLog, gate_of, registry_of
from pytest_resilience.plugin.companion import (
    Companion,
    ForkedParts,
    is_foreign,
    is_forked,
    notices,
)
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.desk import FailureDesk
from pytest_resilience.plugin.environment import BrowserEnvironment
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.fixtures import FixtureKeeper
from pytest_resilience.plugin.gate import Gate
from pytest_resilience.plugin.handle import SHELF
from pytest_resilience.plugin.ledger import Ledger
from pytest_resilience.plugin.markers import Policies
from pytest_resilience.plugin.memory import remembering
from pytest_resilience.plugin.mending import CommandRetries
from pytest_resilience.plugin.observe import Recorder
from pytest_resilience.plugin.session import SessionReport
from pytest_resilience.plugin.sink import HookedSink, SystemClock
from pytest_resilience.plugin.station import Station
from pytest_resilience.plugin.stream import ReportStream
from pytest_resilience.plugin.subtests import SubtestWatch
from pytest_resilience.plugin.termination import Termination
from pytest_resilience.plugin.timeouts import TestTimeouts
from pytest_resilience.plugin.toolbox import all_strategies
from pytest_resilience.plugin.tuning import tuned
from pytest_resilience.plugin.worker import (
    NOTICES,
    REFUSAL,
    SESSION,
    WARNINGS,
    SpoolCloser,
    WorkerInput,
)
from pytest_resilience.store.spool import Spool, prepare


def switch_on(config: pytest.Config, settings: Settings) -> None:
    """Compose the session and register its parts."""
    faults = FaultReporter(config)
    builtin = (*builtin_strategies(SystemClock(), random.Random()), Defer())
    # Also where no test runs: what a worker refuses is told late.
    strategies = all_strategies(config, builtin, faults)
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    settings, tuning = tuned(settings, worker_input, faults)
    if worker_input is not None:
        session_id = worker_input[SESSION]
        worker = worker_input["workerid"]
    else:
        session_id, worker = uuid.uuid4().hex, "main"
    resumed = resume.look_back(config, settings, faults) if worker_input is None else None
    run = resumed.entry.run if resumed is not None else session_id
    spool = _spool(settings, session_id, worker)
    sink = HookedSink(spool, config, faults)
    controls = worker_input is None and _distributes(config)
    shelf = checkpoints.set_up(config, settings.db, run, faults.warn, worker, controls)
    register = config.pluginmanager.register
    register(faults, "resilience-faults")
    if tuning is not None:
        tuning.sink = sink
        register(tuning, "resilience-tuning")
    if worker_input is None:
        report = SessionReport(config, settings, session_id, spool, sink, faults)
        recorder = Recorder(
            None if controls else sink, report.add, report.superseded, report.name_statuses
        )
        register(report, "resilience-report")
        keeper = checkpoints.Keeper(shelf, settings.db, run, sink, recorder.results)
        register(keeper, "resilience-checkpoints")
        register(wards.Signature(config, session_id), "resilience-signature")
    else:
        # Where the controller cannot read what is written here, it writes verdicts down itself.
        listening = HookedSink(None, config, faults) if shelf.apart else sink
        recorder = Recorder(listening, _nothing, _nothing)
        register(SpoolCloser(spool), "resilience-spool")
        register(resume.WorkerChoice(config, REFUSAL), "resilience-choice")
    if controls:
        register(Termination(None), "resilience-termination")
        rules = _rules(config, faults)
        controller.register(
            config, settings, session_id, spool, sink, recorder, faults, rules, keeper
        )
        register(WorkerInput(session_id, faults), "resilience-worker-input")
        shared = sharing.SharedCircuits(settings, session_id, faults)
        report.circuits = shared.told
        register(shared, "resilience-shared-circuits")
        limits.share(config, settings, report, sink)
    else:
        clock, alerts = SystemClock(), Alerts(config, faults)
        cells = sharing.cells_of(config, session_id)
        make_cell = cells.cell if cells is not None else None
        registry = registry_of(settings, alerts, make_cell, sharing.clock_of(cells))
        if cells is not None:
            register(sharing.WorkerCells(cells), "resilience-cells")
        if worker_input is None and settings.max_browsers is not None:
            limits.share(config, settings, report, sink)
        begun = sharing.begun(worker_input)
        log = CircuitLog(registry, sink, clock, worker=worker, begun=begun)
        if worker_input is None:
            report.circuits = log.told
        half = _running_half(config, settings, sink, recorder, faults, worker, strategies, log)
        register(half, "resilience-running")
        leave = half.pytest_unconfigure if worker_input is not None else None
        register(Termination(leave), "resilience-termination")
        if worker_input is None:
            register(Ledger(config, recorder.results, faults, settle=recorder), "resilience-ledger")
    if worker_input is None:
        # After the ledger, which settles what ran before it is told what did not.
        task = resume.Task(
            config, settings.db, session_id, report, recorder.results, faults, resumed, controls
        )
        keeper.unfinished = task.unfinished
        register(task, "resilience-task")


def _nothing(_event: object) -> None:
    """A worker records; its controller reports."""


def _distributes(config: pytest.Config) -> bool:
    """Return whether this process is an xdist controller."""
    loaded = config.pluginmanager.hasplugin
    xdist = loaded("xdist") or loaded("xdist.plugin")
    return loaded("dsession") or (xdist and config.getoption("dist", "no") != "no")


def _spool(settings: Settings, session_id: str, worker: str) -> Spool | None:
    if settings.db is None:
        return None
    # A folder that cannot be made is told of when the first record is lost to it.
    with contextlib.suppress(OSError):
        prepare(settings.db.parent)
    folder = settings.db.parent / "spool"
    return Spool(folder, session_id=session_id, worker=worker, now_us=SystemClock.now_us)


def _running_half(
    config: pytest.Config,
    settings: Settings,
    sink: HookedSink,
    recorder: Recorder,
    faults: FaultReporter,
    worker: str,
    strategies: tuple[RecoveryStrategy, ...],
    log: CircuitLog,
) -> RunningHalf:
    keeper = FixtureKeeper()
    registry = SessionRegistry(hang_timeout_s=settings.hang_timeout or None)
    deferrals = Deferrals(owns_order=worker == "main")
    environment = BrowserEnvironment(
        registry,
        keeper,
        deferrals,
        reset=lambda: config.hook.pytest_resilience_reset_environment(config=config),
    )
    registry.on_created = environment.adopt
    registry.guard.on_resent = commands = CommandRetries(
        sink, SystemClock(), guard=faults, worker=worker
    )
    if settings.endpoints:
        from pytest_resilience.browser.endpoints import Endpoints

        registry.guard.endpoints = Endpoints(settings.endpoints)
    config.pluginmanager.register(deferrals, "resilience-deferrals")
    gate = gate_of(
        config, settings, registry, keeper, deferrals, log, SystemClock(), shared=worker != "main"
    )
    engine = RecoveryEngine(
        settings,
        clock=SystemClock(),
        chance=random.Random(),
        sink=sink,
        new_id=lambda: uuid.uuid4().hex,
        rules=_rules(config, faults),
        errors=ErrorLog(ERROR_HOOKS),
        strategies=strategies,
        meter=SystemMeter(config.rootpath),
        memory=remembering(settings.db, settings.timeout_rule),
        passed=lambda: recorder.passes,
    )
    log.agreement = engine.chooser.agreement
    if worker != "main":
        environment.station = Station.of(config, deferrals, strategies, faults)
        if environment.station is not None:
            environment.station.carry(config.stash[SHELF])
    wards.attend(config, registry)
    desk = FailureDesk(
        engine, keeper, environment, commands, gate.circuits, guard=faults, worker=worker
    )
    limits.attend(config, settings, environment, commands, sink, faults, worker)
    known = tuple(strategy.name for strategy in strategies)
    return RunningHalf(
        config, settings, registry, keeper, deferrals, gate, desk, sink, recorder, faults, log,
        worker, known, environment.station,
    )  # fmt: skip


def _rules(config: pytest.Config, faults: FaultReporter) -> tuple[Rule, ...]:
    try:
        given = config.hook.pytest_resilience_classify(config=config)
    except Exception as fault:  # noqa: BLE001 - rules of others must not stop the run
        faults(fault)
        given = []
    return (*(rule for rules in given for rule in rules or ()), *BUILTIN_RULES)


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
