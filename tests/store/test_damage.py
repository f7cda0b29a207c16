"""Databases that cannot be used: what is said, what is kept, and how it goes on.

Each test ends with the records merged after all, once the obstacle is gone.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import schema
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, orphans, prepare

Fill = Callable[..., Path]
Run = Callable[..., str]
Start = Callable[..., "subprocess.Popen[str]"]

MIB = 1 << 20


@pytest.fixture
def path(filled: Fill) -> Path:
    """A closed spool with three attempts."""
    return filled(*[("attempt", {"nodeid": str(n)}) for n in range(3)])


def merged(history: History) -> int:
    return int(history.read("SELECT count(*) AS n FROM attempts")[0]["n"])


def refused(history: History, spool: Path, match: str, *, touched: bool = False) -> None:
    """Expect a StoreError, the spool kept and the database file left alone."""
    before = history.path.read_bytes() if history.path.is_file() and not touched else None
    content = spool.read_bytes()
    with pytest.raises(StoreError, match=match) as caught:
        history.merge([spool], lock_timeout_s=0.1)
    assert str(history.path.parent) in str(caught.value)
    assert spool.read_bytes() == content
    if before is not None:
        assert history.path.read_bytes() == before


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
        connection.execute("DELETE FROM schema_version WHERE version <> 1")
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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut_to(0), id="zero-bytes"),
        pytest.param(cut_to(0.02), id="cut-to-2-percent"),
        pytest.param(cut_to(0.6), id="cut-to-60-percent"),
        pytest.param(flip(0), id="flipped-first-byte"),
        pytest.param(flip(5000), id="flipped-in-the-header"),
        pytest.param(flip(12288 + 100), id="flipped-in-the-first-block"),
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
    assert result.moved_aside.read_bytes() == content
    assert merged(history) == 3


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


_AS_NOBODY = """
import os, sys
from pathlib import Path
import duckdb, filelock  # while the installation can still be read
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database, ingest, learning
from pytest_resilience.store.history import History
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
history = History(Path(sys.argv[1]))
for action in (lambda: history.merge([Path(sys.argv[2])]).records, history.session_ids):
    try:
        print(action())
    except StoreError as error:
        print(error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A database folder that a process without rights can reach."""
    with tempfile.TemporaryDirectory(prefix="resilience-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "match"),
    [
        pytest.param(0o555, 0o644, "cannot be written", id="folder"),
        pytest.param(0o777, 0o444, "cannot be written", id="file"),
    ],
)
def test_what_may_not_be_written_can_still_be_read(
    public: Path, run: Run, folder_mode: int, file_mode: int, match: str
) -> None:
    history = History(public / "history.duckdb")
    for name in ("first", "second"):
        spool = Spool(prepare(public), session_id=name, worker="w", now_us=lambda: 1)
        spool.emit("attempt", {"nodeid": name})
        spool.close()
        if name == "first":
            history.merge([spool.path])
    history.path.with_name("history.duckdb.lock").unlink(missing_ok=True)
    history.path.chmod(file_mode)
    public.chmod(folder_mode)
    refusal, sessions = run("-c", _AS_NOBODY, history.path, spool.path).split("\n")
    assert match in refusal
    assert sessions == "['first']"
    assert spool.path.exists()
    public.chmod(0o777)
    history.path.chmod(0o666)
    assert history.merge(orphans(public / "spool")).records == 1


_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store.history import History
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), hard))
try:
    History(Path(sys.argv[1])).merge([Path(sys.argv[2])])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [100, 20_000, 300_000], ids="{} bytes".format)
def test_a_file_that_may_not_grow_keeps_what_it_has(
    history: History, path: Path, filled: Fill, run: Run, room: int
) -> None:
    """Stands for a full disk where nobody may mount a small one."""
    history.merge([path])
    big = filled(*[("attempt", {"nodeid": str(n), "traceback": os.urandom(500).hex()})
                   for n in range(2000)])  # fmt: skip
    size = history.path.stat().st_size
    refusal = run("-c", _WITH_LIMIT, history.path, big, size + room)
    assert "no space left" in refusal or "could not be used" in refusal
    assert big.exists()
    assert merged(history) == 3
    assert history.merge([big]).records == 2000
    assert merged(history) == 2003


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk; RLIMIT_FSIZE stands for it above")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_keeps_the_spool_until_there_is_room(small_disk: Path) -> None:
    history = History(small_disk / "history.duckdb")
    spools = prepare(small_disk)

    def fill(name: str, text: str) -> Spool:
        spool = Spool(spools, session_id=name, worker="w", now_us=lambda: 1)
        for n in range(200):
            spool.emit("attempt", {"nodeid": f"{name}-{n}", "traceback": text})
        spool.close()
        return spool

    assert history.merge([fill("first", "x").path]).records == 200
    late = fill("late", os.urandom(1000).hex())
    assert late.lost == 0
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    refused(history, late.path, "no space left", touched=True)
    # The spool cannot grow either, and says so.
    lost = fill("lost", os.urandom(1000).hex())
    assert lost.lost > 0
    assert lost.error
    ballast.unlink()
    assert history.merge([late.path]).records == 200
    assert history.merge(orphans(spools)).records == 200 - lost.lost
    assert merged(history) == 600 - lost.lost


def test_a_copy_of_the_history_reads_like_the_original(
    history: History, path: Path, tmp_path: Path
) -> None:
    """After a merge everything is in the one file, so that file alone can be archived."""
    history.merge([path])
    copy = History(Path(shutil.copy(history.path, tmp_path / "copy.duckdb")))
    assert merged(copy) == 3
