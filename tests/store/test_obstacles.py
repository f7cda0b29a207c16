"""Whole runs whose history cannot be used: the result is the same, the warning clear, the
records kept, and the next run takes them in."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest

from pytest_resilience.store import schema
from pytest_resilience.store.history import History
from tests.conftest import RunSuite, SuiteRun, run_suite

from .test_damage import write_foreign_duckdb, write_text

Start = Callable[..., "subprocess.Popen[str]"]

SUITE = """
    from pathlib import Path

    def test_passes():
        pass

    def test_recovers():
        if not Path("been").exists():
            Path("been").touch()
            raise OSError(28, "No space left on device")

    def test_wrong():
        assert "price" == "9.99"
"""
COUNTS = {"passed": 1, "recovered": 1, "failed": 1}


class Runs:
    """Runs the suite again and again with one history, and counts what got there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = folder / "records" / "history.duckdb"
        self._number = 0

    def copied(self, folder: Path) -> Runs:
        """Return the same in another folder, with what is recorded so far."""
        runs = Runs(folder)
        shutil.copytree(self.db.parent, runs.db.parent)
        runs._number = self._number
        return runs

    def run(self) -> SuiteRun:
        """Run in a new folder; the result must be what it always is."""
        self._number += 1
        folder = self.folder / f"run{self._number}"
        folder.mkdir()
        in_folder: Callable[[Path], RunSuite] = inspect.unwrap(run_suite)
        run = in_folder(folder)(SUITE, "--resilience-db", str(self.db))
        assert (run.status, run.counts) == (1, COUNTS), run.output
        return run

    def sessions(self) -> int:
        """Return how many runs are in the history, each with all its verdicts."""
        rows = History(self.db).read("SELECT count(*) AS n FROM test_results GROUP BY sid")
        assert {row["n"] for row in rows} == {3}
        return len(rows)

    def waiting(self) -> int:
        """Return how many spools have not been taken in."""
        return len(list(self.db.parent.glob("spool/*.jsonl")))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """No history yet."""
    return Runs(tmp_path)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A history of one run, to be copied."""
    runs = Runs(tmp_path_factory.mktemp("one-run"))
    runs.run()
    return runs


@pytest.fixture
def begun(one_run: Runs, tmp_path: Path) -> Runs:
    """A history of one run."""
    return one_run.copied(tmp_path)


def write_newer(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(schema.MIGRATIONS[0].sql)
        connection.execute(
            "INSERT INTO schema_version VALUES (?, 99, '', '9.9', NULL)", [schema.APPLICATION]
        )


@pytest.mark.parametrize(
    ("write", "warning"),
    [
        pytest.param(write_text, "is no DuckDB database and was left as it is", id="text"),
        pytest.param(write_foreign_duckdb, "of another program and was left", id="foreign"),
        pytest.param(write_newer, "has schema 99, .*; upgrade pytest-resilience", id="newer"),
    ],
)
def test_a_file_that_is_not_ours_to_write_keeps_the_records_waiting(
    runs: Runs, write: Callable[[Path], None], warning: str
) -> None:
    runs.db.parent.mkdir()
    write(runs.db)
    content = runs.db.read_bytes()
    run = runs.run()
    assert re_found(warning, run)
    assert (runs.db.read_bytes(), runs.waiting()) == (content, 1)
    runs.db.unlink()
    assert "[history-" not in runs.run().output
    assert (runs.sessions(), runs.waiting()) == (2, 0)


@pytest.mark.parametrize("size", [0, 5000, 100_000], ids="{} bytes".format)
def test_a_damaged_history_is_put_aside_and_the_run_recorded(begun: Runs, size: int) -> None:
    os.truncate(begun.db, size)
    assert re_found(r"the history was damaged; it is kept as .*\[history-damaged\]", begun.run())
    assert (begun.sessions(), begun.waiting()) == (1, 0)
    assert len(list(begun.db.parent.glob("history.duckdb.corrupt-*"))) >= 1


_HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
sys.stdin.readline()
"""


def test_two_runs_that_end_together_while_a_third_process_reads(begun: Runs, start: Start) -> None:
    """Both go on, both say who has the file, and the next run takes both in."""
    runs = begun
    with start("-c", _HOLDER, runs.db) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        try:
            with ThreadPoolExecutor() as pool:
                ended = [future.result() for future in [pool.submit(runs.run) for _ in range(2)]]
        finally:
            holder.kill()
    for run in ended:
        assert re_found(r"is open in another program \(.*\); close it there", run)
    assert (runs.sessions(), runs.waiting()) == (1, 2)
    runs.run()
    assert (runs.sessions(), runs.waiting()) == (4, 0)


def test_runs_that_end_together_are_all_recorded(runs: Runs) -> None:
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(runs.run) for _ in range(3)]:
            future.result()
    runs.run()
    assert (runs.sessions(), runs.waiting()) == (4, 0)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Have a disk of its own at `folder`; skips where this process may not mount one."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED HERE: only root may mount a disk of its own")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_the_records_until_there_is_room(runs: Runs) -> None:
    runs.db.parent.mkdir()
    with mounted(runs.db.parent, "size=16m"):
        ballast = runs.db.parent / "ballast"
        with ballast.open("wb") as file:
            file.write(b"x" * (16 * 1024 * 1024 - 96 * 1024))
        assert re_found("no space left for .*history.duckdb; make room on its disk", runs.run())
        assert runs.waiting() == 1
        ballast.unlink()
        runs.run()
        assert (runs.sessions(), runs.waiting()) == (2, 0)


def test_a_folder_that_may_not_be_written_is_told_of(runs: Runs) -> None:
    """There is no place for the records then, and that is said as well."""
    runs.db.parent.mkdir()
    with ExitStack() as stack:
        stack.enter_context(mounted(runs.db.parent, "size=16m"))
        runs.run()
        subprocess.run(["mount", "-o", "remount,ro", str(runs.db.parent)], check=True)
        assert re_found("records did not reach the history .*Read-only file system", runs.run())
        subprocess.run(["mount", "-o", "remount,rw", str(runs.db.parent)], check=True)
        runs.run()
        assert runs.sessions() == 2


def re_found(pattern: str, run: SuiteRun) -> bool:
    """Return whether the run said something like `pattern`, wherever lines were broken."""
    said = " ".join(run.output.split())
    assert re.search(pattern, said), run.output
    return True
