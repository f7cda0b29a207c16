"""From spools to rows: what one merge does inside the database.

Invariant: whatever a line of a spool holds, taking it in does not raise: a value that
does not fit its column becomes NULL, a line that is no record is counted as bad. What is
new is decided once, against the ledger, and the ledger moves in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_resilience.core import events

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


#: Where records of a kind go, one row each. Sessions are folded into one row, see below.
TABLES = {
    events.ATTEMPT: "attempts",
    events.TEST_RESULT: "test_results",
    events.ERROR: "errors",
    events.RECOVERY: "recovery_performance",
    events.CIRCUIT_TRANSITION: "circuit_transitions",
    events.INJECTION: "injections",
    events.CHECKPOINT: "checkpoints",
}
_SESSION_KINDS = (events.SESSION_STARTED, events.SESSION_FINISHED)

#: Temporary table of the recoveries that are new in a merge; there only if there are any.
RECOVERIES = "fresh_recoveries"

#: Kinds whose payload keeps part of the columns one level down, in "context".
_WITH_CONTEXT = (events.ERROR, events.RECOVERY)

# Only these can be told from the line alone; the rest of a record is its payload.
_LINE = {
    "spool": "VARCHAR",
    "seq": "BIGINT",
    "sid": "VARCHAR",
    "worker": "VARCHAR",
    "ts": "BIGINT",
    "kind": "VARCHAR",
    "data": "JSON",
}
_READ = f"""
    SELECT * FROM read_json(?, format = 'newline_delimited', columns = {_LINE},
                            ignore_errors = true, filename = true)
