"""Opening a DuckDB file safely, and saying in plain words why it could not be.

Invariant: a file is judged (ours, empty, another program's, too new) on a read-only
attachment before anything may be written to it, and it is never opened by other means
while DuckDB has it: that would silently drop DuckDB's lock. Works with DuckDB 1.4 to 2.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import learning
from pytest_resilience.store.schema import APPLICATION, MIGRATIONS, SCHEMA_VERSION

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# What DuckDB says of a file it wrote itself and that was damaged since.
_DAMAGE = re.compile(
    r"Corrupt database file|Could not read enough bytes|not a valid DuckDB database file"
    r"|Failure while replaying WAL|Corrupt WAL|WAL does not match"
)
_WAL_DAMAGE = re.compile(r"\bWAL\b")


class DamagedError(StoreError):
    """The file, or only its write-ahead log, is beyond reading.

    Attributes:
        parts: The files that have to make room for a new one.
    """

    def __init__(self, message: str, parts: tuple[Path, ...]) -> None:
        super().__init__(message)
        self.parts = parts


class ForeignError(StoreError):
    """The file is another program's, or of no program at all.

    Attributes:
        problem: What the file is.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.problem = f"{path} is {what}"
        super().__init__(
            f"{self.problem} and was left as it is; name another file with --resilience-db"
        )


class NewerError(StoreError):
    """The history was written by a newer version.

    Attributes:
        problem: Which schema it has, and what to upgrade.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{problem}, or name another file with --resilience-db")


def wal_of(path: Path) -> Path:
    """Return the write-ahead log DuckDB keeps beside `path`."""
    return path.with_name(path.name + ".wal")


@contextmanager
def engine(path: Path) -> Iterator[DuckDBPyConnection]:
    """Give a DuckDB of one thread that owns no file yet; `path` is what it will be used for.

    Whatever goes wrong inside comes out as a StoreError about `path`.
    """
    try:
        import duckdb
    except ImportError as error:
        raise StoreError(f"duckdb cannot be imported ({error}); reinstall it") from error

    options: dict[str, Any] = {
        "threads": 1,
        # A file of another kind would make DuckDB look for an extension on the network.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": str(path) + ".tmp",
    }
    failure: duckdb.Error | OSError
    try:
        try:
            # Known from DuckDB 2 on; without it eight more threads are started.
            connection = duckdb.connect(":memory:", config={**options, "async_threads": 0})
        except duckdb.Error:
            connection = duckdb.connect(":memory:", config=options)
        try:
            yield connection
        finally:
            connection.close()
        return
    except (duckdb.Error, OSError) as error:
        failure = error
    raise explain(path, failure) from failure


@contextmanager
def attached(connection: DuckDBPyConnection, path: Path, options: str) -> Iterator[None]:
    """Make `path` the current database of `connection`; leaving writes its checkpoint.

    After an exception the file stays attached until the connection is closed.
    """
    connection.execute(f"ATTACH {quoted(path)} AS history (TYPE duckdb{options})")
    connection.execute("USE history")
    yield
    _detach(connection)


def _detach(connection: DuckDBPyConnection) -> None:
    connection.execute("USE memory")
    connection.execute("DETACH history")


def quoted(path: Path) -> str:
    """Return `path` as an SQL literal."""
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """Commit what is done inside, or nothing of it."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        # The first error is the one that matters.
        with suppress(Exception):
            connection.rollback()
        raise


@contextmanager
def marked(connection: DuckDBPyConnection, now_us: int) -> Iterator[None]:
    """Do a transaction that the file itself tells of from before it to its end.

    A file that was copied while, or after, its writer was killed then says so, even if the
    log that belongs to it was left behind.
    """
    connection.execute(
        "INSERT INTO history.merges_under_way VALUES (?, make_timestamp(?::BIGINT))",
        [f"{platform.node()} {os.getpid()}", now_us],
    )
    connection.execute("CHECKPOINT history")
    with transaction(connection):
        yield
        connection.execute("DELETE FROM history.merges_under_way")


def ensure(connection: DuckDBPyConnection, path: Path, now_us: Callable[[], int]) -> None:
    """Leave a history of the current schema at `path`.

    Raises StoreError, and leaves the file alone, if it is another program's or newer.
    """
    check_name(path)
    if not path.exists():
        _create(connection, path, now_us)
        return
    with attached(connection, path, ", READ_ONLY"):
        version = version_of(connection, path)
    if version < SCHEMA_VERSION:
        with attached(connection, path, ""):
            _migrate(connection, version, now_us)


def update(connection: DuckDBPyConnection, path: Path, now_us: Callable[[], int]) -> None:
    """Bring the history at `path` up to date; raise StoreError if there is none in it."""
    with attached(connection, path, ", READ_ONLY"):
        version = version_of(connection, path)
    if version == 0:
        raise StoreError(f"{path} holds no history yet; run pytest --resilience first")
    if version < SCHEMA_VERSION:
        with attached(connection, path, ""):
            _migrate(connection, version, now_us)


