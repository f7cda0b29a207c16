"""The DuckDB database across runs: spools merged in, questions answered.

Invariant: nobody opens the database but under the lock file beside it, and nobody keeps
it open. A merge is one transaction that moves the records and the ledger together, and a
spool is removed only when its records are in the database file itself: a process killed
at any moment loses no record and doubles none.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database, ingest, learning, snapshot
from pytest_resilience.store.spool import lock_of, writer_lives

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Added to the name of a spool with lines nobody can read; it is kept for a person to see.
DAMAGED_SUFFIX = ".damaged"


def clock_us() -> int:
    """Return microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class MergeResult:
    """What a merge did.

    Attributes:
        records: Records that were new to the history.
        bad: Lines that were no records; their spools are kept as ``*.jsonl.damaged``.
        spools: Spools taken in.
        moved_aside: Where a damaged database was moved to make room for a new one.
        snapshot_error: Why the next session will not know what this one taught, "" if it will.
    """

    records: int = 0
    bad: int = 0
    spools: int = 0
    moved_aside: Path | None = None
    snapshot_error: str = ""


class History:
    """The database file at `path`, which need not exist yet."""

    def __init__(self, path: Path, *, now_us: Callable[[], int] = clock_us) -> None:
        """Name the file; `now_us` gives microseconds since the epoch, UTC."""
        # Absolute: two spellings of one file must not pass for two.
        self.path = path.absolute()
        self._now_us = now_us
        self._spare: tuple[DuckDBPyConnection, ExitStack] | None = None
        self._prepared: tuple[int, ...] | None = None

    def merge(self, spools: Iterable[Path], *, lock_timeout_s: float = 5.0) -> MergeResult:
        """Take `spools` into the history, each record exactly once, and remove them.

        Spools that are gone or whose writers live are passed over.

        Args:
            lock_timeout_s: Seconds to wait for another process to finish with the database.

        Raises:
            StoreError: The history cannot be written now; the spools are untouched.
        """
        ready = _ready(spools)
        if not ready:
            return MergeResult()
        with self.locked(lock_timeout_s):
            moved: Path | None = None
            # Twice, because the database may be damaged and its write-ahead log as well.
            for _ in range(2):
                try:
                    return replace(self._merge(ready), moved_aside=moved)
                except database.DamagedError as damage:
                    moved = self._move_aside(damage)
            return replace(self._merge(ready), moved_aside=moved)

    def prepare(self) -> None:
        """Make the file if there is none yet, and load what the next merge needs.

        Raises:
            StoreError: As `merge` would, but at once if another process is busy with it.
        """
        with self.locked(0.0), ExitStack() as stack:
            connection = stack.enter_context(database.engine(self.path))
            database.ensure(connection, self.path, self._now_us)
            self._spare, self._prepared = (connection, stack.pop_all()), _identity(self.path)

    def read(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows `sql` selects, as dicts; JSON columns come as text.

        Raises:
            StoreError: There is no history yet, or it cannot be read.
        """
        with self.reading() as connection:
            return as_dicts(connection.execute(sql, list(params)))

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """Give a connection to the history, read-only; nobody can write until it is left.

        A history of an older version is brought up to date first. Raises as `read` does.
        """
        if not self.path.exists():
            raise StoreError(f"no history at {self.path}; run pytest --resilience first")
        with self.locked(5.0, reading=True), database.engine(self.path) as connection:
            database.update(connection, self.path, self._now_us)
            with database.attached(connection, self.path, ", READ_ONLY"):
                yield connection

    def counts(self, session_id: str) -> dict[str, int]:
        """Return how many items of the session have each verdict."""
        rows = self.read(
            "SELECT verdict, count(*) AS n FROM test_results WHERE sid = ?"
            " GROUP BY verdict ORDER BY verdict",
            [session_id],
        )
        return {row["verdict"]: row["n"] for row in rows}

    def session_ids(self) -> list[str]:
        """Return the ids of all sessions, oldest first."""
        return [
            row["sid"] for row in self.read("SELECT sid FROM sessions ORDER BY started_us, sid")
        ]

    def _merge(self, spools: Sequence[Path]) -> MergeResult:
        # Another process may have taken some in while this one waited for the lock.
        spools = _ready(spools)
        if not spools:
            return MergeResult()
        with self._engine() as connection:
            if self._prepared is None or _identity(self.path) != self._prepared:
                database.ensure(connection, self.path, self._now_us)
            with database.attached(connection, self.path, ""):
                staged = ingest.stage(connection, spools)
                with database.marked(connection, self._now_us()):
                    records = ingest.take_in(connection, staged, self._now_us())
                    learning.learn(connection, self._now_us())
                trouble = self.write_snapshot(connection)
        # A log that is still there could be lost without the database noticing.
        if not database.wal_of(self.path).exists():
            _discard(spools, staged)
        return MergeResult(records, sum(staged.bad.values()), len(spools), snapshot_error=trouble)

    @contextmanager
    def _engine(self) -> Iterator[DuckDBPyConnection]:
        """Give the engine that `prepare` has left, good for one use, or a new one."""
        spare, self._spare = self._spare, None
        if spare is None:
            with database.engine(self.path) as connection:
                yield connection
        else:
            connection, ending = spare
            with ending:
                yield connection

    def write_snapshot(self, connection: DuckDBPyConnection) -> str:
        """Write what the attached history has learned beside it; return why not, if not."""
        try:
            found = snapshot.gather(connection, self._now_us())
            snapshot.write(snapshot.path_of(self.path), found)
        except OSError as error:
            return str(error)
        return ""

    def _move_aside(self, damage: database.DamagedError) -> Path:
        try:
            return database.move_aside(damage.parts, self._now_us)
        except OSError as error:
            raise StoreError(f"{damage.message}; it cannot be moved away: {error}") from error

    @contextmanager
    def locked(self, timeout_s: float, *, reading: bool = False) -> Iterator[None]:
        """Keep everybody else away from the database; raises StoreError after `timeout_s`."""
        try:
            import filelock
        except ImportError as error:
            raise StoreError(f"filelock cannot be imported ({error}); reinstall it") from error

        lock = filelock.FileLock(self.path.with_name(self.path.name + ".lock"))
        try:
            if not reading:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout_s)
        except filelock.Timeout as error:
            raise StoreError(
                f"another process is busy with {self.path} since {timeout_s:g} s;"
                " its spools will be taken in by the next session"
            ) from error
        except OSError as error:
            # Where nobody may write, a reader needs no lock.
            if not (reading and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM)):
                raise StoreError(
                    f"{self.path.parent} cannot be written ({error.strerror or error});"
                    " check its rights, or name another file with --resilience-db"
                ) from error
        try:
            yield
        finally:
            lock.release()


def as_dicts(result: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the rows of an executed query by name of column."""
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _ready(spools: Iterable[Path]) -> list[Path]:
    """Return those that exist and will never grow again, each once."""
    absolute = dict.fromkeys(spool.absolute() for spool in spools)
    return [
        spool
        for spool in absolute
        if spool.is_file() and os.access(spool, os.R_OK) and not writer_lives(spool)
    ]


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what tells whether anybody has written to or replaced `path`; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _discard(spools: Sequence[Path], staged: ingest.Stage) -> None:
    """Remove what was taken in; what could not be read stays, under another name."""
    for spool in spools:
        # The records are safe; a file that cannot be removed is merged again, as nothing.
        with suppress(OSError):
            # The lock first: a spool without a lock is an orphan, a lock alone is litter.
            lock_of(spool).unlink(missing_ok=True)
            if spool in staged.unreadable or spool.name in staged.bad:
                spool.rename(spool.with_name(spool.name + DAMAGED_SUFFIX))
            else:
                spool.unlink(missing_ok=True)
