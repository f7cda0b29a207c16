"""Old records removed, what they taught kept, and the file made small again.

Invariant: the sums, scores and newest outcomes are the same before and after; the ledger
still knows every record that was removed, so that none comes back by a merge. A process
killed at any moment leaves a whole history, with the old records or without them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database
from pytest_resilience.store.folding import RECORD_TABLES
from pytest_resilience.store.history import History, clock_us

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Pruned:
    """What pruning did, or would do.

    Attributes:
        records: Rows removed, by table; tables without any are left out.
        sessions: Sessions they were of.
        bytes_before: Size of the file.
        bytes_after: Its size now; the same as before if nothing was to be removed.
    """

    records: dict[str, int]
    sessions: int
    bytes_before: int
    bytes_after: int


def prune(
    path: Path,
    *,
    before: datetime | None = None,
    keep_days: int | None = None,
    dry_run: bool = False,
    lock_timeout_s: float = 30.0,
    now_us: Callable[[], int] = clock_us,
) -> Pruned:
    """Remove the records of sessions that ended long ago from the history at `path`.

    What was learned from them stays, and so do the rows of `sessions` and the ledger.

    Args:
        before: Sessions that ended before this moment are old; without a zone it is UTC.
        keep_days: Sessions that ended more than so many days ago are old; instead of `before`.
        dry_run: Only say what would be removed.
        lock_timeout_s: Seconds to wait for another process to finish with the history.

    Raises:
        StoreError: There is no history, or it cannot be written.
        ValueError: Not exactly one of `before` and `keep_days` is given, or that is negative.
    """
    cutoff_us = _cutoff_us(before, keep_days, now_us())
    history = History(path, now_us=now_us)
    if not history.path.exists():
        raise StoreError(f"no history at {history.path}; run pytest --resilience first")
    with history.locked(lock_timeout_s, reading=dry_run):
        size = history.path.stat().st_size
        with database.engine(history.path) as connection:
            database.update(connection, history.path, now_us)
            options = ", READ_ONLY" if dry_run else ""
            with database.attached(connection, history.path, options):
                records, sessions = _count(connection, cutoff_us)
                if records and not dry_run:
                    _remove(connection)
                    draft = database.draft_of(history.path)
                    _copy(connection, draft)
        if records and not dry_run:
            _swap(draft, history.path)
        return Pruned(records, sessions, size, history.path.stat().st_size)


def _cutoff_us(before: datetime | None, keep_days: int | None, now_us: int) -> int:
    if (before is None) == (keep_days is None):
        raise ValueError("give either before or keep_days")
    if before is not None:
        moment = before if before.tzinfo else before.replace(tzinfo=timezone.utc)
        return int(moment.timestamp() * 1_000_000)
    assert keep_days is not None
    if keep_days < 0:
        raise ValueError(f"keep_days must be 0 or more, not {keep_days}")
    return now_us - keep_days * _DAY_US


def _count(connection: DuckDBPyConnection, cutoff_us: int) -> tuple[dict[str, int], int]:
    """Note the old sessions, and return how many rows there are of them, and of how many."""
    connection.execute(
        "CREATE TEMP TABLE old_sessions AS SELECT sid FROM history.sessions"
        " WHERE coalesce(finished_us, started_us) < ?",
        [cutoff_us],
    )
    records: dict[str, int] = {}
    connection.execute("CREATE TEMP TABLE old_spools (spool VARCHAR, sid VARCHAR)")
    for table in (*RECORD_TABLES, "errors"):
        old = f"FROM history.{table} SEMI JOIN old_sessions USING (sid)"
        row = connection.execute(f"SELECT count(*) {old}").fetchone()
        if row and row[0]:
            records[table] = int(row[0])
            connection.execute(f"INSERT INTO old_spools SELECT DISTINCT spool, sid {old}")
    row = connection.execute("SELECT count(DISTINCT sid) FROM old_spools").fetchone()
    return records, int(row[0]) if row else 0


def _remove(connection: DuckDBPyConnection) -> None:
    old = "sid IN (SELECT sid FROM old_sessions)"
    with database.transaction(connection):
        connection.execute(f"""
            DELETE FROM history.progressive_recovery WHERE error_id IN
                (SELECT coalesce(nullif(incident_id, ''), error_id)
                 FROM history.recovery_performance WHERE {old})
        """)
        for table in (*RECORD_TABLES, "errors"):
            connection.execute(f"DELETE FROM history.{table} WHERE {old}")
        connection.execute(
            "UPDATE history.ingested SET pruned = true"
            " WHERE spool IN (SELECT spool FROM old_spools)"
        )


def _copy(connection: DuckDBPyConnection, draft: Path) -> None:
    """Write what is left to a new file: one that rows are removed from does not shrink."""
    database.attach_new(connection, draft, "draft")
    connection.execute("COPY FROM DATABASE history TO draft")
    connection.execute("DETACH draft")


def _swap(draft: Path, path: Path) -> None:
    """Put the new file in the place of the old one, whose records are already removed."""
    # A log that is still there belongs to the old file, and holds what the new one lacks.
    if database.wal_of(path).exists() or database.wal_of(draft).exists():
        draft.unlink(missing_ok=True)
        return
    try:
        os.replace(draft, path)
    except OSError as error:
        raise StoreError(
            f"{path} was pruned but could not be made smaller: {error.strerror or error}"
        ) from error
