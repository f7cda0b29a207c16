"""Checkpoints: what a test saves for its next attempt, on whichever worker that runs.

Invariant: what is saved wrong is an error of the test, told where it is saved; what the disk
does is none: it is warned of once, and the state is kept in memory. A test that has passed
leaves nothing behind. A run knows its own checkpoints, and those of the run it resumes, alone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.core.failures import Verdict
from pytest_resilience.core.ports import EventSink
from pytest_resilience.core.saved import encoded
from pytest_resilience.exceptions import StoreError
from pytest_resilience.plugin.handle import SHELF
from pytest_resilience.plugin.sharing import is_here
from pytest_resilience.plugin.sink import SystemClock
from pytest_resilience.store.checkpoints import CheckpointFiles

if TYPE_CHECKING:
    from pytest_resilience.core.events import TestResult

#: In a worker's input: where it finds checkpoints, or what they are if it cannot.
INPUT = "resilience_checkpoints"
#: In what a worker says to its controller, and in what it is told of an item: a checkpoint.
MESSAGE = "checkpoint"
_FOLDER = "checkpoints"
_GOOD = frozenset({Verdict.PASSED.value, Verdict.RECOVERED.value})


def _nobody(_text: str) -> None:
    """Nobody wants to hear of it."""


class Checkpoint:
    """The state of one test, as the test sees it.

    Args:
        attempt: Number of the attempt that runs.
    """

    def __init__(self, nodeid: str, shelf: Shelf, attempt: int) -> None:
        self._nodeid = nodeid
        self._shelf = shelf
        self._attempt = attempt

    def save(self, state: Any) -> None:
        """Keep `state` for the next attempt of this test, in place of what was kept before.

        Raises:
            CheckpointError: `state` is not plain JSON, or larger than 1 MiB.
        """
        text = encoded(state, self._nodeid)
        self._shelf.put(
            {
                "nodeid": self._nodeid,
                "attempt": self._attempt,
                "saved_us": SystemClock.now_us(),
                "state": json.loads(text),
            }
        )

    def load(self, default: Any = None) -> Any:
        """Return what was saved last, in this attempt or an earlier one; else `default`."""
        record = self._shelf.get(self._nodeid)
        return default if record is None else record["state"]

    def clear(self) -> None:
        """Forget what was saved."""
        self._shelf.remove(self._nodeid)


class Shelf:
    """Where the checkpoints of the tests of one process are.

    Args:
        manager: Where it listens for tests that pass; None where nobody tells.
        files: Those of the run, None to keep them in memory alone.
        warn: Told what the disk does not let us do.
        worker: Name of this process.
    """

    def __init__(
        self,
        manager: pytest.PytestPluginManager | None = None,
        files: CheckpointFiles | None = None,
        *,
        warn: Callable[[str], None] = _nobody,
        worker: str = "main",
    ) -> None:
        self._manager = manager
        self._files = files
        self._warn = warn
        self._worker = worker
        #: Whether the controller cannot see what is kept here.
        self.apart = False
        #: Sends a record, as JSON, to such a controller.
        self.post: Callable[[str], None] = _nobody
        self._memory: dict[str, dict[str, Any]] = {}
        self._attended: set[str] = set()

    def put(self, record: dict[str, Any]) -> None:
        """Keep `record`, which has a ``nodeid``, in place of the last one of that test."""
        record.setdefault("worker", self._worker)
        self._attend(record["nodeid"])
        self.post(json.dumps(record))
        self._keep(record)

    def _keep(self, record: dict[str, Any]) -> None:
        nodeid = record["nodeid"]
        self._memory.pop(nodeid, None)
        if self._files is None:
            self._memory[nodeid] = record
            return
        try:
            self._files.write(record)
        except OSError as error:
            self._memory[nodeid] = record
            self._trouble("written", error)

    def get(self, nodeid: str) -> dict[str, Any] | None:
        """Return the record of a test, None if there is none; it may be changed."""
        self._attend(nodeid)
        record = self._memory.get(nodeid)
        if record is not None or self._files is None:
            return copy.deepcopy(record)
        try:
            return self._files.read(nodeid)
        except (OSError, ValueError) as error:
            self._trouble("read", error)
            return None

    def remove(self, nodeid: str) -> None:
        """Forget the record of a test."""
        self.post(json.dumps({"nodeid": nodeid}))
        self._forget(nodeid)

    def _forget(self, nodeid: str) -> None:
        known = self._memory.pop(nodeid, None)
        try:
            if self._files is not None:
                self._files.remove(nodeid)
        except OSError as error:
            if known is None:
                self._trouble("removed", error)

    def take(self, text: str) -> None:
        """Take in what `post` has sent elsewhere."""
        record = json.loads(text)
        if "state" in record:
            self._keep(record)
        else:
            self._forget(record["nodeid"])

    def all(self) -> Iterable[dict[str, Any]]:
        """Return all records, in no order."""
        return [*(self._files.all() if self._files is not None else ()), *self._memory.values()]

    def drop(self) -> None:
        """Forget everything."""
        self._memory.clear()
        if self._files is not None:
            self._files.drop()

    def left(self, nodeid: str) -> None:
        """A test has ended, for now or for good."""
        self._attended.discard(nodeid)

    def _attend(self, nodeid: str) -> None:
        """See to it that nothing is left of a test that passes."""
        if self._manager is not None and nodeid not in self._attended:
            self._attended.add(nodeid)
            self._manager.register(_Attendant(self, self._manager, nodeid))

    def _trouble(self, what: str, error: Exception) -> None:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        folder = self._files.folder.parent if self._files is not None else ""
        text = f"a checkpoint cannot be {what} in {folder} ({why}); it stays in memory, if anywhere"
        self._warn(str(StoreError(text)))


class _Attendant:
    """Removes the checkpoint of one test when it has passed; there for that long alone."""

    def __init__(self, shelf: Shelf, manager: pytest.PytestPluginManager, nodeid: str) -> None:
        self._shelf = shelf
        self._manager = manager
        self._nodeid = nodeid
        self._outcomes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how the test ends."""
        if report.nodeid != self._nodeid or hasattr(report, "context"):
            return
        if report.when == "setup":
            self._outcomes.clear()
        self._outcomes.append(report.outcome)
        if report.when == "teardown" and self._outcomes == ["passed"] * 3:
            self._shelf.remove(self._nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """The test has ended, for now or for good."""
        if nodeid == self._nodeid:
            self._shelf.left(nodeid)
            self._manager.unregister(self)


def set_up(
    config: pytest.Config,
    db: Path | None,
    run: str,
    warn: Callable[[str], None],
    worker: str,
    controls: bool,
) -> Shelf:
    """Return the shelf of a process, where the tests that it runs find it.

    Args:
        db: The history, None where none is kept; a worker is told of it by its controller.
        run: Names the run, and all that resume it.
        controls: Whether the tests whose reports it hears run in other processes.
    """
    told = getattr(config, "workerinput", {}).get(INPUT)
    folder = _folder_of(db)
    if told is not None:
        run, folder = told["run"], Path(told["folder"]) if told["folder"] else None
    files = CheckpointFiles(folder, run) if folder is not None else None
    manager = None if controls else config.pluginmanager
    config.stash[SHELF] = shelf = Shelf(manager, files, warn=warn, worker=worker)
    if told is not None:
        shelf.apart = folder is None
        for record in told["records"]:
            shelf.take(record)
    return shelf


def _folder_of(db: Path | None) -> Path | None:
    return db.parent / _FOLDER if db is not None else None


class Keeper:
    """The part of the process that ends the run: hands checkpoints on, and leaves none behind.

    Args:
        db: The history, None where none is kept.
        run: Names the run, and all that resume it.
        results: All results of the run, by the time it ends.
    """

    def __init__(
        self,
        shelf: Shelf,
        db: Path | None,
        run: str,
        sink: EventSink,
        results: Sequence[TestResult],
    ) -> None:
        self._run = run
        self._shelf = shelf
        folder = _folder_of(db)
        self._shared = str(folder.absolute()) if folder is not None else ""
        self._sink = sink
        self._results = results
        self._apart = False
        #: Workers that do not write where this process does.
        self.elsewhere: set[str] = set()
        #: Returns whether the run may be resumed, so that nothing is to be thrown away.
        self.unfinished: Callable[[], bool] = bool

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where the checkpoints are, or give it them."""
        folder = self._shared if is_here(node.gateway.spec) else ""
        self._apart = self._apart or not folder
        if not folder:
            self.elsewhere.add(node.gateway.id)
        records = [] if folder else [json.dumps(record) for record in self._shelf.all()]
        node.workerinput[INPUT] = {"run": self._run, "folder": folder, "records": records}

    def heard(self, message: Mapping[str, Any]) -> None:
        """A worker has said something, maybe of a checkpoint."""
        if MESSAGE in message:
            self._shelf.take(message[MESSAGE])

    def along(self, nodeid: str) -> dict[str, str]:
        """Return what an item has to take along to another worker for its checkpoint."""
        record = self._shelf.get(nodeid) if self._apart else None
        return {MESSAGE: json.dumps(record)} if record is not None else {}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Let the history have what tests that did not pass have left; keep nothing."""
        if self.unfinished():
            return
        passed = {result.nodeid for result in self._results if result.verdict in _GOOD}
        for record in self._shelf.all():
            if record["nodeid"] not in passed:
                self._sink.emit(events.CHECKPOINT, record)
        self._shelf.drop()