def move_aside(parts: tuple[Path, ...], now_us: Callable[[], int]) -> Path:
    """Rename damaged files out of the way and return the new name of the first."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_us() // 1_000_000))
    number, suffix = 0, f".corrupt-{stamp}"
    while any(part.with_name(part.name + suffix).exists() for part in parts):
        number += 1
        suffix = f".corrupt-{stamp}-{number}"
    for part in parts:
        with suppress(FileNotFoundError):
            part.rename(part.with_name(part.name + suffix))
    return parts[0].with_name(parts[0].name + suffix)


def draft_of(path: Path) -> Path:
    """Return the name under which a new file for `path` is built, with nothing there."""
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, wal_of(draft)):
        leftover.unlink(missing_ok=True)
    return draft


def attach_new(connection: DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach a file that is not there yet as `name`."""
    import duckdb

    attach = f"ATTACH {quoted(path)} AS {name} (TYPE duckdb"
    try:
        # The oldest format still written, so that every supported DuckDB can read the file;
        # and blocks of a quarter of the usual size: tables of a few rows need one each.
        connection.execute(f"{attach}, STORAGE_VERSION 'v1.2.0', BLOCK_SIZE 65536)")
    except (duckdb.BinderException, duckdb.InvalidInputException, duckdb.ParserException):
        connection.execute(f"{attach})")


def _create(connection: DuckDBPyConnection, path: Path, now_us: Callable[[], int]) -> None:
    """Build the file under another name: one that is there is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    attach_new(connection, draft, "history")
    connection.execute("USE history")
    _migrate(connection, 0, now_us)
    _detach(connection)
    os.replace(draft, path)


def _migrate(connection: DuckDBPyConnection, version: int, now_us: Callable[[], int]) -> None:
    """Take all steps after `version`, or none."""
    steps = [step for step in MIGRATIONS if step.version > version]
    author = _package_version()
    with transaction(connection):
        for step in steps:
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO schema_version VALUES (?, ?, ?, ?, make_timestamp(?::BIGINT))",
                [APPLICATION, step.version, step.description, author, now_us()],
            )
        if version and any(step.relearn for step in steps):
            learning.relearn(connection, now_us())


def check_name(path: Path) -> None:
    """Raise StoreError if DuckDB would take part of `path` for something else."""
    if "?" in str(path):
        raise StoreError(f"DuckDB cannot use {path}: a '?' in a path means an option to it")


def version_of(connection: DuckDBPyConnection, path: Path, name: str = "history") -> int:
    """Return the schema version of the file attached as `name`, 0 if there is nothing in it.

    Raises ForeignError or NewerError if it is not for us.
    """
    import duckdb

    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? UNION ALL"
        " SELECT view_name FROM duckdb_views() WHERE database_name = ? AND NOT internal",
        [name, name],
    ).fetchall()
    if not rows:
        return 0
    row = None
    with suppress(duckdb.CatalogException, duckdb.BinderException):
        row = newest_step(connection, f"{name}.schema_version")
    if row is None:
        raise ForeignError(path, "a DuckDB database of another program")
    return known_version(path, *row)


def newest_step(connection: DuckDBPyConnection, relation: str) -> tuple[int, str] | None:
    """Return version and author of the last step in `relation`, None if none is of ours."""
    row = connection.execute(
        f"SELECT version::INTEGER, written_by::VARCHAR FROM {relation} WHERE application = ?"
        " ORDER BY version DESC LIMIT 1",
        [APPLICATION],
    ).fetchone()
    return (int(row[0]), str(row[1] or "")) if row else None


def known_version(path: Path, version: int, author: str) -> int:
    """Return `version` if this package knows it; raise NewerError if it does not."""
    if version > SCHEMA_VERSION:
        raise NewerError(
            f"{path} has schema {version}, and this version of {APPLICATION} knows schemas up to"
            f" {SCHEMA_VERSION}; upgrade {APPLICATION} to {author or 'the version that wrote it'}"
        )
    return version


def _package_version() -> str:
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return metadata.version(APPLICATION)
    return ""


def explain(path: Path, error: Exception) -> StoreError:
    """Return what `error` means for `path`; called when DuckDB has let go of the file."""
    text = str(error)
    # The lines after the first advise programmers of DuckDB.
    brief = text.partition("\n")[0]
    if "Could not set lock" in text:
        holder = re.search(r"held in (\S+) \(PID (\d+)\)", text)
        who = f"{Path(holder[1]).name}, process {holder[2]}" if holder else "another process"
        return StoreError(f"{path} is open in another program ({who}); close it there")
    if "file handle conflict" in text or "different configuration" in text:
        return StoreError(f"{path} is open in this very process; close that connection first")
    if "version number" in text or "storage version" in text.lower():
        return StoreError(f"{path} was written by a newer DuckDB; upgrade duckdb ({brief})")
    if "No space left" in text or "File too large" in text:
        return StoreError(f"no space left for {path}; make room on its disk")
    if "Permission denied" in text or "Read-only file system" in text or "read-only" in text:
        return StoreError(f"{path} cannot be written here; check the rights on it ({brief})")
    if _is_about_the_file(error) and _DAMAGE.search(text):
        return _damaged(path, brief)
    return StoreError(f"{path} could not be used: {brief}")


def _is_about_the_file(error: Exception) -> bool:
    """Tell errors of the storage from errors about values, whose text quotes the values."""
    import duckdb

    # A failed checksum is a bare Error in DuckDB 2 and an IOException before.
    return type(error) is duckdb.Error or isinstance(
        error, (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)
    )


def _damaged(path: Path, text: str) -> StoreError:
    wal = wal_of(path)
    if _WAL_DAMAGE.search(text) and wal.exists():
        return DamagedError(f"{wal} is damaged: {text}", (wal,))
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        return StoreError(f"{path} cannot be read: {error}")
    # Bytes 8 to 11 of every DuckDB file, whatever its version.
    if not head or head[8:] == b"DUCK":
        return DamagedError(f"{path} is damaged: {text}", (path, wal))
    return ForeignError(path, "no DuckDB database")
