"""Databases that cannot be used: what is said, what is kept, and how it goes on.

Each test ends with the records merged after all, once the obstacle is gone.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import schema
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool

from .samples import merged, refused

Fill = Callable[..., Path]
Run = Callable[..., str]
Start = Callable[..., "subprocess.Popen[str]"]


def write_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()


def write_foreign_duckdb(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE sales (a INTEGER)")


def write_look_alike(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER)")
        connection.execute("INSERT INTO schema_version VALUES (1)")


def write_other_application(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE schema_version (application TEXT, version INTEGER)")
        connection.execute("INSERT INTO schema_version VALUES ('another', 1)")


def write_text(path: Path) -> None:
    path.write_text("not a database, but somebody's notes\n" * 1000)


def write_one_byte(path: Path) -> None:
    path.write_bytes(b"x")


@pytest.mark.parametrize(
    "write",
    [
        write_sqlite,
        write_foreign_duckdb,
        write_look_alike,
        write_other_application,
        write_text,
        write_one_byte,
    ],
)
def test_a_file_of_another_program_is_never_changed(
    history: History, path: Path, write: Callable[[Path], None]
) -> None:
    write(history.path)
    refused(history, path, "was left as it is; name another file with --resilience-db")
    with pytest.raises(StoreError):
        history.read("SELECT 1")
    assert [
        p.name for p in history.path.parent.glob("history.duckdb*") if "corrupt" in p.name
    ] == []
    history.path.unlink()
    assert history.merge([path]).records == 3


def test_a_newer_history_names_the_version_it_needs(history: History, path: Path) -> None:
    history.merge([path])
    with duckdb.connect(history.path) as connection:
        connection.execute(
            "INSERT INTO schema_version VALUES (?, ?, 'of tomorrow', '99.1', now()::TIMESTAMP)",
            [schema.APPLICATION, schema.SCHEMA_VERSION + 7],
        )
    spool = Spool(path.parent, session_id="s", worker="w", now_us=lambda: 1)
    spool.emit("attempt", {})
    spool.close()
    needed = f"has schema {schema.SCHEMA_VERSION + 7}, .*up to {schema.SCHEMA_VERSION}; upgrade"
    refused(history, spool.path, f"{needed} pytest-resilience to 99.1")
    with duckdb.connect(history.path) as connection:
        connection.execute("DELETE FROM schema_version WHERE version > ?", [schema.SCHEMA_VERSION])
    assert history.merge([spool.path]).records == 1
    assert merged(history) == 4


def cut_to(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        os.truncate(path, int(path.stat().st_size * share))

    return cut


def flip(position: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 0xFF
        path.write_bytes(content)

    return change


def flip_blocks(path: Path) -> None:
    """Change a byte in each block; one of them alone may be free."""
    for position in range(12_288 + 100, path.stat().st_size, 65_536):
        flip(position)(path)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut_to(0), id="zero-bytes"),
        pytest.param(cut_to(0.02), id="cut-to-2-percent"),
        pytest.param(cut_to(0.6), id="cut-to-60-percent"),
        pytest.param(flip(0), id="flipped-first-byte"),
        pytest.param(flip(5000), id="flipped-in-the-header"),
        pytest.param(flip_blocks, id="flipped-in-each-block"),
    ],
)
def test_a_damaged_history_makes_room_for_a_new_one(
    history: History, path: Path, filled: Fill, damage: Callable[[Path], None]
) -> None:
    history.merge([filled(("attempt", {"nodeid": "lost"}))])
    damage(history.path)
    content = history.path.read_bytes()
    result = history.merge([path])
    assert result.records == 3
    assert result.moved_aside is not None
    assert result.moved_aside.name.startswith("history.duckdb.corrupt-")
    # Where the damage shows only once the merge is announced in the file, its end has grown.
    assert len(result.moved_aside.read_bytes()) >= len(content)
    assert merged(history) == 3


@pytest.mark.parametrize(
    "damage",
    [cut_to(0), cut_to(0.02), flip(0), flip(5000)],
    ids=["zero-bytes", "cut-to-2-percent", "flipped-first-byte", "flipped-in-the-header"],
)
def test_a_file_whose_damage_shows_at_once_is_not_written_to(
    history: History, path: Path, filled: Fill, damage: Callable[[Path], None]
) -> None:
    history.merge([filled(("attempt", {"nodeid": "lost"}))])
    damage(history.path)
    content = history.path.read_bytes()
    moved = history.merge([path]).moved_aside
    assert moved is not None
    assert moved.read_bytes() == content


def test_each_damaged_history_keeps_a_name_of_its_own(folder: Path, filled: Fill) -> None:
    history = History(folder / "history.duckdb", now_us=lambda: 0)
    for _ in range(3):
        history.path.write_bytes(b"")
        history.merge([filled(("attempt", {}))])
    names = sorted(p.name for p in folder.glob("*.corrupt-*"))
    stamp = "history.duckdb.corrupt-19700101T000000"
    assert names == [stamp, f"{stamp}-1", f"{stamp}-2"]


def test_reading_a_damaged_history_moves_nothing(history: History, path: Path) -> None:
    history.merge([path])
    cut_to(0.5)(history.path)
    with pytest.raises(StoreError, match="is damaged"):
        history.read("SELECT * FROM attempts")
    assert history.path.exists()


_KILLED_WITH_A_LOG = """
import os, signal, sys
import duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("PRAGMA disable_checkpoint_on_shutdown")
connection.execute("INSERT INTO events (kind) SELECT 'logged' FROM range(500)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def with_log(history: History, path: Path, start: Start) -> History:
    """A history of three attempts whose write-ahead log holds 500 events."""
    history.merge([path])
    with start("-c", _KILLED_WITH_A_LOG, history.path) as process:
        process.communicate()
    assert history.path.with_name("history.duckdb.wal").stat().st_size > 0
    return history


def test_a_log_left_by_a_killed_process_is_taken_over(with_log: History, filled: Fill) -> None:
    with_log.merge([filled(("attempt", {}))])
    assert with_log.read("SELECT count(*) AS n FROM events") == [{"n": 500}]
    assert not with_log.path.with_name("history.duckdb.wal").exists()


def test_a_damaged_log_costs_only_itself(with_log: History, filled: Fill) -> None:
    log = with_log.path.with_name("history.duckdb.wal")
    flip(log.stat().st_size // 2)(log)
    result = with_log.merge([filled(("attempt", {"nodeid": "new"}))])
    assert result.moved_aside is not None
    assert result.moved_aside.name.startswith("history.duckdb.wal.corrupt-")
    assert merged(with_log) == 4


_HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""


def test_a_history_open_elsewhere_names_the_process(
    history: History, path: Path, filled: Fill, start: Start
) -> None:
    history.merge([path])
    late = filled(("attempt", {"nodeid": "late"}))
    with start("-c", _HOLDER, history.path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        try:
            refused(history, late, rf"is open in another program \(.*process {holder.pid}\)")
            with pytest.raises(StoreError, match="close it there"):
                history.read("SELECT 1")
        finally:
            holder.kill()
    assert history.merge([late]).records == 1
    assert merged(history) == 4


def test_a_history_open_in_this_process_is_left_alone(
    history: History, path: Path, filled: Fill
) -> None:
    history.merge([path])
    late = filled(("attempt", {"nodeid": "late"}))
    with duckdb.connect(history.path) as connection:
        with pytest.raises(StoreError, match="is open in this very process"):
            history.merge([late])
        connection.execute("INSERT INTO events (kind) VALUES ('mine')")
    assert history.merge([late]).records == 1
    assert history.read("SELECT kind FROM events") == [{"kind": "mine"}]


_LOCK_HOLDER = """
import sys, filelock
lock = filelock.FileLock(sys.argv[1] + ".lock")
lock.acquire()
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_busy_history_is_left_to_the_next_session(
    history: History, path: Path, start: Start
) -> None:
    with start("-c", _LOCK_HOLDER, history.path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        try:
            refused(history, path, "another process is busy with .* the next session")
        finally:
            holder.kill()
    assert history.merge([path]).records == 3


def test_a_history_never_written_says_how_to_begin(history: History) -> None:
    with pytest.raises(StoreError, match=r"no history at .*; run pytest --resilience first"):
        history.session_ids()
    assert not history.path.exists()


@pytest.mark.parametrize(
    ("broken", "match"),
    [("duckdb", "duckdb cannot be imported"), ("filelock", "filelock cannot be imported")],
)
def test_a_broken_installation_is_said_plainly(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, match: str
) -> None:
    monkeypatch.setitem(sys.modules, broken, None)
    with pytest.raises(StoreError, match=match):
        history.merge([path])
    assert path.exists()


def test_a_folder_in_the_place_of_the_file_is_left_alone(history: History, path: Path) -> None:
    history.path.mkdir()
    (history.path / "theirs").touch()
    refused(history, path, "history.duckdb")
    assert (history.path / "theirs").exists()


def test_a_question_mark_in_the_path_is_refused(tmp_path: Path, path: Path) -> None:
    refused(History(tmp_path / "what?" / "history.duckdb"), path, r"'\?' in a path")


def test_a_copy_of_the_history_reads_like_the_original(
    history: History, path: Path, tmp_path: Path
) -> None:
    """After a merge everything is in the one file, so that file alone can be archived."""
    history.merge([path])
    copy = History(Path(shutil.copy(history.path, tmp_path / "copy.duckdb")))
    assert merged(copy) == 3
