"""The half of an xdist controller: what it tells workers, and what it sees to when they are lost.

Invariant: all parts are made and registered here; where xdist is not as we know it, it is left
to itself, and the user is told what that means.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core.builtin import worker_changes
from pytest_resilience.core.classifier import Rule
from pytest_resilience.core.throttle import Throttle
from pytest_resilience.engine import RecoveryEngine
from pytest_resilience.plugin import station
from pytest_resilience.plugin.checkpoints import Keeper
from pytest_resilience.plugin.each import EachInOrder, can_be_kept
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.journeys import Journeys
from pytest_resilience.plugin.ledger import Ledger
from pytest_resilience.plugin.losses import WORKER_LOST, Losses
from pytest_resilience.plugin.observe import Recorder
from pytest_resilience.plugin.records import Records
from pytest_resilience.plugin.scheduling import ResilientScheduling
from pytest_resilience.plugin.sink import HookedSink, SystemClock
from pytest_resilience.plugin.stream import ReportStream
from pytest_resilience.plugin.wards import Wardens
from pytest_resilience.plugin.worker import LOST
from pytest_resilience.store.spool import Spool

#: What of xdist's session is used besides its hooks.
_SESSION_PARTS = ("_active_nodes", "_clone_node", "report_line", "shuttingdown")
_EACH = "each"


class XdistSession:
    """xdist's session, as far as it has no protocol for what is needed; see `scheduling.Session`.

    Args:
        manager: Where it is registered, which may be later than this is made.
    """

    def __init__(self, manager: pytest.PytestPluginManager) -> None:
        self._manager = manager
        self._started = 0

    @property
    def _session(self) -> Any:
        return self._manager.get_plugin("dsession")

    @property
    def stopping(self) -> bool:
        """See `scheduling.Session`."""
        return bool(getattr(self._session, "shouldstop", False))

    def coming(self, nodes: Sequence[Any]) -> bool:
        """See `scheduling.Session`."""
        return any(node not in nodes for node in self._session._active_nodes)

    def go_on(self) -> None:
        """See `scheduling.Session`."""
        self._session.shuttingdown = False

    def start_like(self, node: Any) -> bool:
        """See `scheduling.Session`; no more than as many as there were to begin with."""
        session = self._session
        most = getattr(session, "_max_worker_restart", None)
        failed = getattr(session, "_failed_nodes_count", 0)
        if self._started >= node.workerinput["workercount"]:
            return False
        if most is not None and failed + self._started >= most:
            return False
        self._started += 1
        session.report_line(f"\nstarting another worker beside {node.gateway.id}")
        session._clone_node(node)
        return True

    def lacks(self) -> str:
        """Return what of xdist is not as we know it, "" if all is."""
        interactor = importlib.import_module("xdist.remote").WorkerInteractor
        parts = [name for name in _SESSION_PARTS if not hasattr(self._session, name)]
        parts += [name for name in station.PARTS if not hasattr(interactor, name)]
        return ", ".join(parts)


class Scheduler:
    """Puts our scheduling around the one that xdist, or another plugin, makes."""

    def __init__(
        self, session: XdistSession, journeys: Journeys, losses: Losses, faults: FaultReporter
    ) -> None:
        self._session = session
        self._journeys = journeys
        self._losses = losses
        self._faults = faults
        self._scheduling: ResilientScheduling | None = None

    @property
    def aborted(self) -> str:
        """Why xdist has not begun to run anything, "" if it has."""
        scheduling = self._scheduling
        different = scheduling is not None and scheduling.aborted
        return "the workers have collected different tests" if different else ""

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Wrap the scheduler; where every worker runs every test, only to keep it in order."""
        inner = yield
        if inner is None:
            return inner
        if config.getoption("dist", "no") == _EACH:
            return EachInOrder(inner) if can_be_kept(inner) else inner
        lacking = self._session.lacks()
        if lacking:
            self._faults.warn(
                f"this version of pytest-xdist has no {lacking}: "
                "what a lost worker was running is not run again"
            )
            return inner
        scheduling = ResilientScheduling(inner, self._session, self._journeys)
        self._scheduling = self._losses.line = scheduling
        return scheduling


