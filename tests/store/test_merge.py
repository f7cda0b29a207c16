"""Merging with a real DuckDB: exactly once, whoever merges what and how often."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import schema
from pytest_resilience.store.history import History, MergeResult
from pytest_resilience.store.spool import Spool, orphans

from .samples import recovery

Fill = Callable[..., Path]


def test_merging_again_changes_nothing(tmp_path: Path, history: History, filled: Fill) -> None:
    """Copies of one spool, together and one after another, count once."""
    path = filled(recovery(), ("attempt", {"nodeid": "a"}), ("test_result", {"verdict": "passed"}))
    copies = [Path(shutil.copy(path, tmp_path / f"copy{n}.jsonl")) for n in range(3)]
    same_name = tmp_path / "elsewhere"
    same_name.mkdir()
    copies.append(Path(shutil.copy(path, same_name / path.name)))
    assert history.merge([path, copies[0]]).records == 3
    before = {t: history.read(f"SELECT * FROM {t}") for t in ("attempts", "strategy_scores")}
    for copy in copies[1:]:
        assert history.merge([copy]).records == 0
    assert before == {t: history.read(f"SELECT * FROM {t}") for t in before}
    assert history.read("SELECT last_seq, records FROM ingested") == [{"last_seq": 3, "records": 3}]


def test_a_longer_copy_adds_only_the_rest(tmp_path: Path, history: History, filled: Fill) -> None:
    path = filled(*[("attempt", {"nodeid": str(n)}) for n in range(10)])
    lines = path.read_bytes().splitlines(keepends=True)
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    assert (history.merge([part]).records, history.merge([path]).records) == (4, 6)
    rows = history.read("SELECT nodeid FROM attempts ORDER BY seq")
    assert [row["nodeid"] for row in rows] == [str(n) for n in range(10)]


def test_a_spool_goes_when_it_is_in_and_stays_while_its_writer_lives(
    folder: Path, history: History, new_spool: Callable[..., Spool]
) -> None:
    living, closed = new_spool(), new_spool()
    for spool in (living, closed):
        spool.emit("attempt", {"nodeid": "a"})
    closed.close()
    assert history.merge([living.path, closed.path, folder / "spool" / "gone.jsonl"]).spools == 1
    assert sorted((folder / "spool").iterdir()) == [living.path, living.path.with_suffix(".lock")]
    living.emit("attempt", {"nodeid": "b"})
    living.close()
    assert history.merge(orphans(folder / "spool")).records == 2
    assert list((folder / "spool").iterdir()) == []


def test_nothing_to_merge_touches_nothing(folder: Path, history: History) -> None:
    before = sorted(folder.rglob("*"))
    assert history.merge([]) == MergeResult()
    assert history.merge([folder / "spool" / "gone.jsonl"]) == MergeResult()
    assert sorted(folder.rglob("*")) == before


_MERGE = """
import sys
from pathlib import Path
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import orphans
folder = Path(sys.argv[1])
spools = orphans(folder / "spool")
print("ready", flush=True)
sys.stdin.readline()
print(History(folder / "history.duckdb").merge(spools, lock_timeout_s=60).records)
"""


def test_sessions_that_end_at_once_share_the_work(
    folder: Path, history: History, filled: Fill, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Four processes that know the same spools take each record in once together."""
    for spool in range(6):
        filled(*[("attempt", {"nodeid": f"{spool}-{n}"}) for n in range(50)])
    processes = [start("-c", _MERGE, folder) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    results = [process.communicate("\n") for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert sum(int(output) for output, _ in results) == 300
    rows = history.read("SELECT count(*) AS n, count(DISTINCT nodeid) AS d FROM attempts")
    assert rows == [{"n": 300, "d": 300}]


def test_an_older_history_is_brought_up_to_date(
    history: History, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails leaves the history at the version before it, records and all."""
    from pytest_resilience.store import database

    history.merge([filled(("attempt", {"nodeid": "old"}))])
    step = schema.Migration(
        schema.SCHEMA_VERSION + 1, "a mood", "ALTER TABLE attempts ADD COLUMN mood VARCHAR"
    )
    broken = schema.Migration(
        step.version + 1, "broken", "DROP TABLE attempts; SELECT * FROM nowhere"
    )
    monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, step, broken))
    monkeypatch.setattr(database, "SCHEMA_VERSION", broken.version)
    path = filled(("attempt", {"nodeid": "new", "mood": "fine"}))
    with pytest.raises(StoreError, match="nowhere"):
        history.merge([path])
    assert path.exists()
    monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, step))
    monkeypatch.setattr(database, "SCHEMA_VERSION", step.version)
    history.merge([path])
    rows = history.read("SELECT nodeid, mood FROM attempts ORDER BY seq, nodeid DESC")
    assert rows == [{"nodeid": "old", "mood": None}, {"nodeid": "new", "mood": "fine"}]
    steps = history.read("SELECT version, description FROM schema_version ORDER BY version")
    assert [row["description"] for row in steps] == [
        *(released.description for released in schema.MIGRATIONS),
        "a mood",
    ]
