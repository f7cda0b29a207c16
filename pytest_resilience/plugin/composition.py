"""The composition root: what an enabled session is made of.

Invariant: every part is created here, once, with what it needs passed in; in a worker
the recording half alone, in the controller the reporting half alone, without xdist both.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from typing import Any, NamedTuple

import pytest

from pytest_resilience.browser.meter import SystemMeter
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.config import Settings
from pytest_resilience.core.aggregation import ERROR_HOOKS, ErrorLog
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import BUILTIN_RULES, Rule
from pytest_resilience.core.deferral import Defer
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import RecoveryEngine
from pytest_resilience.plugin import checkpoints, limits, resume, sharing, wards
from pytest_resilience.plugin.breakers import Alerts, CircuitLog, gate_of, registry_of
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.desk import FailureDesk
from pytest_resilience.plugin.distribution import distributes
from pytest_resilience.plugin.environment import BrowserEnvironment
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.fixtures import FixtureKeeper
from pytest_resilience.plugin.handle import SHELF
from pytest_resilience.plugin.ledger import Ledger
from pytest_resilience.plugin.memory import remembering
from pytest_resilience.plugin.mending import CommandRetries
from pytest_resilience.plugin.observe import Recorder
from pytest_resilience.plugin.running import RunningHalf
from pytest_resilience.plugin.session import SessionReport
from pytest_resilience.plugin.sink import HookedSink, SystemClock
from pytest_resilience.plugin.station import Station
from pytest_resilience.plugin.termination import Termination
from pytest_resilience.plugin.toolbox import all_strategies
from pytest_resilience.plugin.tuning import tuned
from pytest_resilience.plugin.worker import (
    REFUSAL,
    SESSION,
    SpoolCloser,
    WorkerInput,
    workers_of,
)
from pytest_resilience.store.spool import Spool, prepare


class _Base(NamedTuple):
    """What the parts of every process of a session are made of.

    Attributes:
        worker: Name of this process: that of a worker of xdist, ``main`` for any other.
        input: What the controller of a worker has told it, None where there is no controller.
        controls: Whether the tests run in other processes, and none in this one.
    """

    config: pytest.Config
    settings: Settings
    faults: FaultReporter
    session_id: str
    worker: str
    input: dict[str, Any] | None
    controls: bool
    spool: Spool | None
    sink: HookedSink

    def register(self, part: object, name: str) -> None:
        """Let pytest call the hooks of `part`."""
        self.config.pluginmanager.register(part, name)


class _Reporting(NamedTuple):
    """What tells people of the session; a worker has none of it."""

    report: SessionReport
    recorder: Recorder
    keeper: checkpoints.Keeper


def switch_on(config: pytest.Config, settings: Settings) -> None:
    """Compose the session and register its parts."""
    faults = FaultReporter(config)
    builtin = (*builtin_strategies(SystemClock(), random.Random()), Defer())
    # Also where no test runs: what a worker refuses is told late.
    strategies = all_strategies(config, builtin, faults)
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    settings, tuning = tuned(settings, given, faults)
    resumed = resume.look_back(config, settings, faults) if given is None else None
    base = _base(config, settings, faults, given)
    run = resumed.entry.run if resumed is not None else base.session_id
    shelf = checkpoints.set_up(config, settings.db, run, faults.warn, base.worker, base.controls)
    base.register(faults, "resilience-faults")
    if tuning is not None:
        tuning.sink = base.sink
        base.register(tuning, "resilience-tuning")
    if given is not None:
        _run(base, _worker_recorder(base, shelf), strategies)
        return
    reporting = _report(base, shelf, run)
    if base.controls:
        _control(base, reporting)
    else:
        _run(base, reporting.recorder, strategies, reporting.report)
        _settle(base, reporting)
    _set_out(base, reporting, resumed)


def _base(
    config: pytest.Config, settings: Settings, faults: FaultReporter, given: dict[str, Any] | None
) -> _Base:
    session_id = uuid.uuid4().hex if given is None else given[SESSION]
    worker = "main" if given is None else given["workerid"]
    spool = _spool(settings, session_id, worker)
    sink = HookedSink(spool, config, faults)
    controls = given is None and distributes(config)
    return _Base(config, settings, faults, session_id, worker, given, controls, spool, sink)


def _report(base: _Base, shelf: checkpoints.Shelf, run: str) -> _Reporting:
    """Report and record, where no controller does."""
    config, settings, faults = base.config, base.settings, base.faults
    report = SessionReport(config, settings, base.session_id, base.spool, base.sink, faults)
    recorder = Recorder(
        None if base.controls else base.sink, report.add, report.superseded, report.name_statuses
    )
    base.register(report, "resilience-report")
    keeper = checkpoints.Keeper(shelf, settings.db, run, base.sink, recorder.results)
    base.register(keeper, "resilience-checkpoints")
    base.register(wards.Signature(config, base.session_id), "resilience-signature")
    return _Reporting(report, recorder, keeper)


def _worker_recorder(base: _Base, shelf: checkpoints.Shelf) -> Recorder:
    """Record in a worker, whose controller reports."""
    # Where the controller cannot read what is written here, it writes verdicts down itself.
    listening = HookedSink(None, base.config, base.faults) if shelf.apart else base.sink
    base.register(SpoolCloser(base.spool), "resilience-spool")
    base.register(resume.WorkerChoice(base.config, REFUSAL), "resilience-choice")
    return Recorder(listening, None, _nothing)


def _control(base: _Base, reporting: _Reporting) -> None:
    """Look after workers, and run no test."""
    # Half of what there is of workers, and of no use to a process that runs tests.
    from pytest_resilience.plugin import controller

    config, settings, faults, sink = base.config, base.settings, base.faults, base.sink
    base.register(Termination(None), "resilience-termination")
    rules = _rules(config, faults)
    shared = sharing.SharedCircuits(settings, base.session_id, faults)
    throttle = sharing.throttle_of(shared.cells, workers_of(config))
    controller.register(
        config, settings, base.session_id, base.spool, sink, reporting.recorder, faults, rules,
        reporting.keeper, throttle,
    )  # fmt: skip
    base.register(WorkerInput(base.session_id, faults), "resilience-worker-input")
    reporting.report.circuits = shared.told
    base.register(shared, "resilience-shared-circuits")
    limits.share(config, settings, reporting.report, sink)


def _run(
    base: _Base,
    recorder: Recorder,
    strategies: tuple[RecoveryStrategy, ...],
    report: SessionReport | None = None,
) -> None:
    """Run tests in this process; without a `report` it is a worker."""
    config, settings, faults, sink = base.config, base.settings, base.faults, base.sink
    cells = sharing.cells_of(config, base.session_id)
    registry = registry_of(
        settings,
        Alerts(config, faults),
        cells.cell if cells is not None and settings.circuit_breaker else None,
        sharing.clock_of(cells),
    )
    if cells is not None:
        base.register(sharing.WorkerCells(cells), "resilience-cells")
    if report is not None and settings.max_browsers is not None:
        limits.share(config, settings, report, sink)
    begun = sharing.begun(base.input)
    log = CircuitLog(registry, sink, SystemClock(), worker=base.worker, begun=begun)
    if report is not None:
        report.circuits = log.told
    half = _running_half(
        config, settings, sink, recorder, faults, base.worker, strategies, log, cells
    )
    base.register(half, "resilience-running")
    leave = half.pytest_unconfigure if report is None else None
    base.register(Termination(leave), "resilience-termination")


def _settle(base: _Base, reporting: _Reporting) -> None:
    """See to it that every test has a verdict, where no controller does."""
    recorder = reporting.recorder
    ledger = Ledger(base.config, recorder.results, base.faults, settle=recorder)
    base.register(ledger, "resilience-ledger")


def _set_out(base: _Base, reporting: _Reporting, resumed: resume.Resumed | None) -> None:
    """Write down what is to be done, so that another run can go on with it."""
    # After the ledger, which settles what ran before it is told what did not.
    task = resume.Task(
        base.config, base.settings.db, base.session_id, reporting.report,
        reporting.recorder.results, base.faults, resumed, base.controls,
    )  # fmt: skip
    reporting.keeper.unfinished = task.unfinished
    base.register(task, "resilience-task")


def _nothing(_event: object) -> None:
    """A worker records; its controller reports."""


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
    cells: sharing.Cells | None,
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
        config, settings, registry, keeper, deferrals, log, SystemClock(),
        shared=worker != "main", book=sharing.book_of(cells, worker),
    )  # fmt: skip
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
        # Of all workers, the controller counts them.
        passed=int if cells is not None else lambda: recorder.passes,
        throttle=sharing.throttle_of(cells, workers_of(config)),
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
