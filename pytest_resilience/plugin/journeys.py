"""Items on their way from worker to worker, as the controller knows them.

Invariant: an item that has left a worker gets its verdict however the session ends: if nobody
runs it again, the failure it left with is final. How a change of workers turned out is recorded
once, here, since neither of the two workers lives to see both ends of it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.builtin import worker_changes
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.engine import ItemHistory, RecoveryEngine
from pytest_resilience.plugin import travel
from pytest_resilience.plugin.checkpoints import Keeper
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.ledger import own_report
from pytest_resilience.plugin.observe import ATTEMPT, Recorder
from pytest_resilience.plugin.records import Records
from pytest_resilience.plugin.stream import OWN, Heard, ReportStream, decides

_NOBODY = "it was to be run again on another worker, and the session ended before one could"


@dataclass(slots=True)
class Journey:
    """An item that has left a worker.

    Attributes:
        report: The report of its last attempt.
        history: Its changes of workers, of which the last may still be open.
    """

    nodeid: str
    report: pytest.TestReport
    history: ItemHistory


class Journeys:
    """Knows which items are under way, and what they take along; see `scheduling.Book`.

    Args:
        usual: The policy of an item without a marker.
    """

    def __init__(
        self,
        config: pytest.Config,
        recorder: Recorder,
        stream: ReportStream,
        engine: RecoveryEngine,
        records: Records,
        faults: FaultReporter,
        usual: ItemPolicy,
    ) -> None:
        self._config = config
        self._results: Sequence[TestResult] = recorder.results
        self._recorder = recorder
        self._stream = stream
        self._engine = engine
        self._records = records
        self._faults = faults
        self._usual = usual
        #: Hears what workers say, and returns what an item takes along of its checkpoint.
        self.checkpoints: Keeper | None = None
        self._strategies = {strategy.name: strategy for strategy in worker_changes()}
        #: Where each item is defined, and when it began.
        self._begun: dict[str, tuple[Any, float]] = {}
        self._departing: dict[int, bool] = {}
        self._journeys: dict[int, Journey] = {}
        self._histories: dict[int, ItemHistory] = {}
        self._policies: dict[int, ItemPolicy] = {}
        #: Called with a worker's name and what it waits for.
        self.on_said: Callable[[str, Mapping[str, Any]], object] = _nobody_listens
        #: Items that another plugin runs again.
        self.foreign: set[int] = set()

    # What is heard

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """Note that an item has begun on some worker."""
        self._begun[nodeid] = (location, time.time())
        if self._journeys:
            for journey in self._journeys.values():
                if journey.nodeid == nodeid:
                    self._engine.underway(journey.history)

    def reran(self, report: Any) -> None:
        """Note the report of an attempt that is superseded: its item may leave its worker."""
        # Where something fails somebody decides, who may not know what passes elsewhere.
        self._engine.count_passed()
        told = getattr(report, travel.HANDOVER, None)
        index = getattr(report, "item_index", -1)
        journey = self._journeys.get(index)
        attempt = Attempt.from_dict(getattr(report, ATTEMPT, {}))
        if journey is not None and not hasattr(report, OWN):
            self._engine.settle(journey.history, survived=not attempt.infrastructure)
        if told is None:
            return
        incident = travel.incident_of(report.nodeid, attempt, self._strategies)
        policy = self._policies.get(index, self._usual)
        # The worker has told of the error; here it is needed for how it ends.
        self._engine.errors.add(incident.report)
        self.history(index).incidents.append(travel.with_record(incident, told, policy))
        self.leaves(index, report)
        self._departing[index] = bool(told["fresh"])

    def result(self, result: TestResult) -> None:
        """An item has its verdict: its last change of workers has turned out one way or other."""
        if not self._journeys:
            return
        for index, journey in list(self._journeys.items()):
            if journey.nodeid == result.nodeid:
                del self._journeys[index]
                survived = result.verdict != Verdict.UNRECOVERED.value
                self._engine.settle(journey.history, survived=survived)

    def heard(self, node: Any, message: Mapping[str, Any]) -> None:
        """See `scheduling.Book`."""
        if self.checkpoints is not None:
            self.checkpoints.heard(message)
        if "says" in message:
            self.on_said(node.gateway.id, message["says"])
        self.foreign.update(message.get("foreign", ()))
        for index, (retry, attempts, level, *names) in message.get("terms", {}).items():
            self._policies[index] = ItemPolicy(retry, attempts, level, tuple(names))

    def unfit(self, node: Any) -> None:
        """See `scheduling.Book`."""
        self._faults.warn(
            f"worker {node.gateway.id} has collected other tests than the others, and is not used"
        )

    # What is asked

    def running(self, nodeid: str) -> bool:
        """See `scheduling.Book`."""
        return nodeid in self._begun and not self._has_verdict(nodeid)

    def settled(self, nodeid: str, worker: str) -> bool:
        """See `scheduling.Book`; sees to it that the verdict is recorded, too."""
        result = self._has_verdict(nodeid)
        if result is None:
            return False
        if not self._records.has_result(worker, nodeid):
            # Its worker was lost between publishing the verdict and writing it down.
            self._recorder.record(result)
        return True

    def departs(self, index: int) -> bool | None:
        """See `scheduling.Book`."""
        return self._departing.pop(index, None) if self._departing else None

    def arrival(self, index: int) -> Mapping[str, Any] | None:
        """See `scheduling.Book`."""
        journey = self._journeys.get(index)
        if journey is None:
            return None
        attempts = self._stream.heard(journey.nodeid, "").attempts
        along = self.checkpoints.along(journey.nodeid) if self.checkpoints is not None else {}
        return {"attempts": [attempt.to_dict() for attempt in attempts], **along}

    def policy(self, index: int) -> ItemPolicy:
        """Return the policy of an item."""
        return self._policies.get(index, self._usual)

    def begun(self, nodeid: str) -> tuple[Any, float]:
        """Return the location that an item has told when it began, and when that was."""
        known = own_report(nodeid, "call", "failed")
        return self._begun.get(nodeid, (known.location, known.start))

    def attempts_of(self, nodeid: str, worker: str) -> Heard:
        """Return what was heard of an item whose worker is lost, or was written down by that."""
        heard = self._stream.heard(nodeid, worker)
        written = self._records.reruns(worker, nodeid)
        for attempt in written[len(heard.attempts) - _before(heard.attempts, worker) :]:
            heard.attempts.append(attempt)
            heard.reports.clear()
        return heard

    def history(self, index: int) -> ItemHistory:
        """Return what was tried for an item by changing workers; what is added to it counts."""
        return self._histories.setdefault(index, ItemHistory())

    def leaves(self, index: int, report: pytest.TestReport) -> None:
        """An item leaves its worker now, with `report`."""
        self._begun.pop(report.nodeid, None)
        history = self.history(index)
        self._journeys[index] = Journey(report.nodeid, copy.copy(report), history)
        self._engine.resume(history)

    # The end

    def close(self) -> None:
        """No more items are run: those that wait for a worker have failed for good."""
        for journey in list(self._journeys.values()):
            heard = self._stream.heard(journey.nodeid, "")
            # If its last attempt has ended, only the teardown was not heard of.
            if not any(map(decides, heard.reports)):
                self._publish(journey, heard.attempts)
        self._stream.close(self._records.has_result)

    def _publish(self, journey: Journey, attempts: Iterable[Attempt]) -> None:
        last = list(attempts)[-1]
        last = replace(last, strategy="", level=0, recovery_s=0.0, reason=_NOBODY)
        report: Any = journey.report
        report.outcome, report.duration = "failed", 0.0
        setattr(report, OWN, True)
        setattr(report, ATTEMPT, last.to_dict())
        down = own_report(journey.nodeid, "teardown", "passed")
        for name in ("node", "worker_id", "item_index"):
            if hasattr(report, name):
                setattr(down, name, getattr(report, name))
        for each in (report, down):
            self._config.hook.pytest_runtest_logreport(report=each)

    def _has_verdict(self, nodeid: str) -> TestResult | None:
        return next((r for r in reversed(self._results) if r.nodeid == nodeid), None)


def _nobody_listens(_worker: str, _said: Mapping[str, Any]) -> None:
    """Where nobody shows it, what a worker waits for is not shown."""


def _before(attempts: Sequence[Attempt], worker: str) -> int:
    """Return how many of `attempts` were made before their item came to `worker`."""
    return sum(attempt.worker != worker for attempt in attempts)
