"""`--resilience-auto-tune`: a run begins with the circuits that fit earlier ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_resilience.core.events import Attempt
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.spool import Spool, prepare
from tests.plugin.conftest import RunInner

SUITE = """
    def test_it(request):
        running = request.config.pluginmanager.get_plugin("resilience-running")
        with open("threshold.txt", "a") as file:
            file.write(f"{running._settings.circuit_threshold}\\n")
"""
THRESHOLD = "--circuit-breaker-threshold"


def fill(folder: Path, outcomes: str = "i." * 6 + "i" * 30 + ".", runs: int = 4) -> Path:
    """Make a history in `folder`: attempts of 10 s each in so many runs of yesterday.

    ``.`` passes, ``i`` fails for the infrastructure.
    """
    path = folder / "history.duckdb"
    begun_us = clock_us() - 86_400_000_000
    for run in range(runs):
        spool = Spool(prepare(folder), session_id=f"s{run}", worker="main", now_us=clock_us)
        for number, letter in enumerate(outcomes):
            lost = letter == "i"
            attempt = Attempt(
                started_us=begun_us + (run * 1000 + number) * 10_000_000,
                duration_s=10.0,
                outcome="rerun" if lost else "passed",
                error_type="connection" if lost else "",
                infrastructure=lost,
                severity="high" if lost else "",
            )
            spool.emit("attempt", {"nodeid": f"t{number}", **attempt.to_dict()})
        spool.close()
        History(path).merge([spool.path])
    return path


def test_circuits_are_set_by_what_happened(run_inner: RunInner, tmp_path: Path) -> None:
    """Long outages: three failures are enough to know."""
    db = fill(tmp_path / "history")
    run = run_inner(SUITE, "--resilience-auto-tune", "--resilience-db", str(db))
    assert run.status == 0, run.output
    assert run.log("threshold.txt") == ["3"]
    assert f"resilience auto-tune: {THRESHOLD} 5 -> 3: " in run.output
    assert "--circuit-breaker-half-open-after stays 2: it takes 8 outages" in run.output
    session = run.summary["session"]
    assert session["options"]["circuit_threshold"] == 3
    assert f"{THRESHOLD} 5 -> 3" in session["facts"]["circuits tuned"]
    assert "circuits tuned" in (run.folder / ".resilience/report.html").read_text("utf-8")
    told = [json.loads(row["data"]) for row in History(db).read(
        "SELECT data FROM events WHERE kind = 'tuning' ORDER BY seq")]  # fmt: skip
    assert [(t["setting"], t["current"], t["proposed"], t["state"]) for t in told] == [
        ("circuit_threshold", 5, 3, "change"),
        ("circuit_half_open_after", 2, 2, "insufficient data"),
    ]
    assert all(t["reason"] for t in told)


def test_without_the_option_nothing_changes(run_inner: RunInner, tmp_path: Path) -> None:
    db = fill(tmp_path / "history")
    run = run_inner(SUITE, "--resilience-db", str(db))
    assert run.log("threshold.txt") == ["5"]
    assert "auto-tune" not in run.output
    assert "circuits tuned" not in run.summary["session"]["facts"]


def test_all_workers_go_by_what_their_controller_found(run_inner: RunInner, tmp_path: Path) -> None:
    db = fill(tmp_path / "history")
    suite = SUITE + SUITE.replace("test_it", "test_other")
    arguments = ("--resilience-auto-tune", "--resilience-db", str(db), "-n", "2", "-v")
    run = run_inner(suite, *arguments, plugins=["xdist.plugin"])
    assert run.status == 0, run.output
    assert run.log("threshold.txt") == ["3", "3"]
    told = History(db).read("SELECT worker FROM events WHERE kind = 'tuning'")
    assert [row["worker"] for row in told] == ["main", "main"]


def test_a_value_that_is_set_is_where_it_starts(run_inner: RunInner, tmp_path: Path) -> None:
    """From twelve it goes to six at the lowest, however little would do."""
    db = fill(tmp_path / "history")
    run = run_inner(SUITE, "--resilience-auto-tune", THRESHOLD, "12", "--resilience-db", str(db))
    assert run.log("threshold.txt") == ["6"]
    assert f"{THRESHOLD} 12 -> 6: " in run.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param((), "nothing is changed, for there is no history yet", id="first-run"),
        pytest.param(
            ("--no-resilience-db",), "nothing is changed, for no history is kept", id="none-kept"
        ),
    ],
)
def test_without_a_history_nothing_changes_and_that_is_said(
    run_inner: RunInner, arguments: tuple[str, ...], told: str
) -> None:
    run = run_inner(SUITE, "--resilience-auto-tune", *arguments)
    assert run.status == 0, run.output
    assert run.log("threshold.txt") == ["5"]
    assert f"resilience auto-tune: {told}" in run.output


def test_a_history_that_cannot_be_read_is_a_warning(run_inner: RunInner, tmp_path: Path) -> None:
    db = fill(tmp_path / "history")
    db.write_bytes(db.read_bytes()[:5000])
    run = run_inner(SUITE, "--resilience-auto-tune", "--resilience-db", str(db))
    assert run.status == 0, run.output
    assert run.log("threshold.txt") == ["5"]
    assert "the circuits were not tuned: " in run.output
    assert "nothing is changed, for the history cannot be read" in run.output


def test_without_circuits_there_is_nothing_to_tune(run_inner: RunInner, tmp_path: Path) -> None:
    db = fill(tmp_path / "history", runs=1)
    arguments = ("--resilience-auto-tune", "--no-circuit-breaker", "--resilience-db", str(db))
    run = run_inner(SUITE, *arguments)
    assert run.status == 0, run.output
    assert "auto-tune" not in run.output
