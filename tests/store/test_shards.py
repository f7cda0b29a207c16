"""Histories of many machines become one: the union, however they overlap and how often."""

from __future__ import annotations

import functools
import itertools
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import export, schema, shards, snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.retention import prune
from pytest_resilience.store.shards import merge_databases
from pytest_resilience.store.spool import Spool, prepare

from .conftest import NEW_YEAR_US
from .samples import contents, merged, recovery
from .test_damage import flip_blocks

#: Databases that are merged into one; twenty take long, and show no more than some.
MACHINES = 20 if os.environ.get("ACCEPTANCE") == "full" else 6
Start = Callable[..., "subprocess.Popen[str]"]


def events_of(rng: random.Random, session: int) -> list[tuple[str, dict[str, Any]]]:
    """Return what a session records, something of every kind."""
    events: list[tuple[str, dict[str, Any]]] = [("session_started", {"project": "shop"})]
    for number in range(rng.randint(3, 12)):
        error = f"s{session}-e{number}"
        context = {"error_id": error, "recovery_level": rng.randint(1, 5), "nodeid": f"t{number}"}
        events += [
            ("attempt", {"nodeid": f"t{number}", "message": 'it\'s "so", \n or \0 \U0001f9e8'}),
            ("error", {"error_id": error, "message": "gone", "resolution_status": "retrying"}),
            recovery(
                success=rng.random() < 0.7,
                environment=rng.choice(["chrome", "firefox"]),
                execution_time=rng.random() * 20,
                timestamp_us=NEW_YEAR_US + rng.randrange(10**12),
                context=context,
            ),
            ("error", {"error_id": error, "resolution_status": "resolved"}),
            ("test_result", {"nodeid": f"t{number}", "verdict": "recovered"}),
        ]
    others = ("circuit_transition", "injection", "checkpoint", "kind of tomorrow")
    events += [(kind, {"nodeid": "n", "state": {"step": 1}}) for kind in others]
    if rng.random() < 0.8:
        events.append(("session_finished", {"exit_status": 0}))
    return events


