"""Pruning: old records go, what they taught stays, the file shrinks, nothing is half done."""

from __future__ import annotations

import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.retention import prune
from pytest_resilience.store.spool import Spool, prepare

from .conftest import NEW_YEAR_US
from .samples import contents, recovery

Start = Callable[..., "subprocess.Popen[str]"]

DAY_US = 86_400_000_000
#: What pruning never touches.
KEPT = ("recovery_daily", "recovery_cells", "strategy_scores", "adaptive_timeouts", "sessions")
RAW = ("attempts", "test_results", "errors", "recovery_performance", "events")
#: Kills in one run of the test; a benchmark may ask for more.
KILLS = int(os.environ.get("STORE_PRUNE_KILLS", "8"))


def fill(history: History, days: int, records: int = 20) -> None:
    """Merge one session a day, each with something of everything."""
    rng = random.Random(5)
    spools = []
    for day in range(days):
        us = NEW_YEAR_US + day * DAY_US
        folder = history.path.parent / "spool"
        spool = Spool(folder, session_id=f"day{day}", worker="main", now_us=lambda us=us: us)
        spool.emit("session_started", {})
        for number in range(records):
            error = f"{day}-{number}"
            spool.emit("attempt", {"nodeid": error, "traceback": rng.randbytes(300).hex()})
            spool.emit("error", {"error_id": error})
            context = {"error_id": error, "recovery_level": 1}
            spool.emit(*recovery(context=context, timestamp_us=us + number, success=number % 3 > 0))
            spool.emit("test_result", {"nodeid": error, "verdict": "recovered"})
            spool.emit("of tomorrow", {})
        spool.emit("session_finished", {})
        spool.close()
        spools.append(spool.path)
    history.merge(spools)


@pytest.fixture(scope="module")
def ten_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten days of twenty incidents, to be copied."""
    folder = tmp_path_factory.mktemp("ten-days") / "resilience"
    fill(History(prepare(folder).parent / "history.duckdb"), 10)
    return folder


@pytest.fixture
def history(ten_days: Path, tmp_path: Path) -> History:
    """Ten days of twenty incidents."""
    return History(Path(shutil.copytree(ten_days, tmp_path / "resilience")) / "history.duckdb")


def now_us() -> int:
    """Return the end of the tenth day."""
    return NEW_YEAR_US + 10 * DAY_US


def test_old_records_go_and_what_they_taught_stays(history: History) -> None:
    before = contents(history)
    read = snapshot.read(snapshot.path_of(history.path))
    done = prune(history.path, keep_days=4, now_us=now_us)
    assert done.sessions == 6
    assert done.records == dict.fromkeys(RAW, 120)
    after = contents(history)
    for table in KEPT:
        assert after[table] == before[table]
    for table in RAW:
        assert len(after[table]) == 80
        assert {row["sid"] for row in after[table]} == {f"day{day}" for day in range(6, 10)}
    assert len(after["progressive_recovery"]) == 80
    assert sum(row["pruned"] or False for row in after["ingested"]) == 6
    assert snapshot.read(snapshot.path_of(history.path)) == read
    assert not list(history.path.parent.glob("*.new*"))


def test_the_file_becomes_smaller(history: History) -> None:
    fill(history, 30, records=60)
    done = prune(history.path, keep_days=0, now_us=lambda: NEW_YEAR_US + 31 * DAY_US)
    assert done.bytes_after == history.path.stat().st_size
    assert done.bytes_after < done.bytes_before / 2


def test_it_goes_on_learning_where_it_was(history: History) -> None:
    """New recoveries add to what was learned from the ones that are gone."""
    prune(history.path, keep_days=0, now_us=now_us)
    [score] = history.read("SELECT samples FROM strategy_scores")
    assert score["samples"] == 200
    fill(history, 1)
    [score] = history.read("SELECT samples FROM strategy_scores")
    assert score["samples"] == 220
    [cell] = history.read("SELECT executions, len(outcomes) AS n FROM recovery_cells")
    assert (cell["executions"], cell["n"]) == (50, 60)


def test_a_moment_can_be_given_instead_of_days(history: History) -> None:
    before = datetime.datetime(2026, 1, 4, tzinfo=datetime.timezone.utc)
    assert prune(history.path, before=before.replace(tzinfo=None)).sessions == 3
    assert prune(history.path, before=before).sessions == 0
    ahead = datetime.timezone(datetime.timedelta(hours=-23))
    assert prune(history.path, before=before.astimezone(ahead)).sessions == 0


def test_a_dry_run_only_tells(history: History) -> None:
    content = history.path.read_bytes()
    done = prune(history.path, keep_days=4, dry_run=True, now_us=now_us)
    assert (done.sessions, done.records["attempts"]) == (6, 120)
    assert done.bytes_before == done.bytes_after == len(content)
    assert history.path.read_bytes() == content


def test_nothing_old_changes_nothing(history: History) -> None:
    content = history.path.read_bytes()
    assert prune(history.path, keep_days=400, now_us=now_us).records == {}
    assert history.path.read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [{}, {"keep_days": 1, "before": datetime.datetime(2026, 1, 1)}, {"keep_days": -1}],
    ids=["nothing", "both", "negative"],
)
def test_wrong_arguments_are_refused(history: History, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="keep_days"):
        prune(history.path, **arguments)


def test_a_history_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no history at"):
        prune(tmp_path / "none" / "history.duckdb", keep_days=1)
    assert not (tmp_path / "none").exists()


#: Prunes in a child for each line it is given, which says when that child is killed; says how many
#: lines the store executed if it was not, and how the child ended.
_PRUNER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import duckdb, filelock
from killed_session import Executioner
from pytest_resilience.store.retention import prune

for when in sys.stdin:
    child = os.fork()
    if not child:
        executioner = Executioner(when.strip())
        sys.settrace(executioner.trace)
        prune(Path(sys.argv[2]), keep_days=4, now_us=lambda: int(sys.argv[3]))
        sys.settrace(None)
        os.write(1, f"{executioner.lines} ".encode())
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_killed_pruning_leaves_a_whole_history(history: History, start: Start) -> None:
    """With the old records or without them, and what was learned as it was."""
    whole = contents(history)
    original = history.path.read_bytes()

    with start("-c", _PRUNER, Path(__file__).parent, history.path, now_us()) as pruner:
        assert pruner.stdin is not None
        assert pruner.stdout is not None

        def run(when: str) -> list[int]:
            pruner.stdin.write(f"{when}\n")
            pruner.stdin.flush()
            *told, status = map(int, pruner.stdout.readline().split())
            assert status in (0, -signal.SIGKILL)
            return told

        (lines,) = run("never")
        pruned = contents(history)
        rng = random.Random(3)
        killed = 0
        for _ in range(KILLS):
            history.path.write_bytes(original)
            killed += run(f"line:{rng.randint(1, lines)}") == []
            found = contents(history)
            found["merges_under_way"] = []
            assert found in (whole, pruned)
            prune(history.path, keep_days=4, now_us=now_us)
            assert contents(history) == pruned
        _, errors = pruner.communicate()
    assert pruner.returncode == 0, errors
    assert killed >= KILLS / 2, sys.platform