"""
#: The last microsecond of the year 9999, the last one that has a TIMESTAMP here.
LAST_US = 253_402_300_799_999_999


@dataclass(frozen=True)
class Stage:
    """The spools as read, before anything of them is in the history.

    Attributes:
        bad: Lines that are no records, by name of the file.
        unreadable: Spools the reader gave up on.
    """

    bad: dict[str, int]
    unreadable: tuple[Path, ...]


def stage(connection: DuckDBPyConnection, spools: Sequence[Path]) -> Stage:
    """Read `spools` into temporary tables, and keep what the ledger does not know."""
    import duckdb

    columns = ", ".join(f"{name} {type_}" for name, type_ in _LINE.items())
    connection.execute(f"CREATE TEMP TABLE lines ({columns}, filename VARCHAR)")
    unreadable: list[Path] = []
    try:
        _read(connection, spools)
    except duckdb.InvalidInputException:
        # One file must not keep the others out for ever.
        for spool in spools:
            try:
                _read(connection, [spool])
            except duckdb.InvalidInputException:
                unreadable.append(spool)
    is_record = "spool IS NOT NULL AND seq IS NOT NULL AND kind IS NOT NULL"
    bad = connection.execute(
        f"SELECT filename, count(*) FROM lines WHERE NOT ({is_record}) GROUP BY filename"
    ).fetchall()
    connection.execute(f"""
        CREATE TEMP TABLE fresh AS
        SELECT DISTINCT ON (l.spool, l.seq)
               l.* EXCLUDE (filename) REPLACE (coalesce(l.ts, 0) AS ts)
        FROM lines l LEFT JOIN history.ingested g ON g.spool = l.spool
        WHERE {is_record.replace("spool", "l.spool")} AND l.seq > coalesce(g.last_seq, 0)
    """)
    return Stage({Path(name).name: count for name, count in bad}, tuple(unreadable))


def take_in(connection: DuckDBPyConnection, staged: Stage, now_us: int) -> int:
    """Put the staged records into the tables and the ledger; return how many were new.

    To be called inside a transaction.
    """
    kinds = connection.execute("SELECT DISTINCT kind FROM fresh").fetchall()
    for kind, table in TABLES.items():
        if (kind,) not in kinds:
            continue
        rows = _rows(connection, kind, table)
        if table == "errors":
            _merge_errors(connection, rows)
        elif kind == events.RECOVERY:
            # Kept apart as well, for what they teach.
            connection.execute(f"CREATE TEMP TABLE {RECOVERIES} AS {rows}")
            connection.execute(f"INSERT INTO history.{table} BY NAME FROM {RECOVERIES}")
        else:
            connection.execute(f"INSERT INTO history.{table} BY NAME {rows}")
    _merge_sessions(connection)
    _keep_others(connection)
    return _move_ledger(connection, staged, now_us)


def merge_into(
    connection: DuckDBPyConnection,
    table: str,
    keys: Sequence[str],
    source: str,
    *,
    newer: str = "true",
) -> None:
    """Update the rows of `table` whose `keys` are in the query `source`, insert the others.

    NULL in the source leaves the old value. Where the condition `newer`, in which ``s`` is
    the row of the source and ``t`` the one of the table, does not hold, every old value is
    left, and only NULL in the table is filled.
    """
    columns = [name for name, _ in columns_of(connection, table)]
    matches = " AND ".join(f"t.{key} = s.{key}" for key in keys)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE merging AS {source}")
    # Looks at the keys alone; most often all rows of a large table's source are new.
    known = f"FROM history.{table} t SEMI JOIN merging s ON ({matches})"
    if connection.execute(f"SELECT 1 {known} LIMIT 1").fetchone() is None:
        connection.execute(f"INSERT INTO history.{table} BY NAME FROM merging")
        return
    updates = ", ".join(
        f"{c} = CASE WHEN {newer} THEN coalesce(s.{c}, t.{c}) ELSE coalesce(t.{c}, s.{c}) END"
        for c in columns
        if c not in keys
    )
    connection.execute(f"""
        MERGE INTO history.{table} t USING merging s ON ({matches})
        WHEN MATCHED THEN UPDATE SET {updates}
        WHEN NOT MATCHED THEN
            INSERT ({", ".join(columns)}) VALUES ({", ".join(f"s.{c}" for c in columns)})
    """)


def complete_errors(connection: DuckDBPyConnection, source: str) -> None:
    """Let the query `source`, one row for each error, complete the errors in the history."""
    newer = "(s.seen_us, s.seq) >= (t.seen_us, t.seq)"
    merge_into(connection, "errors", ("error_id",), source, newer=newer)


def moment(microseconds: str) -> str:
    """Return SQL for the TIMESTAMP of an expression that may hold any integer."""
    return (
        f"CASE WHEN {microseconds} BETWEEN 0 AND {LAST_US} THEN make_timestamp({microseconds}) END"
    )


def _read(connection: DuckDBPyConnection, spools: Sequence[Path]) -> None:
    connection.execute(f"INSERT INTO lines {_READ}", [[str(spool) for spool in spools]])


def columns_of(connection: DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Return names and types of the columns of a table of the history, in order."""
    rows = connection.execute(f"DESCRIBE history.{table}").fetchall()
    return [(row[0], row[1]) for row in rows]


def _rows(connection: DuckDBPyConnection, kind: str, table: str) -> str:
    """Return a query for the fresh records of `kind` as rows of `table`."""
    columns = columns_of(connection, table)
    wanted = ", ".join(f'"{name}": "{type_}"' for name, type_ in columns if type_ != "TIMESTAMP")
    payload = "data"
    if kind in _WITH_CONTEXT:
        payload = "json_merge_patch(coalesce(data->'context', '{}'), data)"
    values = ", ".join(f"{_value(name, type_)} AS {name}" for name, type_ in columns)
    return f"""
        SELECT {values} FROM (
            SELECT *, from_json({payload}, '{{{wanted}}}') AS d FROM fresh WHERE kind = '{kind}'
        )
    """


def _value(name: str, type_: str) -> str:
    """Return SQL for a column: from the line, from the payload `d`, or made of either."""
    if name in ("spool", "seq", "sid", "data"):
        return name
    if name == "id":
        # A hash any DuckDB computes alike; 63 bits of it fit the column.
        return "(md5_number_lower(spool || ':' || seq) >> 1)::BIGINT"
    if name == "worker":
        return "coalesce(nullif(d.worker, ''), worker)"
    if name.endswith("_us"):
        return f"coalesce(nullif(d.{name}, 0), ts)"
    if type_ == "TIMESTAMP":
        return moment(_value(f"{name}_us", "BIGINT"))
    if type_ in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite(d.{name}) THEN d.{name} END"
    return f"d.{name}"


