"""What may stand in a spool: anything, and the merge goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_resilience.store.history import History, MergeResult
from pytest_resilience.store.spool import Spool, orphans, prepare

from .samples import recovery

Fill = Callable[..., Path]


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
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
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
