"""Circuits, and what else all processes of one machine share for as long as a run lasts.

Invariant: a change reads what it changes inside one transaction, so that none is lost; what
another run or another boot of the machine left behind is never read; and nothing here raises
because of the file. If that fails, every circuit goes on in the memory of this process from
what it knew last, and `on_degraded` is told once.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.core.shared import Plain

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
Record = TypeVar("Record", bound=Plain)

#: Seconds to wait for another process that is changing something; it takes microseconds.
PATIENCE_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.005

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TABLE = """
    CREATE TABLE IF NOT EXISTS cells (
        owner TEXT, kind TEXT, name TEXT, record TEXT, PRIMARY KEY (owner, kind, name)
    ) WITHOUT ROWID
"""
_READ = "SELECT record FROM cells WHERE owner = ? AND kind = ? AND name = ?"
_WRITE = "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)"
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class SharedCells:
    """The circuits in the file at `path`, which is made when the first one is used.

    Processes that name the same path and run share them; threads and forked children of a
    process may use them as well. Moments in records are of the monotonic clock, which on
    Linux is the same for all processes until the machine is started anew.
    """

    def __init__(
        self,
        path: Path,
        *,
        run: str,
        on_degraded: Callable[[str], None] = lambda _text: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Name the file.

        Args:
            run: Id of the run; circuits of another one are not seen.
            on_degraded: Called once, with a sentence for people, when the file cannot be
                used and circuits are no longer shared. What it raises is dropped.
            patience_s: Seconds to wait for a process that holds the file.
        """
        self.path = path.absolute()
        self._file = str(self.path)
        self._owner = f"{_boot()} {run}"
        self._on_degraded = on_degraded
        self._patience_s = patience_s
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._cells: dict[tuple[str, str], SharedCell[Any]] = {}
        self._failure = ""
        _close_before_forks(self)

    @property
    def failure(self) -> str:
        """Why circuits are no longer shared, "" while they are."""
        return self._failure

    def cell(
        self, kind: str, name: str, initial: CircuitRecord | None = None
    ) -> SharedCell[CircuitRecord]:
        """Return the cell of a circuit; `initial` is what it holds if nobody has said more."""
        return self.kept(kind, name, initial or CircuitRecord())

    def kept(self, kind: str, name: str, empty: Record) -> SharedCell[Record]:
        """Return the cell of what need not be a circuit.

        Args:
            kind: For which there is one class of records alone.
            empty: What it holds if nobody has said more.
        """
        with self._guard:
            made = SharedCell(self, kind, name, empty)
            return self._cells.setdefault((kind, name), made)

    def close(self) -> None:
        """Let go of the file; it is opened again if a cell is used after that."""
        with self._guard:
            connection, self._connection = self._connection, None
            if connection is not None:
                # Only the disk can object, and what is in the file serves this run alone.
                with suppress(Exception):
                    connection.close()

    def remove(self) -> None:
        """Delete the file; for the process that outlives the others of the run.

        Cells that are used afterwards go on from what they hold now, in memory.
        """
        with self._guard:
            for cell in self._cells.values():
                cell.read()
            self._failure = self._failure or f"{self.path} was removed at the end of the run"
            self.close()
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + suffix).unlink()

    def hold(self) -> None:
        """Close, and keep other threads away until `let_go`; for a fork."""
        self._guard.acquire()
        self.close()

    def let_go(self) -> None:
        """Let threads use the cells again."""
        self._guard.release()

    def read(self, cell: SharedCell[Record]) -> Record:
        """Return the record of `cell`."""
        with self._guard:
            if not self._failure:
                try:
                    self._patiently(lambda: self._fetch(cell))
                except Exception as error:  # noqa: BLE001
                    self._degrade(error)
            return cell.record

    def update(self, cell: SharedCell[Record], change: Callable[[Record], tuple[Record, T]]) -> T:
        """Change the record of `cell` and return the answer of `change`."""
        with self._guard:
            changed: _Changed[Record, T] = _Changed(change)
            if not self._failure:
                try:
                    self._write(cell, changed)
                    return changed.answer
                except Exception as error:
                    if changed.raised:
                        raise
                    self._degrade(error)
            cell.record = changed(cell.record)
            return changed.answer

    def _write(self, cell: SharedCell[Record], changed: _Changed[Record, T]) -> None:
        connection = self._connection or self._patiently(self._open)
        try:
            self._patiently(self._begin)
            self._fetch(cell)
            record = changed(cell.record)
            if record is not cell.record:
                text = _encode(record.to_dict())
                connection.execute(_WRITE, (self._owner, cell.kind, cell.name, text))
                connection.execute("COMMIT")
                # In this order: an interrupt in between has the record read again.
                cell.record, cell.text = record, text
        finally:
            if connection.in_transaction:
                with suppress(Exception):
                    connection.execute("ROLLBACK")

    def _begin(self) -> None:
        # A file that was deleted goes on for those who have it open, and for nobody else.
        if os.stat(self._file).st_ino != self._inode:
            raise FileNotFoundError("it was replaced by another file")
        self._open().execute("BEGIN IMMEDIATE")

    def _fetch(self, cell: SharedCell[Any]) -> None:
        """Bring the record of `cell` up to date."""
        where = (self._owner, cell.kind, cell.name)
        row = self._open().execute(_READ, where).fetchone()
        # To compare costs a fraction of what it takes to make a record.
        if row is not None and row[0] != cell.text:
            cell.record = type(cell.record).from_dict(json.loads(row[0]))
            cell.text = row[0]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            import sqlite3

            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # What a power cut takes is of a boot that is over.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute(_TABLE)
                self._inode = os.stat(self._file).st_ino
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _patiently(self, action: Callable[[], T]) -> T:
        """Return what `action` returns, done again while another process has the file."""
        give_up, pause = 0.0, _FIRST_PAUSE_S
        while True:
            try:
                return action()
            # Its class is in a module that the action itself has loaded.
            except Exception as error:
                give_up = give_up or time.monotonic() + self._patience_s
                if "is locked" not in str(error) or time.monotonic() > give_up:
                    raise
            # Everybody waits for another while, or they would meet again.
            time.sleep(pause * random.random())
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _degrade(self, error: Exception) -> None:
        self._failure = (
            f"circuits are no longer shared with other processes of this run, because"
            f" {self.path} cannot be used: {error}; this process goes on with its own"
        )
        self.close()
        with suppress(Exception):
            self._on_degraded(self._failure)


