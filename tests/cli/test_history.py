"""The commands about the history: metrics, recommend, trends, merge, prune, export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pytest_resilience import (
    get_performance_metrics,
    get_progressive_recovery,
    get_strategy_recommendations,
)
from pytest_resilience.cli import ExitCode
from pytest_resilience.core.events import RECOVERY, RecoveryPerformanceRecord
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.spool import Spool, prepare

Run = Callable[..., Result]

DAY_US = 86_400_000_000
COMMANDS = ("metrics", "recommend", "trends", "prune --keep-days 1", "export out")


def session(folder: Path, name: str, day: int, successes: int, of: int = 10) -> Path:
    """Return the spool of a session `day` days ago with so many successful recoveries."""
    us = clock_us() - day * DAY_US
    spool = Spool(prepare(folder), session_id=name, worker="main", now_us=lambda: us)
    spool.emit("session_started", {})
    for number in range(of):
        record = RecoveryPerformanceRecord(
            "browser_restart",
            "Browser restart",
            "browser",
            2.5,
            number < successes,
            timestamp_us=us + number,
            cost_s=4.0,
            impact_score=0.25,
            context={"error_id": f"{name}-{number}", "nodeid": f"t{number}", "recovery_level": 3},
        )
        spool.emit(RECOVERY, record.to_dict())
    spool.emit("session_finished", {})
    spool.close()
    return spool.path


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A history of twenty sessions; in the last five of them, restarts hardly ever help."""
    path = tmp_path / "shop" / "history.duckdb"
    History(path).merge(
        [session(path.parent, f"s{day}", day, 2 if day < 5 else 9) for day in range(20)]
    )
    return path


def rows_of(result: Result) -> list[str]:
    return result.stdout.splitlines()


def test_metrics_show_a_row_for_each_error_type_and_strategy(run: Run, db: Path) -> None:
    result = run("metrics", "--db", str(db))
    assert result.exit_code == ExitCode.OK
    header, row = rows_of(result)
    assert header.split()[:3] == ["error", "type", "strategy"]
    assert row.split()[:4] == ["browser", "browser_restart", "72", "%"]
    assert "(66-78, n=200)" in row or "n=200)" in row
    assert result.stderr.startswith("200 recoveries, success 72 % (")


def test_metrics_in_json_are_those_of_the_api(run: Run, db: Path) -> None:
    result = run("metrics", "--db", str(db), "--format", "json", "--error-type", "browser")
    assert json.loads(result.stdout) == get_performance_metrics("browser", db=db)


def test_metrics_can_be_narrowed(run: Run, db: Path) -> None:
    result = run("metrics", "--db", str(db), "--format", "json", "--days", "2")
    assert json.loads(result.stdout)["overall"]["executions"] == 20
    result = run("metrics", "--db", str(db), "--strategy", "none")
    assert (result.exit_code, len(rows_of(result))) == (ExitCode.OK, 1)
    assert run("metrics", "--db", str(db), "--days", "0").exit_code == ExitCode.USAGE


def test_metrics_show_how_far_incidents_climbed(run: Run, db: Path, tmp_path: Path) -> None:
    spool = Spool(prepare(tmp_path), session_id="climb", worker="main", now_us=clock_us)
    for level in (1, 3):
        context = {"error_id": f"e{level}", "incident_id": "e1", "recovery_level": level}
        name = f"level{level}"
        record = RecoveryPerformanceRecord(
            name, name, "driver", 2.0, level == 3, timestamp_us=level, cost_s=4.0, context=context
        )
        spool.emit(RECOVERY, record.to_dict())
    spool.close()
    History(db).merge([spool.path])
    result = run("metrics", "--incidents", "--db", str(db), "--error-type", "driver")
    assert result.exit_code == ExitCode.OK
    summary, climb = rows_of(result)[2], rows_of(result)[-1]
    assert summary.split()[:4] == ["driver", "100", "%", "(21-100,"]
    assert summary.rstrip().endswith("1-3 (1)")
    assert climb.rstrip().split("  ")[-1].strip() == "level1 > level3"
    assert " 1 > 3 " in climb
    assert " resolved " in climb
    assert result.stderr == "1 incident, 1 resolved, 1 escalated\n"
    result = run("metrics", "--incidents", "--db", str(db), "--format", "json")
    assert json.loads(result.stdout) == get_progressive_recovery(db=db)


