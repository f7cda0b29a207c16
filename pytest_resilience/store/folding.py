"""Rows of another history, made rows of this one.

Invariant: a row is taken in if and only if the ledger does not know its record yet, and the
ledger moves in the same transaction. Rows that several records made together (errors,
sessions) are completed by each other, the later one having the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pytest_resilience.core import events
from pytest_resilience.store.ingest import (
    RECOVERIES,
    TABLES,
    columns_of,
    complete_errors,
    merge_into,
    moment,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Tables of which a row is a record.
RECORD_TABLES = (*(table for table in TABLES.values() if table != "errors"), "events")


def stage(connection: DuckDBPyConnection, relation: Callable[[str], str]) -> str:
    """Copy what is new to the attached history into temporary tables.

    Args:
        relation: Gives SQL for the rows of a table of the source.

    Returns:
        What a person should know, "" if nothing.
    """
    ledger = relation("ingested")
    names = {row[0] for row in connection.execute(f"DESCRIBE FROM {ledger}").fetchall()}
    # Of records that were pruned there, only a history that still has them can give them.
    pruned = "coalesce(s.pruned, false)" if "pruned" in names else "false"
    connection.execute(f"""
        CREATE TEMP TABLE new_spools AS
        SELECT s.spool, s.last_seq, s.records, s.bad, coalesce(g.last_seq, 0) AS known,
               coalesce(g.records, 0) AS known_records, {pruned} AS pruned
        FROM {ledger} s LEFT JOIN history.ingested g ON g.spool = s.spool
        WHERE s.last_seq > coalesce(g.last_seq, 0)
    """)
    for table in RECORD_TABLES:
        _stage_records(connection, table, relation(table))
    for table in ("errors", "sessions"):
        _stage_folded(connection, table, relation(table))
    row = connection.execute(
        "SELECT sum(records - known_records) FROM new_spools WHERE pruned"
    ).fetchone()
    lost = int(row[0] or 0) if row else 0
    connection.execute("DELETE FROM new_spools WHERE pruned")
    return f"{lost} records of it had been pruned and cannot be merged" if lost else ""


def take_in(connection: DuckDBPyConnection, now_us: int) -> int:
    """Put what was staged into the tables and the ledger; return how many records were new.

    To be called inside a transaction.
    """
    for table in RECORD_TABLES:
        connection.execute(f"INSERT INTO history.{table} BY NAME FROM {_staged(table)}")
    complete_errors(connection, f"FROM {_staged('errors')}")
    _merge_sessions(connection)
    merge_into(
        connection,
        "ingested",
        ("spool",),
        "SELECT spool, last_seq, greatest(records, known_records) AS records, bad,"
        f" {moment(f'{now_us}::BIGINT')} AS ingested_at, NULL::BOOLEAN AS pruned FROM new_spools",
    )
    row = connection.execute(
        "SELECT sum(greatest(records - known_records, 0)) FROM new_spools"
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _merge_sessions(connection: DuckDBPyConnection) -> None:
    """Complete the sessions: who knows the end knows more, else what is there stays."""
    newer = "t.sid IS NULL OR (s.finished_us IS NOT NULL AND t.finished_us IS NULL)"
    values = {
        name: f"CASE WHEN {newer} THEN coalesce(s.{name}, t.{name})"
        f" ELSE coalesce(t.{name}, s.{name}) END"
        for name, _ in columns_of(connection, "sessions")
    }
    values |= {name: f"least(s.{name}, t.{name})" for name in ("started", "started_us")}
    source = f"""
        SELECT {_listed(f"{value} AS {name}" for name, value in values.items())}
        FROM {_staged("sessions")} s LEFT JOIN history.sessions t ON t.sid = s.sid
    """
    merge_into(connection, "sessions", ("sid",), source)


def _staged(table: str) -> str:
    return RECOVERIES if table == TABLES[events.RECOVERY] else f"new_{table}"


def _stage_records(connection: DuckDBPyConnection, table: str, rows: str) -> None:
    _stage(
        connection,
        table,
        rows,
        "JOIN new_spools n ON n.spool = r.spool WHERE r.seq > n.known AND NOT n.pruned",
    )


def _stage_folded(connection: DuckDBPyConnection, table: str, rows: str) -> None:
    """Stage rows that are not the same here; those of records pruned here stay away."""
    key = "error_id" if table == "errors" else "sid"
    _stage(connection, table, rows, f"WHERE r.{key} IS NOT NULL")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {_staged(table)} AS
        FROM {_staged(table)} EXCEPT FROM history.{table}
    """)
    if table == "errors":
        connection.execute(
            f"DELETE FROM {_staged(table)} WHERE spool IN"
            " (SELECT spool FROM history.ingested WHERE pruned)"
        )


def _stage(connection: DuckDBPyConnection, table: str, rows: str, condition: str) -> None:
    """Copy `rows` with the columns and types of our table; what they lack becomes NULL."""
    name = _staged(table)
    connection.execute(f"CREATE TEMP TABLE {name} AS FROM history.{table} LIMIT 0")
    ours = [column for column, _ in columns_of(connection, table)]
    theirs = [row[0] for row in connection.execute(f"DESCRIBE FROM {rows}").fetchall()]
    columns = _listed(column for column in ours if column in theirs)
    connection.execute(f"""
        INSERT INTO {name} ({columns}) SELECT {_listed(f"r.{c}" for c in ours if c in theirs)}
        FROM {rows} r {condition}
    """)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