class SharedCell(Generic[Record]):
    """Where one circuit, or something else, is kept; made by `SharedCells`.

    Attributes:
        record: What was last known of it here.
        text: How the file says it, "" if it does not.
    """

    def __init__(self, cells: SharedCells, kind: str, name: str, initial: Record) -> None:
        self.kind, self.name = kind, name
        self.record = initial
        self.text = ""
        self._cells = cells

    def read(self) -> Record:
        """Return the record as it is now."""
        return self._cells.read(self)

    def update(self, fn: Callable[[Record], tuple[Record, T]]) -> T:
        """Replace the record by what `fn` makes of it, and return the answer of `fn`.

        Nobody changes the record in between. `fn` has to be pure, for it may be called
        twice; what it raises takes everything back and goes on to the caller.
        """
        return self._cells.update(self, fn)


class _Changed(Generic[Record, T]):
    """A change, its answer, and whether it was the change that raised.

    Attributes:
        answer: What it said when it was last done.
        raised: Whether it was begun and not ended.
    """

    answer: T

    def __init__(self, change: Callable[[Record], tuple[Record, T]]) -> None:
        self._change = change
        self.raised = False

    def __call__(self, record: Record) -> Record:
        self.raised = True
        record, self.answer = self._change(record)
        self.raised = False
        return record


def _close_before_forks(cells: SharedCells) -> None:
    """Let no child inherit the connection: SQLite's locks do not pass to it."""
    own = weakref.ref(cells)

    def before() -> None:
        if (living := own()) is not None:
            living.hold()

    def after() -> None:
        if (living := own()) is not None:
            living.let_go()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)


def _boot() -> str:
    """Return what names the time since the machine was started, "" if nothing does."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