class WorkerWords:
    """Hears what workers say when they end, and counts what they could not write down."""

    def __init__(
        self,
        records: Records,
        spool: Spool | None,
        ledger: Ledger,
        own: Recorder,
        faults: FaultReporter,
    ) -> None:
        self._own = own
        self._faults = faults
        self._records = records
        self._spool = spool
        self._ledger = ledger
        self._told: dict[str, int] = {}
        #: Whether a worker has ended without a word.
        self._silent = False
        self._workers = 0
        self._collected = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Note how many workers there are to begin with."""
        self._workers = len(specs)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Expect a verdict of each item that was collected, by the first that is ready."""
        if self._collected:
            return
        self._collected = True
        each = node.config.getoption("dist", "no") == _EACH
        self._ledger.expect(ids, self._workers if each else 1)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear of records that a worker has lost."""
        output = getattr(node, "workeroutput", {})
        self._told[node.gateway.id] = output.get(LOST, 0)
        self._silent = self._silent or not output

    def count(self) -> None:
        """All workers have ended: let what they lost be told with what was lost here."""
        if self._spool is None:
            return
        missing = self._records.lost()
        lost = {worker: max(missing.get(worker, 0), n) for worker, n in self._told.items()}
        named = [worker for worker, count in lost.items() if count]
        if named:
            self._spool.lost += sum(lost.values())
            self._spool.error = self._spool.error or f"written by {', '.join(named)}, not found"
        if named or self._silent:
            self._make_good()

    def _make_good(self) -> None:
        """Write down the verdicts that were reported here, and not written down where they fell."""
        written = self._records.results()
        missing = [
            result
            for result in self._own.results
            if result.worker in self._told and (result.worker, result.nodeid) not in written
        ]
        for result in missing:
            self._own.record(result)
        if missing:
            workers = ", ".join(sorted({result.worker for result in missing}))
            told = f"{len(missing)} verdicts of {workers} were not written down there"
            self._faults.notes["taken from reports"] = told


class OneEntryEach:
    """Keeps JUnit's report to one entry for each test, whichever workers it ran on."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Drop what JUnit's report has begun for attempts on workers that the test then left."""
        for plugin in session.config.pluginmanager.get_plugins():
            entries = getattr(plugin, "node_reporters_ordered", None)
            if type(plugin).__name__ == "LogXML" and isinstance(entries, list):
                # Those that are complete have no attributes any more.
                entries[:] = [e for e in entries if getattr(e, "attrs", True)]


def register(
    config: pytest.Config,
    settings: Settings,
    session_id: str,
    spool: Spool | None,
    sink: HookedSink,
    recorder: Recorder,
    faults: FaultReporter,
    rules: Sequence[Rule],
    checkpoints: Keeper,
    throttle: Throttle,
) -> None:
    """Make and register what a controller needs.

    Args:
        recorder: Takes in what workers have recorded.
        rules: The user's rules, and the built-in ones.
        checkpoints: What tests have saved.
        throttle: What stops recoveries, on all workers.
    """
    manager = config.pluginmanager
    own = recorder.recording(sink)
    each = config.getoption("dist", "no") == _EACH
    elsewhere = checkpoints.elsewhere if spool is not None else frozenset()
    scribe = recorder.recording(spool) if spool is not None else None
    stream = ReportStream(recorder, own=own, per_worker=each, elsewhere=elsewhere, scribe=scribe)
    folder = settings.db.parent / "spool" if settings.db is not None else None
    records = Records(folder, session_id, elsewhere)
    engine = RecoveryEngine(
        settings,
        clock=SystemClock(),
        sink=sink,
        new_id=lambda: uuid.uuid4().hex,
        rules=(WORKER_LOST, *rules),
        strategies=worker_changes(),
        passed=lambda: recorder.passes,
        throttle=throttle,
    )
    usual = ItemPolicy.of(settings)
    journeys = Journeys(config, own, stream, engine, records, faults, usual)
    stream.on_rerun, stream.on_result = journeys.reran, journeys.result
    journeys.checkpoints = checkpoints
    xdist, wardens = XdistSession(manager), Wardens(session_id)
    losses = Losses(
        config,
        engine,
        journeys,
        records,
        faults,
        reap=wardens.reap,
        stopping=lambda: xdist.stopping,
    )
    scheduler = Scheduler(xdist, journeys, losses, faults)
    ledger = Ledger(config, recorder.results, faults)
    words = WorkerWords(records, spool, ledger, own, faults)

    def closing() -> None:
        journeys.close()
        words.count()

    def why_lost() -> str:
        if losses.count:
            return f"{losses.count} workers were lost, and none was left to run it"
        return ""

    ledger.closing, ledger.why_lost = closing, why_lost
    ledger.aborted = lambda: scheduler.aborted
    parts = {
        "stream": stream,
        "journeys": journeys,
        "losses": losses,
        "scheduler": scheduler,
        "wardens": wardens,
        "worker-words": words,
        "one-entry-each": OneEntryEach(),
        "ledger": ledger,
    }
    for name, part in parts.items():
        manager.register(part, f"resilience-{name}")
