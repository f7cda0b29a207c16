"""The history with a real DuckDB: what is taken in, how often, and what is made of it."""

from __future__ import annotations

import datetime
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_resilience.core import events
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import schema
from pytest_resilience.store.history import History, MergeResult
from pytest_resilience.store.spool import Spool, orphans, prepare

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
]


def recovery(**changes: Any) -> tuple[str, dict[str, Any]]:
    record = events.RecoveryPerformanceRecord(
        strategy_id="browser_restart",
        strategy_name="Browser restart",
        error_type="browser",
        execution_time=2.5,
        success=True,
        timestamp_us=1_767_225_600_000_001,
        context={"error_id": "e1", "nodeid": "t.py::t", "attempt": 1, "recovery_level": 3},
    ).to_dict()
    return events.RECOVERY, {**record, **changes}


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
    assert tables["strategy_scores"] == SCORES
    assert tables["adaptive_timeouts"] == TIMEOUTS
    assert tables["progressive_recovery"] == PROGRESS
    others = {"sessions", "test_results", "attempts", "errors", "circuit_transitions"}
    others |= {"injections", "checkpoints", "schema_version", "ingested", "events"}
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


def test_scores_follow_the_weighted_formula(history: History, filled: Fill) -> None:
    history.merge(
        [
            filled(
                recovery(
                    impact_score=0.5, stability_score=1.0, affected_tasks=4, recovered_tasks=3
                ),
                recovery(execution_time=9.5, impact_score=0.25, stability_score=0.5),
                recovery(execution_time=99.0, success=False, affected_tasks=2, recovered_tasks=0),
                recovery(strategy_id="other", success=False),
            )
        ]
    )
    rows = {row["strategy_id"]: row for row in history.read("SELECT * FROM strategy_scores")}
    parts = json.loads(rows["browser_restart"]["metrics"])
    assert parts["success_rate"] == pytest.approx(2 / 3)
    assert parts["mean_seconds"] == pytest.approx(6.0)
    assert parts["time_score"] == pytest.approx(0.8)
    assert parts["impact_score"] == pytest.approx(0.25)
    assert parts["stability_score"] == pytest.approx(0.5)
    assert parts["task_recovery_rate"] == pytest.approx(0.375)
    expected = 0.40 * 2 / 3 + 0.15 * (0.8 + 0.75 + 0.5 + 0.375)
    assert rows["browser_restart"]["score"] == pytest.approx(expected, abs=1e-6)
    assert rows["browser_restart"]["samples"] == 3
    assert rows["other"]["score"] == pytest.approx(0.15)


def test_injected_faults_do_not_teach_unless_told_to(history: History, filled: Fill) -> None:
    context = {"error_id": "e1", "recovery_level": 1, "injected": "crash"}
    history.merge(
        [
            filled(
                recovery(),
                recovery(context=context),
                recovery(context={**context, "learn": True}, execution_time=200.0),
            )
        ]
    )
    [row] = history.read("SELECT samples FROM strategy_scores")
    assert row["samples"] == 2
    assert history.read("SELECT count(*) AS n FROM recovery_performance") == [{"n": 3}]


@pytest.mark.parametrize(
    ("durations", "timeout"),
    [
        pytest.param([0.1], 5.0, id="lower-bound"),
        pytest.param([10.0] * 20, 20.0, id="twice-the-95th-percentile"),
        pytest.param([1.0] * 99 + [250.0], 5.0, id="one-outlier-of-a-hundred"),
        pytest.param([250.0], 300.0, id="upper-bound"),
    ],
)
def test_timeouts_are_twice_p95_within_bounds(
    history: History, filled: Fill, durations: list[float], timeout: float
) -> None:
    history.merge([filled(*[recovery(execution_time=seconds) for seconds in durations])])
    [row] = history.read("SELECT * FROM adaptive_timeouts")
    assert row["timeout"] == pytest.approx(timeout)


def test_progress_tells_the_climb_of_an_error(history: History, filled: Fill) -> None:
    def step(level: int, us: int, error_id: str = "e1") -> tuple[str, dict[str, Any]]:
        context = {"error_id": error_id, "recovery_level": level}
        return recovery(context=context, timestamp_us=us, success=level == 3)

    history.merge([filled(step(3, 30), step(1, 10), step(1, 10, "e2"))])
    history.merge([filled(step(2, 20))])
    rows = {row["error_id"]: row for row in history.read("SELECT * FROM progressive_recovery")}
    climb = json.loads(rows["e1"]["history"])
    assert [(entry["level"], entry["success"]) for entry in climb] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert rows["e1"]["current_level"] == 3
    assert rows["e2"]["current_level"] == 1


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


TORN = {
    "torn-last-line": b'{"v":1,"spool":"x","seq":9,"kind":"att',
    "nul-tail": b"\0" * 4096,
    "not-utf8": b'{"spool":"\xff\xfe","seq":1}\n',
    "not-an-object": b'[1,2]\n"text"\n17\nnull\n',
    "no-record": b'{"a":1}\n{"spool":"x"}\n',
    "random": bytes(range(256)) * 20,
    "line-over-the-readers-limit": b'{"spool":"x","seq":1,"data":"' + b"x" * (40 << 20) + b'"}\n',
}