def test_an_incident_is_not_asked_for_by_strategy(run: Run, db: Path) -> None:
    result = run("metrics", "--incidents", "--strategy", "x", "--db", str(db))
    assert result.exit_code == ExitCode.USAGE
    assert "--incidents takes no --strategy" in result.stderr


def test_recommendations_are_those_of_the_api(run: Run, db: Path) -> None:
    result = run("recommend", "browser", "--db", str(db), "--format", "json")
    expected = get_strategy_recommendations("browser", db=db)
    assert json.loads(result.stdout) == {"browser": expected}
    result = run("recommend", "browser", "--db", str(db))
    assert [row.split()[1] for row in rows_of(result)[1:]] == [row["strategy"] for row in expected]


def test_without_an_error_type_the_best_of_each_is_shown(run: Run, db: Path) -> None:
    result = run("recommend", "--db", str(db))
    assert (result.exit_code, len(rows_of(result))) == (ExitCode.OK, 2)
    assert result.stderr == "1 error type\n"


def test_an_unknown_error_type_is_refused_with_the_valid_ones(run: Run, db: Path) -> None:
    result = run("recommend", "bowser", "--db", str(db))
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "'bowser'; valid ones: " in result.stderr
    assert "browser" in result.stderr


def test_trends_find_what_got_worse(run: Run, db: Path) -> None:
    result = run("trends", "--db", str(db), "--recent-days", "5")
    assert result.exit_code == ExitCode.FINDINGS
    assert "browser_restart got worse at browser: 20 % (" in result.stderr
    assert "in 5 sessions, before 90 % (" in result.stderr
    headings = [row for row in rows_of(result) if "  " not in row and row]
    assert headings == ["Strategies over time", "Error types", "Levels", "Impact"]
    assert any(row.endswith("regression") for row in rows_of(result))


def test_trends_without_a_change_are_no_finding(run: Run, db: Path) -> None:
    result = run("trends", "--db", str(db), "--recent-days", "2", "--format", "json")
    assert result.exit_code == ExitCode.OK
    [row] = json.loads(result.stdout)["performance"]
    assert row["state"] == "insufficient data"
    assert result.stderr == "no strategy got worse as far as can be said\n"


def test_trends_refuse_days_that_do_not_fit(run: Run, db: Path) -> None:
    result = run("trends", "--db", str(db), "--days", "7")
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "recent_days must be 1 to 6, not 7" in result.stderr


def test_merge_takes_each_record_once_and_names_what_it_cannot_use(
    run: Run, db: Path, tmp_path: Path
) -> None:
    spool = session(tmp_path / "other", "new", 0, 1)
    notes = tmp_path / "notes.txt"
    notes.write_text("somebody's notes")
    target = str(tmp_path / "all.duckdb")
    result = run("merge", target, str(db), str(notes), str(spool))
    assert result.exit_code == ExitCode.UNREADABLE
    assert [row.split() for row in rows_of(result)] == [
        ["source", "new", "records"],
        [str(db), "240"],
        [str(spool), "12"],
    ]
    assert "252 new records from 2 sources" in result.stderr
    assert f"{notes} is no DuckDB database and was left as it is; give a hist" in result.stderr
    result = run("merge", target, str(db), str(spool), "--format", "json")
    assert result.exit_code == ExitCode.OK
    told = json.loads(result.stdout)
    assert (told["records"], told["refused"]) == (0, [])
    assert [taken["source"] for taken in told["taken"]] == [str(db), str(spool)]
    assert spool.exists()


