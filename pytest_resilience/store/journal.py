"""What a run has set out to do, on disk until it is done, for a run that resumes it.

Invariant: a journal that is there is whole; whether its run lives is told by a lock that ends
with the process that holds it, and that no forked child inherits. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.store.checkpoints import CheckpointFiles
from pytest_resilience.store.spool import writer_lives

_VERSION = 1
#: Journals of runs that were never resumed, the newest ones.
KEPT = 5
#: Seconds between two looks at a writer that is expected to end.
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Attributes:
        run: Names it and all that it resumes; the session id of the first of them.
        resumes: Session ids of the runs it resumes, newest first.
        started_us: Microseconds since the epoch, UTC.
        pid: Of the process that ends the run.
        arguments: How pytest was called.
        nodeids: All that was collected, with what was kept.
    """

    session_id: str
    run: str
    resumes: tuple[str, ...]
    started_us: int
    pid: int
    arguments: tuple[str, ...]
    nodeids: tuple[str, ...]

    @property
    def sessions(self) -> tuple[str, ...]:
        """Ids of its own session and of those it resumes, newest first."""
        return (self.session_id, *self.resumes)


class Journals:
    """The journals beside a history.

    Args:
        db: The history.
    """

    def __init__(self, db: Path) -> None:
        self._folder = db.parent / "resume"
        self._checkpoints = db.parent / "checkpoints"
        self._locks: dict[str, int] = {}

    def write(self, entry: Entry) -> None:
        """Put `entry` on disk, and be seen to live for as long as this process does.

        Raises:
            OSError: It cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.claim(entry.session_id)
        path = self._of(entry.session_id)
        draft = path.with_suffix(".new")
        plain = {name: getattr(entry, name) for name in Entry.__slots__}
        draft.write_text(json.dumps({"version": _VERSION, **plain}), encoding="ascii")
        os.replace(draft, path)

    def claim(self, session_id: str) -> bool:
        """Be the one that goes on with a run; return False if another process is."""
        if session_id in self._locks:
            return True
        try:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            lock = os.open(self._of(session_id).with_suffix(".lock"), flags, 0o644)
        except OSError:
            return False
        try:
            # Unlike flock, not shared with a forked child that outlives us.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks[session_id] = lock
        return True

    def entries(self) -> list[Entry]:
        """Return what there is, newest first; what cannot be read is passed over."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                data = json.loads(path.read_bytes())
                if data.pop("version") == _VERSION:
                    lists = ("resumes", "arguments", "nodeids")
                    found.append(Entry(**{**data, **{k: tuple(data[k]) for k in lists}}))
        return sorted(found, key=lambda entry: entry.started_us, reverse=True)

    def lives(self, entry: Entry) -> bool:
        """Return whether the run of `entry` goes on somewhere."""
        # Opening and closing its lock would end it if it were ours.
        if entry.pid == os.getpid() or entry.session_id in self._locks:
            return True
        lives = not self.claim(entry.session_id)
        self.release(entry.session_id)
        return lives

    def release(self, session_id: str) -> None:
        """Let others go on with a run."""
        lock = self._locks.pop(session_id, -1)
        if lock >= 0:
            os.close(lock)

    def remove(self, session_id: str) -> None:
        """The run needs no journal any more."""
        self.release(session_id)
        for suffix in (".json", ".lock"):
            with contextlib.suppress(OSError):
                self._of(session_id).with_suffix(suffix).unlink()

    def clean(self, done: Sequence[str]) -> list[str]:
        """A run has ended in which all of `done` got their verdicts: forget what that outdates.

        Those are broken runs that had nothing else to do, and all but the newest few.

        Returns:
            The ids of their sessions.
        """
        covered, others, gone = set(done), 0, []
        for entry in self.entries():
            if self.lives(entry):
                continue
            others += 1
            if others > KEPT or covered.issuperset(entry.nodeids):
                self.remove(entry.session_id)
                CheckpointFiles(self._checkpoints, entry.run).drop()
                gone.append(entry.session_id)
        # The last one turns off the light.
        with contextlib.suppress(OSError):
            self._folder.rmdir()
        return gone

    def close(self) -> None:
        """Let go of all locks; the journals stay."""
        for session_id in list(self._locks):
            self.release(session_id)

    def _of(self, session_id: str) -> Path:
        return self._folder / f"{session_id}.json"


