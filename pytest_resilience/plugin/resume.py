"""A run that was broken off, and the run that resumes it.

Invariant: what a run has to do is on disk before its first test begins, and until all of it has
a verdict; a run that resumes another keeps the verdicts there are, runs the rest, and tells of
both: a failure that was kept fails it. It begins nothing if it cannot know what is left.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.config import Settings
from pytest_resilience.core.events import TestResult
from pytest_resilience.core.resumption import left_over
from pytest_resilience.exceptions import ResilienceError, ResumeError, StoreError
from pytest_resilience.plugin import wards
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.kept import KeptStatus, kept_reports
from pytest_resilience.plugin.records import Records
from pytest_resilience.plugin.session import SessionReport
from pytest_resilience.store import journal
from pytest_resilience.store.journal import Entry, Journals

#: In a worker's input: what was collected before, and what of it has a verdict.
INPUT = "resilience_resume"
#: In a worker's output: node ids with a verdict that it has not collected.
_GONE = "resilience_gone"
#: Seconds that workers of a killed controller are given to end what they run.
PATIENCE_S = 30.0
_OPTION = "--resilience-resume"


class Resumed:
    """The run that is resumed, and what is known of it.

    Args:
        results: Its verdicts.
        changed: Whether the collected tests may differ from its.
        lost: Records of it that are missing.
    """

    def __init__(
        self, entry: Entry, results: Sequence[TestResult], *, changed: bool, lost: int = 0
    ) -> None:
        self.entry = entry
        self.results = list(results)
        self.changed = changed
        self.lost = lost

    @property
    def begun(self) -> str:
        """When it began, in words."""
        moment = datetime.fromtimestamp(self.entry.started_us / 1e6, timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M:%S UTC")

    @property
    def finished(self) -> dict[str, int]:
        """How many verdicts there are of each node id."""
        return dict(Counter(result.nodeid for result in self.results))

    def forget(self, gone: Sequence[str]) -> None:
        """Keep no verdict of tests that are not there any more."""
        missing = set(gone)
        self.results = [result for result in self.results if result.nodeid not in missing]


class Choice:
    """Leaves out, of what this process has collected, the tests that keep their verdicts.

    Args:
        told: What `Task.for_workers` returned.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        #: Node ids with a verdict that were not collected.
        self.gone: list[str] = []

    def choose(self, items: list[pytest.Item]) -> None:
        """Leave in `items` what has to run; raises ResumeError."""
        now = [item.nodeid for item in items]
        finished = self._told["finished"]
        left = left_over(self._told["before"], now, finished, changed=self._told["changed"])
        self.gone = [nodeid for nodeid in finished if nodeid not in set(now)]
        items[:] = [items[place] for place in left]


class WorkerChoice:
    """The part of a worker in a run that resumes another."""

    def __init__(self, config: pytest.Config, refusal: str) -> None:
        self._output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined]
        self._refusal = refusal
        told = config.workerinput.get(INPUT)  # type: ignore[attr-defined]
        self._choice = Choice(told) if told is not None else None

    # Outermost, when all others have chosen.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Collect what is left; what is raised here would reach nobody."""
        result = yield
        if self._choice is not None:
            try:
                self._choice.choose(items)
                self._output[_GONE] = self._choice.gone
            except ResumeError as error:
                self._output[self._refusal] = f"{_OPTION}: {error}"
        return result


