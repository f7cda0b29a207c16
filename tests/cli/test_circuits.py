"""``pytest-resilience circuits``: which circuits opened, how often and for how long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pytest_resilience.cli import ExitCode
from pytest_resilience.core.circuit import CircuitState, Transition
from pytest_resilience.core.events import CIRCUIT_TRANSITION
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.outages import get_circuit_history
from pytest_resilience.store.spool import Spool, prepare

Run = Callable[..., Result]

DAY_US = 86_400_000_000


def session(
    folder: Path, name: str, days: int, *path: tuple[float, str], circuit: str = "http://grid:4444"
) -> Path:
    """Return the spool of a run so many days ago, in which a circuit went along `path`."""
    begun_us = clock_us() - days * DAY_US
    spool = Spool(prepare(folder), session_id=name, worker="main", now_us=lambda: begun_us)
    state = CircuitState.CLOSED
    for generation, (at, to_state) in enumerate(path, start=1):
        after = CircuitState(to_state)
        move = Transition(circuit, "endpoint", generation, state, after, f"so it is {after}", at, 5)
        changed_us = begun_us + round(at * 1e6)
        spool.emit(CIRCUIT_TRANSITION, {**move.to_dict(), "changed_us": changed_us})
        state = after
    spool.close()
    return spool.path


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A history of two runs; the grid was down for 10 s in the old one, and is open now."""
    path = tmp_path / "shop" / "history.duckdb"
    History(path).merge(
        [
            session(path.parent, "old", 3, (1, "open"), (3, "half-open"), (11, "closed")),
            session(path.parent, "new", 0, (1, "open"), (3, "half-open"), (4, "open")),
        ]
    )
    return path


def test_a_row_for_each_circuit_and_each_transition(run: Run, db: Path) -> None:
    result = run("circuits", "--db", str(db))
    assert result.exit_code == ExitCode.OK
    circuits, transitions = result.stdout.split("\n\n")
    head, columns, row = circuits.splitlines()
    assert head == "Circuits"
    assert columns.split()[:3] == ["kind", "circuit", "state"]
    assert row.split()[:6] == ["endpoint", "http://grid:4444", "open", "2", "1", "1"]
    assert "13.0 s" in row
    assert row.endswith("so it is open")
    assert transitions.startswith("Transitions\n")
    assert [line.split()[3:6] for line in transitions.splitlines()[2:]] == [
        ["half-open", "open", "5"],
        ["open", "half-open", "5"],
        ["closed", "open", "5"],
        ["half-open", "closed", "5"],
        ["open", "half-open", "5"],
        ["closed", "open", "5"],
    ]
    assert result.stderr == "1 circuit, 6 transitions\n"


def test_the_json_is_what_the_store_says(run: Run, db: Path) -> None:
    result = run("circuits", "--db", str(db), "--format", "json")
    assert json.loads(result.stdout) == get_circuit_history(db=db)


def test_the_newest_transitions_are_shown(run: Run, db: Path) -> None:
    result = run("circuits", "--db", str(db), "--limit", "2", "--format", "json")
    told = json.loads(result.stdout)
    assert [move["to_state"] for move in told["transitions"]] == ["open", "half-open"]
    assert told["circuits"][0]["openings"] == 2
    assert result.stderr == "1 circuit, 6 transitions, the newest 2 shown\n"


def test_old_runs_can_be_left_out(run: Run, db: Path) -> None:
    result = run("circuits", "--db", str(db), "--days", "2", "--format", "json")
    [circuit] = json.loads(result.stdout)["circuits"]
    assert (circuit["openings"], circuit["sessions"]) == (1, 1)
    assert run("circuits", "--db", str(db), "--days", "0").exit_code == ExitCode.USAGE


def test_a_history_without_circuits_says_so(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    History(path).merge([session(tmp_path, "s", 0)])
    spool = Spool(prepare(tmp_path), session_id="s", worker="main", now_us=clock_us)
    spool.emit("session_started", {})
    spool.close()
    History(path).merge([spool.path])
    result = run("circuits", "--db", str(path))
    assert (result.exit_code, result.stderr) == (ExitCode.OK, "0 circuits, 0 transitions\n")


def test_hostile_names_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    """What is in a history may have been written by anybody."""
    path = tmp_path / "history.duckdb"
    name = "[red]x[/red]\x1b[31m"
    History(path).merge([session(tmp_path, "s", 0, (1, "open"), circuit=name)])
    result = run("circuits", "--db", str(path))
    assert result.exit_code == ExitCode.OK
    assert "[red]x[/red]" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", ["circuits", "tune"])
def test_a_history_that_is_not_there_is_said_plainly(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(command)
    assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
    assert "no history at" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["circuits", "tune"])
def test_a_damaged_history_is_said_plainly_and_left_alone(
    run: Run, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    db.write_bytes(db.read_bytes()[:5000])
    result = run(command, "--db", str(db))
    assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
    assert f"{db} is damaged: " in result.stderr
    assert db.stat().st_size == 5000
