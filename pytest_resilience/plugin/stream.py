"""Reports that come from elsewhere than our own loop, gathered into results.

That is every report in an xdist controller, and those of items that another plugin re-runs.

Invariant: the attempts of an item are one row, whichever workers they ran on; its teardown
report, and nothing else, settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.plugin.kept import KEPT
from pytest_resilience.plugin.observe import BLOCKED, SPECIAL, Recorder

#: Attribute of a report that this process has made itself: no other one has recorded it.
OWN = "resilience_own"
#: Attributes of reports that are more, or less, than one that a phase has passed.
_LOUD = SPECIAL | {OWN, KEPT, "context"}


@dataclass(slots=True)
class Heard:
    """What was heard of an item that has no verdict yet.

    Attributes:
        reports: The reports of its present attempt.
        attempts: Its attempts that are superseded.
        loud: Whether one of its reports says more than that a phase has passed.
    """

    reports: list[pytest.TestReport] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    loud: bool = False


class ReportStream:
    """Feeds a `Recorder` with reports.

    Args:
        recorder: For what others have made, and recorded.
        wanted: Node ids to listen to; None for all.
        own: For what this process has made; without it that is passed over.
        per_worker: Whether every worker runs every item, for a verdict of its own.
        elsewhere: Workers whose verdicts nobody has written down where this process can read it.
        scribe: Writes down theirs.

    Attributes:
        on_rerun: Called with every report of a superseded attempt, after it was taken in.
        on_result: Called with every result.
    """

    def __init__(
        self,
        recorder: Recorder,
        wanted: Set[str] | None = None,
        *,
        own: Recorder | None = None,
        per_worker: bool = False,
        elsewhere: Set[str] = frozenset(),
        scribe: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._elsewhere = elsewhere
        self._scribe = scribe or recorder
        self._wanted = wanted
        self._own = own
        self._per_worker = per_worker
        self._simple = wanted is None
        self.on_rerun: Callable[[pytest.TestReport], None] = _nothing
        self.on_result: Callable[[TestResult], None] = _nothing
        self._items: dict[tuple[str, str], Heard] = {}

    def heard(self, nodeid: str, worker: str) -> Heard:
        """Return what was heard of an item; what is added to it counts."""
        return self._items.setdefault((nodeid, worker if self._per_worker else ""), Heard())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add `report` to its item; its teardown report settles the item."""
        told = report.__dict__
        # Most there is, by far: asked without a call, as far as that goes.
        if told.get("outcome") == "passed" and self._simple and _LOUD.isdisjoint(told):
            self._take_quiet(report, told)
            return
        # A subtest is part of its item, whose own report follows. What is kept is recorded.
        if "context" in told or KEPT in told:
            return
        if self._wanted is not None and report.nodeid not in self._wanted:
            return
        recorder: Recorder | None = self._of(told.get("worker_id", "main"))
        if OWN in told:
            recorder = self._own
        if recorder is not None:
            self._take(report, recorder)

    def _take_quiet(self, report: pytest.TestReport, told: Mapping[str, Any]) -> None:
        """Take in a report which says that a phase has passed, and nothing besides."""
        nodeid, worker = report.nodeid, told.get("worker_id", "main")
        key = (nodeid, worker if self._per_worker else "")
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Heard()
        reports = item.reports
        if told["when"] != "teardown":
            reports.append(report)
        elif item.loud or len(reports) != 2 or item.attempts:
            self._take(report, self._of(worker))
        else:
            del self._items[key]
            reports.append(report)
            recorder = self._of(worker) if self._elsewhere else self._recorder
            result = recorder.passed(nodeid, reports, worker)
            if result is not None:
                self.on_result(result)

    def _take(self, report: Any, recorder: Recorder) -> None:
        worker = getattr(report, "worker_id", "main")
        key = (report.nodeid, worker if self._per_worker else "")
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Heard()
        if report.when == "teardown" and item.attempts and not item.reports:
            # Some plugins also publish the teardown of an attempt that is superseded.
            return
        if report.outcome == "rerun":
            item.reports.clear()
            number = len(item.attempts) + 1
            item.attempts.append(recorder.superseded(report, number, worker))
            self.on_rerun(report)
            return
        item.reports.append(report)
        item.loud = item.loud or report.when in ("setup", "call")
        if hasattr(report, BLOCKED):
            recorder.blocked()
        # A lost worker is reported with no phase at all, and nothing follows.
        if report.when not in ("setup", "call"):
            del self._items[key]
            self.on_result(recorder.settled(report.nodeid, item.reports, item.attempts, worker))

    def _of(self, worker: str) -> Recorder:
        return self._scribe if worker in self._elsewhere else self._recorder

    def close(self, recorded: Callable[[str, str], bool]) -> None:
        """Settle the items that have ended, and of whose teardown nothing was heard.

        Args:
            recorded: Returns whether a worker has written down the verdict of an item.
        """
        for key, item in list(self._items.items()):
            if any(map(decides, item.reports)):
                del self._items[key]
                worker = getattr(item.reports[-1], "worker_id", "main")
                recorder = self._of(worker)
                if self._own is not None and not recorded(worker, key[0]):
                    recorder = self._own
                self.on_result(recorder.settled(key[0], item.reports, item.attempts, worker))


def _nothing(_event: object) -> None:
    """Nobody wants to hear of it."""


def decides(report: pytest.TestReport) -> bool:
    """Return whether `report` says how its item ended."""
    if report.outcome not in ("passed", "failed", "skipped"):
        return False
    return report.when == "call" or report.outcome != "passed"
