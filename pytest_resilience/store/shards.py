"""Histories of several machines made one: databases, exports and spools taken into a target.

Invariant: a source is only ever read, and each is taken in whole or not at all, in one
transaction. What is new is decided against the target's ledger, so that merging in any
order, overlapping or twice, gives the union; a source that cannot be used is named and
keeps no other one out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database, folding, ingest, learning
from pytest_resilience.store.export import FORMATS, relation_of
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.spool import writer_lives

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WHAT_IS_ONE = "give a history.duckdb, a folder made by export, a spool file or a folder of them"


_LATER = "{} spools are being written; merge them later"


@dataclass(frozen=True)
class Taken:
    """A source that was merged.

    Attributes:
        records: Records of it that were new to the target.
        note: What a person should know about it, "" if nothing.
    """

    source: Path
    records: int
    note: str = ""


@dataclass(frozen=True)
class ShardsResult:
    """What merging sources did.

    Attributes:
        refused: For each source that could not be merged, why, and what to do.
    """

    taken: tuple[Taken, ...]
    refused: tuple[StoreError, ...]

    @property
    def records(self) -> int:
        """Records that were new to the target."""
        return sum(taken.records for taken in self.taken)


class _SourceError(StoreError):
    """The source is to blame, not the target."""


#: Takes a source into the history attached to a connection.
_Part = Callable[["DuckDBPyConnection", int], Taken]


def merge_databases(
    target: Path,
    sources: Iterable[Path],
    *,
    lock_timeout_s: float = 30.0,
    now_us: Callable[[], int] = clock_us,
) -> ShardsResult:
    """Take databases, exports and spools into the history at `target`, which may be new.

    Args:
        sources: Each a database, a spool (``*.jsonl``), or a folder that holds databases,
            spools (also in a folder ``spool`` in it) or an export.
        lock_timeout_s: Seconds to wait for another process to finish with the target.

    Raises:
        StoreError: The target cannot be written. What was merged before stays.
    """
    history = History(target, now_us=now_us)
    taken: list[Taken] = []
    refused: list[StoreError] = []
    with history.locked(lock_timeout_s):
        for source in sources:
            try:
                for part in _parts(source.absolute(), history.path):
                    taken.append(_take(history, part, now_us))
            except _SourceError as error:
                refused.append(error)
    return ShardsResult(tuple(taken), tuple(refused))


def _take(history: History, part: _Part, now_us: Callable[[], int]) -> Taken:
    with database.engine(history.path) as connection:
        database.ensure(connection, history.path, now_us)
        with database.attached(connection, history.path, ""):
            taken = part(connection, now_us())
            history.write_snapshot(connection)
    return taken


def _parts(source: Path, target: Path) -> Iterator[_Part]:
    """Return what there is to be merged at `source`."""
    if not source.exists():
        raise _SourceError(f"there is no {source}; {_WHAT_IS_ONE}")
    if target.exists() and source.samefile(target):
        raise _SourceError(f"{source} is the target itself; give the other ones")
    if not source.is_dir():
        yield _spools(source, [source]) if source.suffix == ".jsonl" else _Database(source)
        return
    databases = [path for path in sorted(source.glob("*.duckdb")) if not _same(path, target)]
    spools = sorted([*source.glob("*.jsonl"), *source.glob("spool/*.jsonl")])
    exports = [form for form in FORMATS if (source / f"ingested.{form}").is_file()]
    if not (databases or spools or exports):
        raise _SourceError(f"{source} holds nothing to merge; {_WHAT_IS_ONE}")
    yield from map(_Database, databases)
    yield from (_Export(source, form) for form in exports)
    if spools:
        yield _spools(source, spools)


def _same(path: Path, target: Path) -> bool:
    return target.exists() and path.samefile(target)


def _spools(source: Path, spools: list[Path]) -> _Part:
    ready = [spool for spool in spools if not writer_lives(spool)]

    def take(connection: DuckDBPyConnection, now_us: int) -> Taken:
        if not ready:
            return Taken(source, 0, _LATER.format(len(spools)))
        with _blaming(source):
            for spool in ready:
                # Said here, because the reader of many files would not say of which.
                spool.open("rb").close()
            staged = ingest.stage(connection, ready)
        with database.marked(connection, now_us):
            records = ingest.take_in(connection, staged, now_us)
            learning.learn(connection, now_us)
        notes = []
        if len(ready) < len(spools):
            notes.append(_LATER.format(len(spools) - len(ready)))
        if bad := sum(staged.bad.values()) + len(staged.unreadable):
            notes.append(f"{bad} lines are no records and were passed over")
        return Taken(source, records, "; ".join(notes))

    return take


@dataclass(frozen=True)
class _Database:
    """A database file."""

    path: Path

    def __call__(self, connection: DuckDBPyConnection, now_us: int) -> Taken:
        with _blaming(self.path):
            database.check_name(self.path)
            connection.execute(
                f"ATTACH {database.quoted(self.path)} AS source (TYPE duckdb, READ_ONLY)"
            )
            if database.version_of(connection, self.path, "source") == 0:
                raise StoreError(f"{self.path} holds no history; {_WHAT_IS_ONE}")
            note = self._note(connection)
            pruned = folding.stage(connection, lambda table: f"source.{table}")
            connection.execute("DETACH source")
        return _fold(connection, self.path, [note, pruned], now_us)

    def _note(self, connection: DuckDBPyConnection) -> str:
        known = connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = 'source'"
            " AND table_name = 'merges_under_way'"
        ).fetchone()
        if known and connection.execute("FROM source.merges_under_way LIMIT 1").fetchone():
            wal = database.wal_of(self.path)
            return (
                f"its writer was killed, or it was copied while being written, and {wal.name}"
                f" {'does not hold the end' if wal.exists() else 'is missing'}: records may be"
                " missing; merge again with that file, or the spool folder it came from"
            )
        spools = len([*self.path.parent.glob("spool/*.jsonl")])
        if spools:
            return f"{spools} spools beside it are not in it; merge {self.path.parent}/spool too"
        return ""


@dataclass(frozen=True)
class _Export:
    """A folder that `export` made."""

    folder: Path
    form: str

    def __call__(self, connection: DuckDBPyConnection, now_us: int) -> Taken:
        with _blaming(self.folder):

            def relation(table: str) -> str:
                return relation_of(connection, self.folder, table, self.form)

            step = database.newest_step(connection, relation("schema_version"))
            if step is None:
                raise database.ForeignError(self.folder, "an export of another program")
            database.known_version(self.folder, *step)
            pruned = folding.stage(connection, relation)
        return _fold(connection, self.folder, [pruned], now_us)


def _fold(connection: DuckDBPyConnection, source: Path, notes: Iterable[str], now_us: int) -> Taken:
    with database.marked(connection, now_us):
        records = folding.take_in(connection, now_us)
        learning.learn(connection, now_us)
    return Taken(source, records, "; ".join(note for note in notes if note))


@contextmanager
def _blaming(source: Path) -> Iterator[None]:
    """Turn what goes wrong inside into an error about `source` that says what to do."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise _SourceError(_advice(database.explain(source, error))) from error
    except StoreError as error:
        raise _SourceError(_advice(error)) from error


def _advice(error: StoreError) -> str:
    if isinstance(error, database.ForeignError):
        return f"{error.problem} and was left as it is; {_WHAT_IS_ONE}"
    if isinstance(error, database.NewerError):
        return error.problem
    if isinstance(error, database.DamagedError):
        return (
            f"{error.message}; copy it again, with its .wal if there is one, or merge the spools"
            " it was made from"
        )
    return error.message
