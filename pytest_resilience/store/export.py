"""The history in files that other programs read: one file for each table.

Invariant: an export never overwrites a file, and a file that is there is whole, because it
is renamed into place. What `export` wrote, `relation_of` reads, value for value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.ingest import columns_of
from pytest_resilience.store.spool import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: How each format is written; all of them are part of DuckDB, nothing has to be downloaded.
_WRITTEN = {
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "csv": "FORMAT csv, HEADER, NULL '', FORCE_QUOTE *",
    "json": "FORMAT json",
}
FORMATS = tuple(_WRITTEN)
#: Longest line of an exported file in bytes; a record is text in JSON once more.
_LONGEST_LINE = 4 * MAX_RECORD_BYTES


def export(
    path: Path, folder: Path, form: str = "parquet", *, now_us: Callable[[], int] = clock_us
) -> dict[Path, int]:
    """Write every table of the history at `path` to a file in `folder`, which is made.

    Args:
        form: ``parquet``, ``csv`` (moments in UTC, JSON as text, NULL as nothing and empty
            text as ``""``) or ``json`` (one object a line).

    Returns:
        The files, and how many rows are in each.

    Raises:
        StoreError: There is no history, or a file cannot be written or is there already.
        ValueError: There is no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"unknown format {form!r}; valid ones: {', '.join(FORMATS)}")
    history, folder = History(path, now_us=now_us), folder.absolute()
    with history.reading() as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'history'"
                " ORDER BY table_name"
            ).fetchall()
        ]
        files = {table: folder / f"{table}.{form}" for table in tables}
        _make_room(folder, files.values())
        try:
            return {
                file: _write(connection, table, file, _WRITTEN[form])
                for table, file in files.items()
            }
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error


def _make_room(folder: Path, files: Iterable[Path]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror or error}") from error
    there = [file for file in files if file.exists()]
    if there:
        raise StoreError(f"{there[0]} is there already; name a folder without an export")


def _write(connection: DuckDBPyConnection, table: str, file: Path, options: str) -> int:
    import duckdb

    draft = file.with_name(file.name + ".new")
    try:
        row = connection.execute(
            f"COPY history.{table} TO {database.quoted(draft)} ({options})"
        ).fetchone()
    except (duckdb.IOException, duckdb.PermissionException) as error:
        raise database.explain(draft, error) from error
    os.replace(draft, file)
    return int(row[0]) if row else 0


def relation_of(connection: DuckDBPyConnection, folder: Path, table: str, form: str) -> str:
    """Return SQL for the rows of an exported table, with the types of our own.

    Raises:
        StoreError: The file of the table is not there.
    """
    file = folder / f"{table}.{form}"
    if not file.is_file():
        raise StoreError(f"{folder} is no whole export, {file.name} is missing; export it again")
    name = database.quoted(file)
    if form == "parquet":
        return f"read_parquet({name})"
    if form == "json":
        types = ", ".join(f"'{c}': '{type_}'" for c, type_ in columns_of(connection, table))
        return (
            f"read_json({name}, format = 'newline_delimited', columns = {{{types}}},"
            f" maximum_object_size = {_LONGEST_LINE})"
        )
    rows = (
        f"read_csv({name}, header = true, all_varchar = true, nullstr = '', quote = '\"',"
        f" escape = '\"', delim = ',', allow_quoted_nulls = false, max_line_size = {_LONGEST_LINE})"
    )
    theirs = [row[0] for row in connection.execute(f"DESCRIBE FROM {rows}").fetchall()]
    typed = [f"{c}::{type_} AS {c}" for c, type_ in columns_of(connection, table) if c in theirs]
    return f"(SELECT {', '.join(typed)} FROM {rows})"
