"""What workers have recorded survives them, and what does not is counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pytest_resilience.store.history import History
from tests.plugin.conftest import RunInner

#: Each worker has a spool of its own; `mine` is that of the process that asks.
SUITE = """
    import json, os, signal
    from pathlib import Path
    import pytest
    from tests.plugin.breakage import note

    def mine():
        worker = os.environ["PYTEST_XDIST_WORKER"]
        for path in Path(".resilience/spool").glob("*.jsonl"):
            # That of a worker which is just starting is still empty.
            first = path.read_text().partition("\\n")[0]
            if first and json.loads(first)["worker"] == worker:
                return path

    @pytest.mark.parametrize("number", range(12))
    def test_it(number, resilience):
        if number in (5, 8) and resilience.attempt == 1:
            {harm}
            os.kill(os.getpid(), signal.SIGKILL)
"""
WANTED = Counter({f"test_it.py::test_it[{number}]": 1 for number in range(12)})


def found(folder: Path, sql: str) -> list[dict[str, Any]]:
    return History(folder / ".resilience" / "history.duckdb").read(sql)


def verdicts(folder: Path) -> Counter[str]:
    return Counter(row["nodeid"] for row in found(folder, "SELECT nodeid FROM test_results"))


def test_nothing_that_a_killed_worker_has_recorded_is_lost(run_inner: RunInner) -> None:
    run = run_inner(SUITE.format(harm="pass"), "-n", "2", plugins=("xdist",))
    assert run.counts == {"passed": 10, "recovered": 2}, run.output
    assert run.summary["events_lost"] == 0
    assert verdicts(run.folder) == WANTED
    attempts = found(run.folder, "SELECT count(*) AS n FROM attempts")
    assert attempts == [{"n": 14}]


def test_verdicts_whose_records_are_gone_are_taken_from_the_reports(run_inner: RunInner) -> None:
    """And the run says of which workers."""
    run = run_inner(SUITE.format(harm="mine() and mine().unlink()"), "-n", "2", plugins=("xdist",))
    assert run.counts == {"passed": 10, "recovered": 2}, run.output
    assert verdicts(run.folder) == WANTED
    assert "were not written down there" in run.summary["session"]["facts"]["taken from reports"]


def test_a_gap_in_the_records_of_a_killed_worker_is_counted(run_inner: RunInner) -> None:
    """Of each worker that was killed the first record is missing, and a later one tells of it."""
    harm = "mine() and mine().write_bytes(b''.join(mine().read_bytes().splitlines(True)[1:]))"
    run = run_inner(SUITE.format(harm=harm), "-n", "2", plugins=("xdist",))
    assert run.counts == {"passed": 10, "recovered": 2}, run.output
    assert 1 <= run.summary["events_lost"] <= 2
    assert "records did not reach the history" in run.output
    assert verdicts(run.folder) == WANTED
