"""Append-only record of a session on disk, one file per process.

Invariant: a record is one line written by one `os.write`, so it survives the death of
its writer at any moment; and while the writer lives, it holds ``<name>.lock``, which it
created and locked before the first line existed. A spool whose lock can be taken will
never grow again. Standard library only, because every test process loads this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

RECORD_VERSION = 1
#: Longest record in bytes; the history's reader refuses a file with much longer lines.
MAX_RECORD_BYTES = 8 * 1024 * 1024
#: Longest batch that is written at once.
MAX_BATCH_CHARACTERS = MAX_RECORD_BYTES // 8
#: Deepest nesting that is kept when a payload has to be made plain by hand.
_MAX_DEPTH = 50
_FORKED = "the process was forked; only its parent writes to this spool"


def prepare(folder: Path) -> Path:
    """Make the database folder and return the spool folder in it.

    A folder that did not exist gets a ``.gitignore`` that hides all of it; one that was
    there belongs to somebody else and gets none. Raises OSError if it cannot be made.
    """
    spools = folder / "spool"
    created = not folder.exists()
    spools.mkdir(parents=True, exist_ok=True)
    if created:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return spools


class Spool:
    """Where one process appends its records; nothing is on disk before the first one.

    No method raises because of the disk or of a payload: a record that could not be
    written is counted instead.

    Attributes:
        path: The file, which may not exist yet.
        lost: Records that could not be written.
        error: Why the first of them could not, "" if none was lost.
    """

    def __init__(
        self, folder: Path, *, session_id: str, worker: str, now_us: Callable[[], int]
    ) -> None:
        """Name a new spool in `folder`; `now_us` gives microseconds since the epoch, UTC."""
        spool_id = os.urandom(16).hex()
        self.path = folder / f"{spool_id}.jsonl"
        self.lost = 0
        self.error = ""
        self._encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        ).encode
        head = {"v": RECORD_VERSION, "spool": spool_id, "sid": session_id, "worker": worker}
        self._head = self._encode(head)[:-1] + ',"seq":'
        #: Each kind as JSON.
        self._kinds: dict[str, str] = {}
        self._now_us = now_us
        self._numbers = itertools.count(1)
        self._file = -1
        self._lock = -1
        self._pid = os.getpid()
        self._closed = False
        self._torn = False
        # Re-entrant: a signal handler may emit while the interrupted code was emitting.
        self._guard = threading.RLock()

    def emit(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Append one record of `kind`; never raises."""
        if os.getpid() != self._pid:
            self._lose(1, _FORKED)
            return
        try:
            with self._guard:
                self._write(self._line(kind, payload), 1)
        # A payload's own __str__ may raise anything, and a record is never worth a verdict.
        except Exception as error:  # noqa: BLE001
            self._lose(1, _text(error))

    def emit_many(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Append records of (kind, payload), in one write if they are short; never raises."""
        if os.getpid() != self._pid:
            self._lose(1, _FORKED)
            return
        count = 1
        try:
            events = list(events)
            count = len(events)
            if not events:
                return
            with self._guard:
                lines = [self._line(kind, payload) for kind, payload in events]
                if sum(map(len, lines)) > MAX_BATCH_CHARACTERS:
                    for line in lines:
                        self._write(line, 1)
                else:
                    self._write("".join(lines), count)
        # As in `emit`.
        except Exception as error:  # noqa: BLE001
            self._lose(count, _text(error))

    def close(self) -> None:
        """Bring everything to the disk and let go of the lock; later records are lost."""
        if os.getpid() != self._pid:
            return
        with self._guard:
            self._closed = True
            file, lock, self._file, self._lock = self._file, self._lock, -1, -1
        if file < 0:
            return
        try:
            os.fsync(file)
            # Unlocked by name, because a forked child may still share the descriptor.
            fcntl.flock(lock, fcntl.LOCK_UN)
        except OSError as error:
            self.error = self.error or _text(error)
        finally:
            os.close(file)
            os.close(lock)

    def _line(self, kind: str, payload: Mapping[str, Any]) -> str:
        try:
            data = self._encode(payload)
        # NaN, odd keys, cycles, depth, a raising __str__: make it plain and try again.
        except Exception:  # noqa: BLE001
            data = self._encode(_plain(payload))
        named = self._kinds.get(kind)
        if named is None:
            named = self._kinds[kind] = self._encode(_plain(kind))
        number, now_us = next(self._numbers), self._now_us()
        return f'{self._head}{number},"ts":{now_us},"kind":{named},"data":{data}}}\n'

    def _write(self, lines: str, count: int) -> None:
        data = lines.encode("utf-8", "replace")
        if len(data) > MAX_RECORD_BYTES:
            self._lose(count, f"a record of {len(data)} bytes; {MAX_RECORD_BYTES} is the limit")
            return
        if self._file < 0:
            self._open()
        if self._torn:
            data = b"\n" + data
        self._torn = True
        written = os.write(self._file, data)
        self._torn = written < len(data)
        if self._torn:
            self._lose(count, f"the disk took {written} of {len(data)} bytes")

    def _open(self) -> None:
        if self._closed:
            raise ValueError("the spool is closed")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock_path = lock_of(self.path)
        lock = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o644)
        except OSError:
            lock_path.unlink(missing_ok=True)
            os.close(lock)
            raise
        self._lock = lock

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        self.error = self.error or reason


def lock_of(spool: Path) -> Path:
    """Return the lock file that tells whether the writer of `spool` lives."""
    return spool.with_suffix(".lock")


def writer_lives(spool: Path) -> bool:
    """Say whether `spool` may still grow; once False, False for ever."""
    try:
        lock = os.open(lock_of(spool), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # Shared, so that two who ask at once do not take each other for the writer.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def orphans(folder: Path) -> list[Path]:
    """Return the spools in `folder` whose writers are gone, in order of their names."""
    return [spool for spool in sorted(folder.glob("*.jsonl")) if not writer_lives(spool)]


def _plain(value: Any, depth: int = 0) -> Any:
    """Return `value` made of JSON's own types; what has none becomes its text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else _text(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: object) -> str:
    """Return `value` as text, whatever its class thinks of that."""
    # Text that cannot be made is worth a name, not an exception.
    with contextlib.suppress(Exception):
        return (
            f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
        )
    return f"<{type(value).__name__} without text>"
