"""Workers that are lost: why, what they were running, and what becomes of that.

Invariant: the item that a lost worker was running is diagnosed once, as one attempt of it, and
either run again elsewhere or failed with all that is known of the loss; what it had already
told of its end stands. Nothing here raises: what cannot be found out is left out.
"""

from __future__ import annotations

import copy
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from pytest_resilience.core.aggregation import ERROR_HOOKS
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure
from pytest_resilience.core.rule import Rule
from pytest_resilience.engine import Incident, RecoveryEngine
from pytest_resilience.plugin import observe, travel
from pytest_resilience.plugin.attributes import INJECTED
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.journeys import Journeys
from pytest_resilience.plugin.records import Records
from pytest_resilience.plugin.stream import OWN, Heard, decides

#: Seconds the status of a worker that has gone is waited for.
_STATUS_LIMIT_S = 2.0
_LOST = ("pytest_resilience.WorkerLost",)
#: Where the report tells of them.
_NOTE = "workers lost"
#: Tells a lost worker, whatever it is called; what users know better goes before.
WORKER_LOST = Rule("worker-lost", ErrorType.WORKER, types=("WorkerLost",))


class Line(Protocol):
    """What is asked of the scheduling."""

    @property
    def nodes(self) -> list[Any]:
        """The workers there are."""

    def index_of(self, nodeid: str) -> int:
        """Return where an item stands in the collection, -1 if it does not."""

    def run_again(
        self, index: int, *, avoid: Any = (), fresh: bool = False, alone: bool = False
    ) -> None:
        """Let an item run once more."""


@dataclass(slots=True)
class Loss:
    """Why a worker is gone.

    Attributes:
        how: In a few words, such as "ended by SIGKILL".
        evidence: What was seen of it.
    """

    how: str
    evidence: Evidence


_UNKNOWN = Loss("nobody knows why", Evidence())


