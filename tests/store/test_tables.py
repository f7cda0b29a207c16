"""The tables: their columns, and that what was written is read."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.store.history import History, MergeResult
from pytest_resilience.store.spool import Spool, prepare

from .samples import recovery

Fill = Callable[..., Path]


PERFORMANCE = [
    ("id", "BIGINT"),
    ("strategy_id", "VARCHAR"),
    ("strategy_name", "VARCHAR"),
    ("error_type", "VARCHAR"),
    ("execution_time", "FLOAT"),
    ("success", "BOOLEAN"),
    ("timestamp", "TIMESTAMP"),
    ("hardware_id", "VARCHAR"),
    ("affected_tasks", "INTEGER"),
    ("recovered_tasks", "INTEGER"),
    ("resource_usage", "JSON"),
    ("impact_score", "FLOAT"),
    ("stability_score", "FLOAT"),
    ("context", "JSON"),
]
SCORES = [
    ("error_type", "VARCHAR"),
    ("strategy_id", "VARCHAR"),
    ("score", "FLOAT"),
    ("last_updated", "TIMESTAMP"),
    ("samples", "INTEGER"),
    ("metrics", "JSON"),
]
TIMEOUTS = [
    ("error_type", "VARCHAR"),
    ("strategy_id", "VARCHAR"),
    ("timeout", "FLOAT"),
    ("last_updated", "TIMESTAMP"),
]
PROGRESS = [
    ("error_id", "VARCHAR"),
    ("current_level", "INTEGER"),
    ("last_updated", "TIMESTAMP"),
    ("history", "JSON"),
    ("nodeid", "VARCHAR"),
    ("error_type", "VARCHAR"),
    ("injected", "VARCHAR"),
    ("started_us", "BIGINT"),
    ("recoveries", "INTEGER"),
    ("escalations", "INTEGER"),
    ("highest_level", "INTEGER"),
    ("final_level", "INTEGER"),
    ("resolved", "BOOLEAN"),
    ("seconds", "DOUBLE"),
]


def test_the_tables_have_the_promised_columns_in_order(history: History, filled: Fill) -> None:
    history.merge([filled(("attempt", {}))])
    rows = history.read(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = 'history' ORDER BY table_name, column_index"
    )
    tables: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
    assert tables["recovery_performance"][: len(PERFORMANCE)] == PERFORMANCE
    assert tables["strategy_scores"][: len(SCORES)] == SCORES
    assert tables["adaptive_timeouts"][: len(TIMEOUTS)] == TIMEOUTS
    assert tables["progressive_recovery"] == PROGRESS
    others = {"sessions", "test_results", "attempts", "errors", "circuit_transitions"}
    others |= {"injections", "checkpoints", "schema_version", "ingested", "events"}
    others |= {"recovery_daily", "recovery_cells", "merges_under_way"}
    assert others <= tables.keys()
    assert not any("TIME ZONE" in type_ for columns in tables.values() for _, type_ in columns)


def test_no_table_has_an_index_or_a_key(history: History, filled: Fill) -> None:
    history.merge([filled(("attempt", {}))])
    assert history.read("SELECT * FROM duckdb_indexes()") == []
    constraints = "SELECT * FROM duckdb_constraints() WHERE database_name = 'history'"
    assert history.read(constraints) == []


def test_an_attempt_comes_back_as_it_was_written(history: History, filled: Fill) -> None:
    attempt = events.Attempt(
        number=2,
        outcome="rerun",
        phase="setup",
        started_us=1_767_225_600_123_456,
        duration_s=1.25,
        worker="gw3",
        error_id="e1",
        error_type="browser",
        infrastructure=True,
        severity="high",
        exception="WebDriverException",
        message="tab \0 crashed 🧨 'quoted' \"twice\" \\ \n end",
        rule="tab-crashed",
        confidence=0.9,
        evidence=({"probe": "alive", "cost_s": 0.1}, {"ü": [1, None]}),
        injected="crash",
        strategy="fresh_window",
        level=2,
        recovery_s=0.25,
        reason="infrastructure",
        browser="chrome",
        traceback="Traceback …",
    )
    path = filled(("attempt", {"nodeid": "t.py::t[a/b]", **attempt.to_dict()}))
    history.merge([path])
    [row] = history.read("SELECT * FROM attempts")
    assert row["nodeid"] == "t.py::t[a/b]"
    assert row["started"] == datetime.datetime(2026, 1, 1, 0, 0, 0, 123456)
    assert (row["sid"], row["spool"], row["seq"]) == ("s1", path.stem, 1)
    row["evidence"] = tuple(json.loads(row["evidence"]))
    assert events.Attempt.from_dict(row) == attempt


def test_a_recovery_comes_back_with_its_context(history: History, filled: Fill) -> None:
    usage = {"cpu_percent": 1.5, "net_sent_bytes": 12}
    history.merge([filled(recovery(resource_usage=usage, hardware_id="gpu0", impact_score=0.25))])
    [row] = history.read("SELECT * FROM recovery_performance")
    assert json.loads(row["resource_usage"]) == usage
    assert json.loads(row["context"])["recovery_level"] == 3
    assert row["timestamp"] == datetime.datetime(2026, 1, 1, 0, 0, 0, 1)
    assert (row["execution_time"], row["impact_score"], row["success"]) == (2.5, 0.25, True)
    assert (row["error_id"], row["nodeid"], row["attempt"]) == ("e1", "t.py::t", 1)
    assert (row["recovery_level"], row["hardware_id"]) == (3, "gpu0")


def test_ids_are_unique_and_the_same_on_every_machine(tmp_path: Path, filled: Fill) -> None:
    path = filled(*[recovery() for _ in range(500)])
    ids = []
    for machine in ("a", "b"):
        history = History(prepare(tmp_path / machine).parent / "history.duckdb")
        history.merge([Path(shutil.copy(path, tmp_path / machine / path.name))])
        ids.append(history.read("SELECT id FROM recovery_performance ORDER BY seq"))
    assert ids[0] == ids[1]
    assert len({row["id"] for row in ids[0]}) == 500


def test_errors_are_one_row_each_and_complete_each_other(history: History, filled: Fill) -> None:
    said = {"error_id": "e1", "message": "gone", "resolution_status": "retrying"}
    path = filled(
        ("error", {**said, "severity": "high"}),
        ("error", {"error_id": "e2", "context": {"nodeid": "t.py::t", "attempt": 2}}),
        ("error", {"message": "nameless"}),
        ("error", {"message": "nameless too"}),
    )
    history.merge([path, filled(("error", {"error_id": "e1", "resolution_status": "failed"}))])
    history.merge([filled(("error", {"error_id": "e1", "resolution_status": "resolved"}))])
    rows = {row["error_id"]: row for row in history.read("SELECT * FROM errors")}
    assert len(rows) == 4
    assert rows["e1"]["resolution_status"] == "resolved"
    assert (rows["e1"]["message"], rows["e1"]["severity"]) == ("gone", "high")
    assert (rows["e2"]["nodeid"], rows["e2"]["attempt"]) == ("t.py::t", 2)
    assert rows[f"{path.stem}:3"]["message"] == "nameless"


def test_a_session_is_one_row_whoever_spoke_of_it(
    history: History, new_spool: Callable[..., Spool]
) -> None:
    main, worker = new_spool("s1", "main"), new_spool("s1", "gw0")
    main.emit("session_started", {"project": "shop", "workers": 2})
    worker.emit("session_started", {"project": "not this one"})
    worker.emit("test_result", {"nodeid": "a", "verdict": "passed"})
    worker.close()
    history.merge([worker.path])
    [row] = history.read("SELECT * FROM sessions")
    assert (row["project"], row["finished"]) == ("not this one", None)
    started_by_worker = row["started_us"]
    main.emit("session_finished", {"exit_status": 1, "counts": {"passed": 1}})
    main.close()
    history.merge([main.path])
    [row] = history.read("SELECT * FROM sessions")
    assert (row["project"], row["workers"], row["exit_status"]) == ("shop", 2, 1)
    assert row["started_us"] == started_by_worker - 1
    assert row["finished"] > row["started"]
    assert json.loads(row["details"]) == {"project": "shop", "workers": 2}
    assert json.loads(row["outcome"])["counts"] == {"passed": 1}


def test_counts_and_sessions_tell_runs_apart(history: History, filled: Fill) -> None:
    def results(*verdicts: str) -> list[tuple[str, dict[str, Any]]]:
        return [("test_result", {"nodeid": str(n), "verdict": v}) for n, v in enumerate(verdicts)]

    old = filled(*results("passed", "failed", "passed"), session_id="old")
    new = filled(*results("recovered"), session_id="new")
    assert history.merge([new, old]) == MergeResult(records=4, bad=0, spools=2)
    assert history.session_ids() == ["old", "new"]
    assert history.counts("old") == {"failed": 1, "passed": 2}
    assert history.counts("new") == {"recovered": 1}
    assert history.counts("never") == {}


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("circuit_transition", "circuit_transitions"),
        ("injection", "injections"),
        ("checkpoint", "checkpoints"),
        ("kind of tomorrow", "events"),
    ],
)
def test_every_kind_has_a_place(history: History, filled: Fill, kind: str, table: str) -> None:
    payload = {"nodeid": "n", "circuit": "c", "to_state": "open", "state": {"step": 3}, "x": [1]}
    history.merge([filled((kind, payload))])
    [row] = history.read(f"SELECT * FROM {table}")
    for name in {"nodeid", "circuit", "to_state"} & row.keys():
        assert row[name] == payload[name]
    if table == "checkpoints":
        assert json.loads(row["state"]) == {"step": 3}
    else:
        assert json.loads(row["data"]) == payload