def wait_for_writers(
    folder: Path, sessions: Sequence[str], limit_s: float, sleep: Callable[[float], None]
) -> bool:
    """Wait until nobody writes to the spools of `sessions`; return whether that came true.

    A worker whose controller was killed ends what it is running before it ends itself.
    """
    end = time.monotonic() + limit_s
    while any(writer_lives(path) for path, _ in _spools(folder, sessions)):
        if time.monotonic() >= end:
            return False
        sleep(_PAUSE_S)
    return True


def finished(db: Path, sessions: Sequence[str]) -> list[TestResult]:
    """Return the verdicts of `sessions`, newest session first, with all attempts.

    Some may be in spools still, others in the history already.

    Raises:
        StoreError: The history is there and cannot be read.
    """
    told = _Told()
    for path, session_id in _spools(db.parent / "spool", sessions):
        for record in _records(path):
            told.take(session_id, record["kind"], record["data"])
    if db.exists():
        _ask_history(db, sessions, told)
    return told.results(sessions)


class _Told:
    """What was read of sessions."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._attempts: dict[tuple[str, str], list[Attempt]] = {}

    def take(self, session_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Take in one record."""
        key = (session_id, str(data.get("nodeid")))
        if kind == events.ATTEMPT:
            self._attempts.setdefault(key, []).append(Attempt.from_dict(data))
        elif kind == events.TEST_RESULT:
            self._results.setdefault(key, []).append(dict(data))

    def results(self, sessions: Sequence[str]) -> list[TestResult]:
        """Return all verdicts; of a test that has some in several sessions, the newest."""
        found: dict[str, list[TestResult]] = {}
        for session_id in sessions:
            of_session: dict[str, list[TestResult]] = {}
            for (sid, nodeid), several in self._results.items():
                if sid == session_id and nodeid not in found:
                    attempts = self._attempts.get((sid, nodeid), [])
                    of_session[nodeid] = [_result(data, attempts) for data in several]
            found.update(of_session)
        return [result for results in found.values() for result in results]


def _result(data: Mapping[str, Any], attempts: Sequence[Attempt]) -> TestResult:
    # Recorded by whoever ran them: of a number told twice the last one counts.
    made = {attempt.number: attempt for attempt in sorted(attempts, key=lambda a: a.started_us)}
    count = max(1, int(data.get("attempts") or 1))
    return TestResult(
        nodeid=str(data["nodeid"]),
        verdict=str(data["verdict"]),
        worker=str(data.get("worker") or "main"),
        started_us=int(data.get("started_us") or 0),
        duration_s=float(data.get("duration_s") or 0.0),
        reason=str(data.get("reason") or ""),
        attempts=[made.get(number, Attempt(number)) for number in range(1, count + 1)],
        kept=True,
    )


def _spools(folder: Path, sessions: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield the spools of `sessions`, each with its session."""
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as file:
                session_id = json.loads(file.readline())["sid"]
            if session_id in sessions:
                yield path, session_id


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and isinstance(record.get("data"), dict):
                    yield record


def _ask_history(db: Path, sessions: Sequence[str], told: _Told) -> None:
    from pytest_resilience.store.history import History

    wanted = ", ".join("?" * len(sessions))
    tables = ((events.ATTEMPT, "attempts"), (events.TEST_RESULT, "test_results"))
    history = History(db)
    for kind, table in tables:
        for row in history.read(f"SELECT * FROM {table} WHERE sid IN ({wanted})", list(sessions)):
            data = {name: value for name, value in row.items() if value is not None}
            if "evidence" in data:
                data["evidence"] = json.loads(data["evidence"])
            told.take(row["sid"], kind, data)