class Losses:
    """Takes care of what lost workers were doing.

    Args:
        reap: Ends what a lost worker has left; returns of how many browser sessions.
        stopping: Returns whether the session is ending, so that nothing is to be run again.
    """

    def __init__(
        self,
        config: pytest.Config,
        engine: RecoveryEngine,
        journeys: Journeys,
        records: Records,
        faults: FaultReporter,
        *,
        reap: Callable[[Any], int],
        stopping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._engine = engine
        self._journeys = journeys
        self._records = records
        self._faults = faults
        self._reap = reap
        self._stopping = stopping
        #: The scheduling that runs items again, None if xdist is left to itself.
        self.line: Line | None = None
        #: How many workers were lost.
        self.count = 0
        #: Called when one was killed for lack of memory.
        self.on_oom: Callable[[], object] = _nobody_counts
        self._losses: dict[Any, Loss] = {}
        self._oom_kills: dict[str, int] = {}
        self._surroundings: Any = None

    def pytest_sessionstart(self) -> None:
        """Take note of what was killed for lack of memory before."""
        from pytest_resilience.browser.host import Host

        self._oom_kills = Host().oom_kills(None)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker is gone; find out why if it has not ended by itself."""
        if not error or error == "keyboard-interrupt":
            return
        self.count += 1
        try:
            self._losses[node] = loss = self._look_into(node)
            notes, worker = self._faults.notes, node.gateway.id
            told = f"{worker}: {loss.how}"
            notes[_NOTE] = f"{notes[_NOTE]}; {told}" if _NOTE in notes else told
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._faults(fault)
        try:
            self._reap(node)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._faults(fault)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> bool | None:
        """Decide what becomes of the item that a lost worker was running."""
        try:
            return self._handle(crashitem, report)
        except Exception as fault:  # noqa: BLE001 - the report stays what xdist made it
            self._faults(fault)
            return None

    # What happened

    def _look_into(self, node: Any) -> Loss:
        status, seen = _ended(node), []
        how = _status_text(status)
        if status == -signal.SIGKILL and (oom := self._oom_trace(node)):
            how = f"{how}, for lack of memory ({oom})"
            self.on_oom()
            seen.append(ProbeResult("oom", "killed", oom))
        return Loss(how, Evidence([ProbeResult("worker_process", "gone", how), *seen]))

    def _oom_trace(self, node: Any) -> str:
        from pytest_resilience.browser.host import Host

        before, self._oom_kills = self._oom_kills, Host().oom_kills(None)
        told = Host().shortages(family=[_pid(node)], oom_kills=before)
        return "; ".join(line for line in told if "killed" in line)

    # What becomes of it

    def _handle(self, nodeid: str, report: Any) -> bool | None:
        worker = report.worker_id = report.node.gateway.id
        index = self.line.index_of(nodeid) if self.line is not None else -1
        report.item_index = index
        report.location, report.start = self._journeys.begun(nodeid)
        report.stop = time.time()
        report.duration = report.stop - report.start
        setattr(report, OWN, True)
        heard = self._journeys.attempts_of(nodeid, worker)
        if any(map(decides, heard.reports)):
            _become_teardown(report)
            self._note_end(heard, report)
            return True
        incident = self._judge(nodeid, index, report, heard)
        if index in self._journeys.foreign:
            return None
        if self._surroundings.fresh is None:
            self._fail(report, incident, heard)
        else:
            self._send_on(index, report, incident, heard)
        return True

    def _judge(self, nodeid: str, index: int, report: Any, heard: Heard) -> Incident:
        """Diagnose the loss as an attempt of the item, and write that on `report`."""
        worker, loss = report.worker_id, self._losses.get(report.node, _UNKNOWN)
        command = self._records.command(worker, nodeid)
        last = f"; the last command known of is {command}" if command else ""
        message = f"worker {worker!r} was lost ({loss.how}) while running {nodeid}{last}"
        number, history = len(heard.attempts) + 1, self._journeys.history(index)
        self._surroundings = _Surroundings(others=self.line is not None and bool(self.line.nodes))
        incident = self._engine.diagnose(
            Failure(
                nodeid,
                "call",
                (ExceptionFact(_LOST, message),),
                attempt=number,
                command=command,
                worker=worker,
                injected=self._records.injected(worker, nodeid, number),
            ),
            loss.evidence,
            self._journeys.policy(index),
            history,
            hopeless=self._hopeless(index, heard),
            environment=self._surroundings,
        )
        ERROR_HOOKS.call(incident.report)
        report.longrepr = message
        attempt = observe.failed_attempt(number, report, incident, worker)
        attempt.phase = "call"
        if incident.decision.retry:
            self._engine.recover(incident, self._surroundings)
        if self._surroundings.fresh is not None and incident.strategy is not None:
            attempt.strategy, attempt.level = incident.strategy.name, int(incident.strategy.level)
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        if incident.report.injected:
            setattr(report, INJECTED, incident.report.injected)
        return incident

    def _hopeless(self, index: int, heard: Heard) -> str:
        """Return why the item cannot be run again, "" if it can."""
        if index in self._journeys.foreign:
            return "another plugin decides whether it is run again"
        if self.line is None or index < 0:
            return "this way of distributing tests is left to xdist, which runs none again"
        if self._stopping():
            return "the session was being stopped"
        if travel.hops(heard.attempts) >= travel.HOPS:
            lost = 1 + sum(a.error_type == ErrorType.WORKER.label for a in heard.attempts)
            return f"{lost} workers were lost while they ran it"
        return ""

    def _send_on(self, index: int, report: Any, incident: Incident, heard: Heard) -> None:
        """Have the item run again, and let its report say so."""
        if self.line is not None:
            fresh = bool(self._surroundings.fresh)
            # One that has cost two workers costs no other test its worker.
            self.line.run_again(index, avoid=(report.worker_id,), fresh=fresh, alone=fresh)
        report.outcome, report.when, report.rerun = "rerun", "call", len(heard.attempts)
        self._journeys.leaves(index, report)

    def _fail(self, report: Any, incident: Incident, heard: Heard) -> None:
        """Publish the failure, and let xdist publish the teardown that others wait for."""
        if heard.attempts:
            report.rerun = len(heard.attempts)
        report.longrepr = f"{report.longrepr}\n{incident.decision.reason}"
        failure = copy.copy(report)
        failure.when = "call"
        self._config.hook.pytest_runtest_logreport(report=failure)
        _become_teardown(report)

    def _note_end(self, heard: Heard, report: Any) -> None:
        """The item had told how it ended, and its worker was lost in its teardown."""
        how = self._losses.get(report.node, _UNKNOWN).how
        told = f"worker {report.worker_id!r} was lost ({how}) in the teardown"
        report.sections.append(("Teardown", told))
        if heard.reports[-1].outcome == "passed":
            attempt = Attempt(
                worker=report.worker_id,
                error_type=ErrorType.WORKER.label,
                infrastructure=True,
                severity="low",
                message=told,
                rule=WORKER_LOST.name,
                confidence=1.0,
                reason="the test had passed; its teardown lost the environment",
            )
            setattr(report, observe.ATTEMPT, attempt.to_dict())


class _Surroundings:
    """What the choice between the two changes of workers asks; see `core.ports.Environment`.

    Args:
        others: Whether there are other workers.
    """

    def __init__(self, *, others: bool) -> None:
        self._others = others
        #: Whether a fresh worker was chosen, None if none was.
        self.fresh: bool | None = None

    def may_change_worker(self, *, fresh: bool) -> bool:
        """See `core.ports.Environment`."""
        return fresh or self._others

    def change_worker(self, *, fresh: bool) -> bool:
        """See `core.ports.Environment`."""
        self.fresh = fresh
        return True


def _become_teardown(report: Any) -> None:
    report.when, report.outcome, report.longrepr = "teardown", "passed", None
    report.start, report.duration = report.stop, 0.0
    for name in (observe.ATTEMPT, INJECTED, "rerun"):
        if hasattr(report, name):
            delattr(report, name)


def _nobody_counts() -> None:
    """Where the number of browsers is not limited, nobody counts what memory ran short for."""


def _ended(node: Any) -> int | None:
    """Return the exit status of a worker, negative for a signal; None if it cannot be known."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if process is None or not getattr(node.gateway.spec, "popen", False):
        return None
    try:
        return int(process.wait(_STATUS_LIMIT_S))
    except subprocess.TimeoutExpired:
        # Its line is cut, but it lives: it must not go on running what others will run.
        process.kill()
        process.wait()
        return None


def _pid(node: Any) -> int:
    return int(getattr(getattr(getattr(node.gateway, "_io", None), "popen", None), "pid", 0))


def _status_text(status: int | None) -> str:
    if status is None:
        return "its connection was cut"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