@pytest.mark.parametrize("tail", TORN.values(), ids=TORN.keys())
def test_what_is_no_record_is_counted_and_kept_for_a_person(
    folder: Path, history: History, filled: Fill, tail: bytes
) -> None:
    whole = filled(("attempt", {"nodeid": "whole"}))
    torn = filled(("attempt", {"nodeid": "torn"}))
    torn.write_bytes(torn.read_bytes() + tail)
    content = torn.read_bytes()
    result = history.merge([torn, whole])
    rows = {row["nodeid"] for row in history.read("SELECT nodeid FROM attempts")}
    assert "whole" in rows
    [kept] = (folder / "spool").iterdir()
    assert kept.name == torn.name + ".damaged"
    assert kept.read_bytes() == content
    if len(tail) < 1 << 20:
        assert rows == {"whole", "torn"}
        assert result.bad >= 1
    assert orphans(folder / "spool") == []


def test_empty_lines_and_empty_spools_are_no_harm(history: History, filled: Fill) -> None:
    path = filled(("attempt", {"nodeid": "a"}), ("attempt", {"nodeid": "b"}))
    path.write_bytes(b"\n" + path.read_bytes().replace(b"\n", b"\n\n"))
    empty = path.with_name("empty.jsonl")
    empty.touch()
    assert history.merge([path, empty]) == MergeResult(records=2, bad=0, spools=2)
    assert not path.exists()
    assert not empty.exists()


@pytest.mark.parametrize("name", ["[x] *{a,b}", "it's", 'quo"te; DROP', "ümläut 🧨", "%41 #~"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    spool = Spool(prepare(folder), session_id="s", worker="w", now_us=lambda: 1)
    spool.emit("attempt", {"nodeid": "a"})
    spool.close()
    history = History(folder / "history.duckdb")
    assert history.merge(orphans(folder / "spool")).records == 1
    assert history.read("SELECT count(*) AS n FROM attempts") == [{"n": 1}]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=40)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
A_KEY = (
    "nodeid number started_us duration_s infrastructure evidence error_id error_type worker"
    " context timestamp_us execution_time success affected_tasks recovered_tasks learn"
    " strategy_id resource_usage impact_score recovery_level data state workers exit_status"
    " message seed spool seq sid id attempts"
)
A_KIND = (
    "attempt test_result error recovery session_started session_finished circuit_transition"
    " injection checkpoint other"
)
every_key = st.dictionaries(st.sampled_from(A_KEY.split()), anything)
every_kind = st.sampled_from(A_KIND.split())


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(every_kind, every_key), min_size=1, max_size=40))
def test_no_payload_can_stop_a_merge(
    history: History, new_spool: Callable[..., Spool], events: list[tuple[str, dict[str, Any]]]
) -> None:
    """One record with values out of every range must not lock out all later ones."""
    spool = new_spool()
    spool.emit_many(events)
    spool.close()
    assert spool.lost == 0, spool.error
    assert history.merge([spool.path]) == MergeResult(records=len(events), bad=0, spools=1)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=60))
def test_any_text_survives_from_the_spool_to_the_history(
    history: History, new_spool: Callable[..., Spool], texts: list[str]
) -> None:
    """Only lone surrogates, which no file can hold, are replaced."""
    spool = new_spool()
    spool.emit_many([("attempt", {"nodeid": t, "evidence": [t, {t: t}]}) for t in texts])
    spool.close()
    history.merge([spool.path])
    rows = history.read(
        "SELECT nodeid, evidence FROM attempts WHERE spool = ? ORDER BY seq", [spool.path.stem]
    )
    kept = [text.encode("utf-8", "replace").decode() for text in texts]
    assert [row["nodeid"] for row in rows] == kept
    assert [json.loads(row["evidence"]) for row in rows] == [[t, {t: t}] for t in kept]


def test_numbers_no_column_can_hold_become_null(history: History, filled: Fill) -> None:
    history.merge(
        [filled(recovery(execution_time=1e300, affected_tasks=2**40, timestamp_us=2**62))]
    )
    [row] = history.read("SELECT * FROM recovery_performance")
    assert (row["execution_time"], row["affected_tasks"]) == (None, None)
    assert (row["timestamp"], row["timestamp_us"]) == (None, 2**62)
    assert row["success"] is True


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
    assert steps == [
        {"version": 1, "description": "first schema"},
        {"version": 2, "description": "a mood"},
    ]


def test_scores_do_not_depend_on_the_order_of_merges(tmp_path: Path, filled: Fill) -> None:
    parts = [filled(recovery(execution_time=float(n), success=n % 3 > 0)) for n in range(6)]
    results = []
    for number, order in enumerate((parts, parts[::-1])):
        folder = tmp_path / str(number)
        prepare(folder)
        history = History(folder / "history.duckdb", now_us=lambda: 7)
        for part in order:
            history.merge([Path(shutil.copy(part, folder / part.name))])
        results.append(history.read("SELECT * FROM strategy_scores"))
    assert results[0] == results[1]
    assert math.isclose(results[0][0]["samples"], 6)