def _latest(columns: Sequence[str]) -> str:
    """Return SQL for the last value of each column that is not NULL, in order of `place`."""
    return ", ".join(f"arg_max({name}, place) AS {name}" for name in columns)


def _merge_errors(connection: DuckDBPyConnection, rows: str) -> None:
    names = [name for name, _ in columns_of(connection, "errors") if name != "error_id"]
    source = f"""
        SELECT coalesce(nullif(error_id, ''), spool || ':' || seq) AS error_id, {_latest(names)}
        FROM (SELECT *, row_number() OVER (ORDER BY seen_us, seq) AS place FROM ({rows}))
        GROUP BY ALL
    """
    complete_errors(connection, source)


def _merge_sessions(connection: DuckDBPyConnection) -> None:
    """Fold all that is said about a session into its row; the controller has the last word."""
    own = ("sid", "started", "finished", "details", "outcome", "started_us", "finished_us")
    told = [(n, t) for n, t in columns_of(connection, "sessions") if n not in own]
    wanted = ", ".join(f'"{name}": "{type_}"' for name, type_ in told)
    started, finished = (f"FILTER (WHERE kind = '{kind}')" for kind in _SESSION_KINDS)
    # What another spool said before may have begun earlier.
    known = "SELECT min(t.started_us) FROM history.sessions t WHERE t.sid = f.sid"
    source = f"""
        SELECT *, {moment("started_us")} AS started, {moment("finished_us")} AS finished
        FROM (SELECT f.* REPLACE (least(f.started_us, ({known})) AS started_us) FROM (
            SELECT sid, {_latest([name for name, _ in told])},
                   arg_max(data, place) {started} AS details,
                   arg_max(data, place) {finished} AS outcome,
                   coalesce(min(ts) {started}, min(ts)) AS started_us,
                   max(ts) {finished} AS finished_us
            FROM (
                SELECT sid, kind, ts, data, place, unnest(d) FROM (
                    SELECT sid, kind, ts, data,
                           row_number() OVER (ORDER BY worker = 'main', ts, seq) AS place,
                           from_json(CASE WHEN kind IN {_SESSION_KINDS} THEN data ELSE '{{}}' END,
                                     '{{{wanted}}}') AS d
                    FROM fresh WHERE sid IS NOT NULL
                )
            ) GROUP BY sid
        ) f)
    """
    merge_into(connection, "sessions", ("sid",), source)


def _keep_others(connection: DuckDBPyConnection) -> None:
    known = (*TABLES, *_SESSION_KINDS)
    connection.execute(f"""
        INSERT INTO history.events BY NAME
        SELECT kind, worker, {moment("ts")} AS happened, ts AS happened_us, data, sid, spool, seq
        FROM fresh WHERE kind NOT IN {known}
    """)


def _move_ledger(connection: DuckDBPyConnection, staged: Stage, now_us: int) -> int:
    connection.execute("CREATE TEMP TABLE bad_lines (spool VARCHAR, bad BIGINT)")
    for name, count in staged.bad.items():
        connection.execute("INSERT INTO bad_lines VALUES (?, ?)", [Path(name).stem, count])
    source = f"""
        SELECT f.spool, max(f.seq) AS last_seq,
               count(*) + coalesce(max(g.records), 0) AS records,
               greatest(coalesce(max(b.bad), 0), coalesce(max(g.bad), 0)) AS bad,
               {moment(f"{now_us}::BIGINT")} AS ingested_at, NULL::BOOLEAN AS pruned
        FROM fresh f LEFT JOIN bad_lines b ON b.spool = f.spool
        LEFT JOIN history.ingested g ON g.spool = f.spool GROUP BY f.spool
    """
    merge_into(connection, "ingested", ("spool",), source)
    row = connection.execute("SELECT count(*) FROM fresh").fetchone()
    return int(row[0]) if row else 0