@pytest.fixture(scope="module")
def spools(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Thirty spools of as many sessions, which nobody changes."""
    rng, ticks = random.Random(7), itertools.count(NEW_YEAR_US)
    folder, made = tmp_path_factory.mktemp("spools"), []
    for number in range(30):
        spool = Spool(folder, session_id=f"s{number}", worker="main", now_us=lambda: next(ticks))
        spool.emit_many(events_of(rng, number))
        spool.close()
        assert (spool.lost, spool.error) == (0, "")
        made.append(spool.path)
    return made


def built(folder: Path, spools: list[Path]) -> History:
    """Return a history in `folder` made from copies of `spools`."""
    shutil.copytree(_built(tuple(spools)), folder, dirs_exist_ok=True)
    return History(folder / "history.duckdb")


@functools.cache
def _built(spools: tuple[Path, ...]) -> Path:
    folder = Path(tempfile.mkdtemp(dir=spools[0].parent))
    history = History(prepare(folder).parent / "history.duckdb")
    history.merge([Path(shutil.copy(spool, folder / spool.name)) for spool in spools])
    return folder


def beginning_of(spool: Path, folder: Path, lines: int) -> Path:
    """Return a copy of `spool` as it was when it had so many lines."""
    folder.mkdir(exist_ok=True)
    part = folder / spool.name
    part.write_bytes(b"".join(spool.read_bytes().splitlines(keepends=True)[:lines]))
    return part


@pytest.fixture
def machines(tmp_path: Path, spools: list[Path]) -> list[Path]:
    """Databases that overlap, some with only the beginning of a spool of others."""
    rng = random.Random(8)
    found = []
    for number in range(MACHINES):
        folder = tmp_path / f"machine{number}"
        # All of them together have every spool.
        own = {spools[n] for n in range(len(spools)) if n % MACHINES == number}
        whole = {*own, *rng.sample(spools, 6)}
        parts = [
            beginning_of(spool, tmp_path / f"parts{number}", rng.randint(1, 9))
            for spool in rng.sample(spools, 4)
            if spool not in whole
        ]
        found.append(built(folder, [*sorted(whole), *parts]).path)
    return found


def test_overlapping_databases_give_the_union_and_twice_the_same(
    tmp_path: Path, spools: list[Path], machines: list[Path]
) -> None:
    union = contents(built(tmp_path / "union", spools))
    assert len(union["attempts"]) > 150
    before = {path: path.read_bytes() for path in machines}
    target = tmp_path / "target" / "history.duckdb"
    result = merge_databases(target, machines)
    assert result.refused == ()
    assert result.records == sum(row["records"] for row in union["ingested"])
    assert contents(History(target)) == union
    again = merge_databases(target, random.Random(9).sample(machines, len(machines)))
    assert (again.records, again.refused) == (0, ())
    assert contents(History(target)) == union
    assert {path: path.read_bytes() for path in machines} == before
    learned = snapshot.read(snapshot.path_of(target))
    assert len(learned.cells) == len(union["recovery_cells"])


@pytest.mark.parametrize("form", export.FORMATS)
def test_exports_merge_like_the_databases_they_came_from(
    tmp_path: Path, spools: list[Path], form: str
) -> None:
    parts = [spools[:4], spools[2:7]]
    union = contents(built(tmp_path / "union", spools[:7]))
    folders = []
    for number, part in enumerate(parts):
        folders.append(tmp_path / f"it's export {number}")
        export.export(built(tmp_path / str(number), part).path, folders[-1], form)
    target = tmp_path / "target.duckdb"
    for _ in range(2):
        assert merge_databases(target, folders).refused == ()
        assert contents(History(target)) == union


def test_folders_and_spools_are_sources_and_stay_as_they_are(
    tmp_path: Path, spools: list[Path]
) -> None:
    """A whole ``.resilience`` folder, a folder of spools, and one spool."""
    machine = built(tmp_path / "machine", spools[:2]).path.parent
    shutil.copy(spools[2], machine / "spool" / spools[2].name)
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(spools[3], loose)
    union = contents(built(tmp_path / "union", spools[:5]))
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    target = tmp_path / "target" / "history.duckdb"
    for _ in range(2):
        result = merge_databases(target, [machine, loose, spools[4]])
        assert result.refused == ()
        assert contents(History(target)) == union
    shutil.rmtree(target.parent)
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


def test_sources_that_cannot_be_used_are_named_and_the_others_merged(
    tmp_path: Path, spools: list[Path]
) -> None:
    def source(name: str, content: bytes | None = None) -> Path:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        return path

    good = [built(tmp_path / "a", spools[:2]).path, built(tmp_path / "b", spools[1:4]).path]
    torn = source("torn.duckdb", good[0].read_bytes()[:30_000])
    damaged = source("damaged.duckdb", good[0].read_bytes())
    flip_blocks(damaged)
    newer = source("newer.duckdb", good[0].read_bytes())
    with duckdb.connect(newer) as connection:
        connection.execute(
            "INSERT INTO schema_version VALUES (?, 99, '', '9.9', NULL)", [schema.APPLICATION]
        )
    foreign = source("foreign.duckdb")
    with duckdb.connect(foreign) as connection:
        connection.execute("CREATE TABLE sales (a INTEGER)")
    text, empty = source("notes.txt", b"somebody's notes"), source("empty.duckdb", b"")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    half = tmp_path / "half"
    export.export(good[0], half, "csv")
    (half / "attempts.csv").unlink()
    bad = [torn, damaged, newer, foreign, text, empty, nothing, half, tmp_path / "gone"]
    target = tmp_path / "target.duckdb"
    order = [*bad[:4], good[0], *bad[4:], target, good[1]]
    assert merge_databases(target, [good[0]]).records > 0

    result = merge_databases(target, order)
    said = {path: [str(error) for error in result.refused if str(path) in str(error)]
            for path in [*bad, target]}  # fmt: skip
    assert [len(messages) for messages in said.values()] == [1] * len(said)
    assert all(isinstance(error, StoreError) for error in result.refused)
    expected = {
        torn: "is damaged: .*; copy it again, with its .wal if there is one, or merge the spools",
        damaged: "is damaged: .*; copy it again",
        newer: "has schema 99, .* knows schemas up to .*; upgrade pytest-resilience to 9.9",
        foreign: "is a DuckDB database of another program .* give a history.duckdb",
        text: "is no DuckDB database .* give a history.duckdb",
        empty: "is damaged",
        nothing: "holds nothing to merge; give a history.duckdb",
        half: "is no whole export, attempts.csv is missing; export it again",
        tmp_path / "gone": "there is no .*gone; give a history.duckdb",
        target: "is the target itself; give the other ones",
    }
    for path, pattern in expected.items():
        with pytest.raises(StoreError, match=pattern):
            raise next(error for error in result.refused if str(path) in str(error))
    assert [taken.source for taken in result.taken] == good
    assert contents(History(target)) == contents(built(tmp_path / "union", spools[:4]))


def test_a_source_of_the_first_schema_is_read_as_it_is(tmp_path: Path, spools: list[Path]) -> None:
    old = tmp_path / "old.duckdb"
    with duckdb.connect(old) as connection:
        connection.execute(schema.MIGRATIONS[0].sql)
        connection.execute(
            "INSERT INTO schema_version VALUES (?, 1, '', '0.1', NULL);", [schema.APPLICATION]
        )
        connection.execute("INSERT INTO ingested VALUES ('x', 2, 2, 0, NULL)")
        connection.execute(
            "INSERT INTO recovery_performance BY NAME SELECT 'x' AS spool, unnest([1, 2]) AS seq,"
            " 'browser' AS error_type, 'retry' AS strategy_id, true AS success,"
            " 2 AS execution_time,"
            f" {NEW_YEAR_US} AS timestamp_us, make_timestamp({NEW_YEAR_US}) AS timestamp"
        )
    before = old.read_bytes()
    target = tmp_path / "target.duckdb"
    for records in (2, 0):
        result = merge_databases(target, [old])
        assert (result.records, result.refused) == (records, ())
    assert old.read_bytes() == before
    cells = History(target).read("SELECT strategy_id, recent FROM recovery_cells")
    assert cells == [{"strategy_id": "retry", "recent": "11"}]


_KILLED_BEFORE_THE_CHECKPOINT = """
import os, signal, sys
from pathlib import Path
from pytest_resilience.store import database
from pytest_resilience.store.history import History
History.write_snapshot = lambda self, connection: os.kill(os.getpid(), signal.SIGKILL)
History(Path(sys.argv[1])).merge([Path(sys.argv[2])])
"""


@pytest.fixture
def killed(tmp_path: Path, spools: list[Path], start: Start) -> Path:
    """A history of two spools, one of them in its write-ahead log alone."""
    path = built(tmp_path / "killed", spools[:1]).path
    spool = Path(shutil.copy(spools[1], path.parent / "spool" / spools[1].name))
    with start("-c", _KILLED_BEFORE_THE_CHECKPOINT, path, spool) as process:
        _, errors = process.communicate()
    assert process.returncode == -9, errors
    assert path.with_name("history.duckdb.wal").stat().st_size > 0
    return path


def test_a_source_is_read_with_its_write_ahead_log(
    tmp_path: Path, spools: list[Path], killed: Path
) -> None:
    before = sorted((p.name, p.read_bytes()) for p in killed.parent.glob("history*"))
    target = tmp_path / "target.duckdb"
    [taken] = merge_databases(target, [killed]).taken
    assert "missing" not in taken.note
    assert contents(History(target)) == contents(built(tmp_path / "union", spools[:2]))
    assert sorted((p.name, p.read_bytes()) for p in killed.parent.glob("history*")) == before


def test_a_source_copied_without_its_log_is_told_of(
    tmp_path: Path, spools: list[Path], killed: Path
) -> None:
    """Its records may be missing; once the log or the spool is there, they come."""
    alone = tmp_path / "alone"
    alone.mkdir()
    copy = Path(shutil.copy(killed, alone / "history.duckdb"))
    target = tmp_path / "target.duckdb"
    [taken] = merge_databases(target, [copy]).taken
    assert "history.duckdb.wal is missing: records may be missing; merge again with" in taken.note
    assert merged(History(target)) < merged(built(tmp_path / "union", spools[:2]))
    assert merge_databases(target, [killed.parent]).refused == ()
    assert contents(History(target)) == contents(History(tmp_path / "union" / "history.duckdb"))


def test_spools_beside_a_database_are_told_of(tmp_path: Path, spools: list[Path]) -> None:
    path = built(tmp_path / "machine", spools[:1]).path
    shutil.copy(spools[1], path.parent / "spool")
    [taken] = merge_databases(tmp_path / "target.duckdb", [path]).taken
    assert taken.note == f"1 spools beside it are not in it; merge {path.parent}/spool too"


def test_a_living_spool_is_left_for_later(
    folder: Path, tmp_path: Path, new_spool: Callable[..., Spool]
) -> None:
    spool = new_spool()
    spool.emit("attempt", {"nodeid": "a"})
    target = tmp_path / "target.duckdb"
    [taken] = merge_databases(target, [folder / "spool"]).taken
    assert (taken.records, taken.note) == (0, "1 spools are being written; merge them later")
    spool.close()
    assert merge_databases(target, [folder / "spool"]).records == 1


def test_what_was_pruned_comes_back_from_nowhere(tmp_path: Path, spools: list[Path]) -> None:
    """Neither from a source that still has it, nor as a hole that hides it from others."""
    pruned, whole = built(tmp_path / "pruned", spools[:3]), built(tmp_path / "whole", spools[:4])
    prune(pruned.path, keep_days=0)
    learned = contents(pruned)["recovery_daily"]
    target = tmp_path / "target.duckdb"
    [taken] = merge_databases(target, [pruned.path]).taken
    assert taken.records == 0
    assert "records of it had been pruned and cannot be merged" in taken.note
    merge_databases(target, [whole.path])
    assert contents(History(target)) == contents(whole)
    shutil.copy(pruned.path, tmp_path / "copy.duckdb")
    merge_databases(tmp_path / "copy.duckdb", [built(tmp_path / "three", spools[:3]).path])
    copy = contents(History(tmp_path / "copy.duckdb"))
    assert copy["attempts"] == copy["errors"] == []
    assert copy["recovery_daily"] == learned


def test_a_target_that_is_no_history_is_refused_at_once(tmp_path: Path, spools: list[Path]) -> None:
    target = tmp_path / "target.duckdb"
    target.write_text("somebody's notes")
    with pytest.raises(StoreError, match=r"target\.duckdb is no DuckDB database"):
        merge_databases(target, [spools[0]])
    assert target.read_text() == "somebody's notes"


def test_the_lock_of_the_target_is_waited_for(tmp_path: Path, spools: list[Path]) -> None:
    target = tmp_path / "target.duckdb"
    with History(target).locked(1.0), pytest.raises(StoreError, match="another process is busy"):
        merge_databases(target, [spools[0]], lock_timeout_s=0.1)
    assert shards.merge_databases(target, [spools[0]]).records > 0