def test_a_target_of_another_program_is_refused(run: Run, db: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.duckdb"
    target.write_text("somebody's notes")
    result = run("merge", str(target), str(db))
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "target.duckdb is no DuckDB database" in result.stderr


def test_prune_tells_first_and_does_then(run: Run, db: Path) -> None:
    content = db.read_bytes()
    arguments = ("prune", "--keep-days", "9", "--db", str(db))
    result = run(*arguments, "--dry-run")
    assert result.exit_code == ExitCode.OK
    assert db.read_bytes() == content
    assert [row.split() for row in rows_of(result)] == [
        ["table", "rows", "to", "remove"],
        ["recovery_performance", "110"],
    ]
    result = run(*arguments, "--format", "json")
    told = json.loads(result.stdout)
    assert (told["sessions"], told["records"], told["dry_run"]) == (
        11,
        {"recovery_performance": 110},
        False,
    )
    assert result.stderr.startswith("11 sessions; the file had ")
    metrics = json.loads(run("metrics", "--db", str(db), "--format", "json").stdout)
    assert metrics["overall"]["executions"] == 200
    assert metrics["overall"]["measured"] == 90


@pytest.mark.parametrize("arguments", [(), ("--keep-days", "1", "--before", "2026-01-01")])
def test_prune_wants_to_know_what_is_old(run: Run, db: Path, arguments: tuple[str, ...]) -> None:
    result = run("prune", "--db", str(db), *arguments)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "give either --keep-days or --before, such as --keep-days 90" in result.stderr


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_an_export_can_be_merged(run: Run, db: Path, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "out"
    result = run("export", str(folder), "--db", str(db), "--format", form)
    assert result.exit_code == ExitCode.OK
    assert sorted(rows_of(result)) == sorted(map(str, folder.iterdir()))
    assert "recovery_performance." + form in result.stdout
    target = tmp_path / "all.duckdb"
    assert run("merge", str(target), str(folder)).exit_code == ExitCode.OK
    assert get_performance_metrics(db=target)["overall"]["executions"] == 200
    again = run("export", str(folder), "--db", str(db), "--format", form)
    assert (again.exit_code, again.stdout) == (ExitCode.UNREADABLE, "")
    assert "is there already; name a folder without an export" in again.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text.split()[0])
def test_a_history_that_is_not_there_is_said_plainly(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
    assert "no history at" in result.stderr
    assert result.stderr.endswith("run pytest --resilience first\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text.split()[0])
def test_a_damaged_history_is_said_plainly_and_left_alone(
    run: Run, db: Path, tmp_path: Path, command: str
) -> None:
    db.write_bytes(db.read_bytes()[:5000])
    result = run(*command.replace("out", str(tmp_path / "out")).split(), "--db", str(db))
    assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
    assert f"{db} is damaged: " in result.stderr
    assert db.stat().st_size == 5000


def test_hostile_names_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    """What is in a history may have been written by anybody."""
    db = tmp_path / "history.duckdb"
    spool = Spool(prepare(tmp_path), session_id="s", worker="main", now_us=clock_us)
    record: dict[str, Any] = {
        "strategy_id": "[red]x[/red]\x1b[31m",
        "error_type": "a\nb",
        "execution_time": 1.0,
        "success": True,
    }
    spool.emit(RECOVERY, record)
    spool.close()
    History(db).merge([spool.path])
    for command in ("metrics", "trends", "recommend"):
        result = run(command, "--db", str(db))
        assert result.exit_code == ExitCode.OK, result.output
        assert "[red]x[/red]" in result.stdout
        assert "\x1b" not in result.stdout


def test_commands_find_the_history_of_the_current_directory(
    run: Run, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(db.parent, tmp_path / ".resilience")
    monkeypatch.chdir(tmp_path)
    assert "200 recoveries" in run("metrics").stderr
    assert run("export", "out").exit_code == ExitCode.OK