class Task:
    """What the run has to do: written down, and ticked off when all is done.

    Args:
        results: All results of this run, by the time it ends.
        resumed: The run that is resumed, None if none is.
        distributed: Whether workers collect and run the tests.
    """

    def __init__(
        self,
        config: pytest.Config,
        db: Path | None,
        session_id: str,
        report: SessionReport,
        results: Sequence[TestResult],
        faults: FaultReporter,
        resumed: Resumed | None,
        distributed: bool,
    ) -> None:
        self._config = config
        self._journals = Journals(db) if db is not None else None
        if self._journals is not None and resumed is not None:
            self._journals.claim(resumed.entry.session_id)
        self._session_id = session_id
        self._report = report
        self._results = results
        self._faults = faults
        self._resumed = resumed
        self._distributed = distributed
        self._started_us = time.time_ns() // 1_000
        self._expected: Sequence[str] | None = None
        self._refused = False
        if resumed is not None:
            faults.notes["resumes"] = f"the run that began {resumed.begun}"
            report.events_lost += resumed.lost
            config.pluginmanager.register(KeptStatus(), "resilience-kept-status")

    @property
    def run(self) -> str:
        """Names this run and those that it resumes."""
        return self._resumed.entry.run if self._resumed is not None else self._session_id

    def unfinished(self) -> bool:
        """Return whether something is left that a run could resume."""
        if self._expected is None or self._refused:
            # Then that is the run that was to be resumed.
            return self._resumed is not None
        missing = Counter(self._expected) - Counter(result.nodeid for result in self._results)
        return bool(missing) and self._journals is not None

    def pytest_report_header(self) -> str | None:
        """Say what is resumed."""
        if self._resumed is None:
            return None
        known = f"{len(self._resumed.results)} of {len(self._resumed.entry.nodeids)}"
        return f"resilience: resuming the run that began {self._resumed.begun}; {known} verdicts"

    # What is to be done

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Collect what is left."""
        result = yield
        told = self._for_workers()
        if told is not None and not self._distributed:
            choice = Choice(told)
            try:
                choice.choose(items)
            except ResumeError as error:
                self._refused = True
                raise pytest.UsageError(f"{_OPTION}: {error}") from None
            self._resumed_without(choice.gone)
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what is to be done here."""
        if not self._distributed:
            self._set_out([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start what it need not run."""
        told = self._for_workers()
        if told is not None:
            node.workerinput[INPUT] = told

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Write down what workers are to do, by the first that is ready."""
        if self._expected is None:
            self._set_out(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear of tests that had a verdict and are not there any more."""
        self._resumed_without(getattr(node, "workeroutput", {}).get(_GONE, ()))

    def _resumed_without(self, nodeids: Sequence[str]) -> None:
        if self._resumed is not None and nodeids:
            self._resumed.forget(nodeids)

    def _for_workers(self) -> dict[str, Any] | None:
        if self._resumed is None:
            return None
        return {
            "before": list(self._resumed.entry.nodeids),
            "finished": self._resumed.finished,
            "changed": self._resumed.changed,
        }

    def _set_out(self, nodeids: Sequence[str]) -> None:
        self._expected = list(nodeids)
        if self._journals is None:
            return
        entry = Entry(
            session_id=self._session_id,
            run=self.run,
            resumes=self._resumed.entry.sessions if self._resumed is not None else (),
            started_us=self._started_us,
            pid=os.getpid(),
            arguments=tuple(map(str, self._config.invocation_params.args)),
            nodeids=(*self._kept(), *self._expected),
        )
        try:
            self._journals.write(entry)
        except OSError as error:
            why = error.strerror or error
            self._faults.warn(str(StoreError(f"this run could not be resumed if killed: {why}")))

    def _kept(self) -> list[str]:
        return [r.nodeid for r in self._resumed.results] if self._resumed is not None else []

    # The end

    # Outermost: when all others have settled what ran, tell of what did not.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Report the verdicts that were kept beside those that are new."""
        try:
            result = yield
        except pytest.UsageError:
            self._refused = True
            raise
        except BaseException:
            self._tell(session)
            raise
        self._tell(session)
        return result

    def _tell(self, session: pytest.Session) -> None:
        if self._resumed is None:
            return
        try:
            kept = self._resumed.results
            session.testscollected += len(kept)
            self._report.name_statuses()
            with _no_limit(self._config):
                for result in kept:
                    for report in kept_reports(result):
                        self._config.hook.pytest_runtest_logreport(report=report)
                    self._report.add(result)
        except Exception as fault:  # noqa: BLE001 - what is not told is red
            session.testsfailed += 1
            self._faults(fault)

    # Before the summary: what is removed here is told there as done.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Tick off what is done; leave what is not."""
        if self._journals is None:
            return
        if self._expected is None or self._refused:
            self._journals.remove(self._session_id)
        elif not self.unfinished():
            self._journals.remove(self._session_id)
            if self._resumed is not None:
                for session_id in self._resumed.entry.sessions:
                    self._journals.remove(session_id)
            # Nobody will resume these, and so nobody else will end what they have left.
            gone = self._journals.clean([*self._kept(), *self._expected])
            _note_ended(self._faults, sum(map(self._end_left, gone)), "runs that were killed")

    def _end_left(self, session_id: str) -> int:
        try:
            return wards.reap(session_id) if wards.are_left(session_id) else 0
        except Exception as fault:  # noqa: BLE001 - tidying up must not change a verdict
            self._faults(fault)
            return 0

    def pytest_unconfigure(self) -> None:
        """Let others resume what is left."""
        if self._journals is not None:
            self._journals.close()


def _note_ended(faults: FaultReporter, ended: int, run: str) -> None:
    """Tell that so many drivers that `run` had left were ended, besides what is told already."""
    if ended:
        drivers = "1 driver" if ended == 1 else f"{ended:,} drivers"
        told = f"{drivers} that {run} had left"
        faults.notes["ended"] = "; ".join(filter(None, (faults.notes.get("ended"), told)))


@contextlib.contextmanager
def _no_limit(config: pytest.Config) -> Generator[None, None, None]:
    """Let no failure that is merely told of once more end the run."""
    limit, config.option.maxfail = config.option.maxfail, 0
    try:
        yield
    finally:
        config.option.maxfail = limit


def look_back(config: pytest.Config, settings: Settings, faults: FaultReporter) -> Resumed | None:
    """Return the run that is to be resumed, None if none is.

    Raises:
        pytest.UsageError: There is none that can be.
    """
    if not (settings.resume or settings.resume_changed):
        return None
    try:
        return _look_back(config, settings, faults)
    except ResilienceError as error:
        raise pytest.UsageError(f"{_OPTION}: {error}") from None


def _look_back(config: pytest.Config, settings: Settings, faults: FaultReporter) -> Resumed:
    if settings.db is None:
        raise ResumeError("without a history nothing is known of earlier runs; name one")
    if config.getoption("dist", "no") == "each":
        raise ResumeError("with --dist each every worker runs every test; use another mode")
    journals = Journals(settings.db)
    entries = journals.entries()
    broken = [entry for entry in entries if not journals.lives(entry)]
    if not broken:
        raise ResumeError(_nothing(settings.db, entries))
    entry = broken[0]
    spools = settings.db.parent / "spool"
    if not journal.wait_for_writers(spools, entry.sessions, PATIENCE_S, time.sleep):
        faults.warn(
            "a process of the run that is resumed still lives; what it was running runs again"
        )
    _note_ended(faults, sum(map(wards.reap, entry.sessions)), "the run that is resumed")
    lost = sum(sum(Records(spools, sid).lost().values()) for sid in entry.sessions)
    results = journal.finished(settings.db, entry.sessions)
    known = set(entry.nodeids)
    kept = [result for result in results if result.nodeid in known]
    return Resumed(entry, kept, changed=settings.resume_changed, lost=lost)


def _nothing(db: Path, entries: Sequence[Entry]) -> str:
    if entries:
        return f"the last run goes on in process {entries[0].pid}; wait for it, or end it first"
    return (
        f"there is nothing to resume beside {db}: each run that began has ended with a verdict "
        "for every test, or none has begun; run without the option"
    )
