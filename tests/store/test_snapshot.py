"""The snapshot beside the history: read at once, whole, or empty with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_resilience.core.experience import Cell, Key
from pytest_resilience.store import snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.snapshot import Score, Snapshot, Timeout

from .conftest import NEW_YEAR_US
from .samples import recovery

Fill = Callable[..., Path]

KEY = Key("chrome 131 linux local", "browser", "", "browser_restart")
FULL = Snapshot(
    (Cell(KEY, "0110", 2.5, 4),),
    (Score("browser", "browser_restart", 0.75, 4, {"success_rate": 0.5, "mean_seconds": None}),),
    (Timeout("browser", "browser_restart", 12.0, {"executions": [[1.5, False]]}),),
    written_us=NEW_YEAR_US,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "s.json", FULL)
    assert snapshot.read(tmp_path / "s.json") == FULL
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_reading_loads_no_database(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "s.json", FULL)
    code = (
        "import sys; from pathlib import Path; from pytest_resilience.store import snapshot;"
        "assert snapshot.read(Path(sys.argv[1])).cells; print('duckdb' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "s.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_a_merge_leaves_what_it_learned_beside_the_history(history: History, filled: Fill) -> None:
    history.merge(
        [filled(recovery(environment="chrome", cost_s=4.0), recovery(environment="chrome"))]
    )
    path = snapshot.path_of(history.path)
    assert path.name == "history.duckdb.snapshot.json"
    found = snapshot.read(path)
    assert found.reason == ""
    assert found.cells == (Cell(Key("chrome", "browser", "", "browser_restart"), "11", 3.25, 2),)
    [score] = found.scores
    assert (score.error_type, score.strategy, score.samples) == ("browser", "browser_restart", 2)
    assert score.metrics["success_rate"] == 1.0
    assert score.score == pytest.approx(0.40 + 0.15 * (1 - 2.5 / 30) + 0.15)
    [timeout] = found.timeouts
    assert (timeout.error_type, timeout.strategy) == ("browser", "browser_restart")
    assert timeout.timeout_s >= 5.0
    assert found.written_us > NEW_YEAR_US


def test_the_most_recent_cells_are_kept(
    history: History, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CELLS_KEPT", 3)
    history.merge(
        [filled(*[recovery(tried=str(n), timestamp_us=NEW_YEAR_US + n) for n in range(9)])]
    )
    cells = snapshot.read(snapshot.path_of(history.path)).cells
    assert [cell.key.tried for cell in cells] == ["8", "7", "6"]


def test_a_snapshot_that_cannot_be_written_is_told_and_costs_no_record(
    history: History, filled: Fill
) -> None:
    target = snapshot.path_of(history.path)
    target.mkdir()
    (target / "theirs").touch()
    result = history.merge([filled(recovery())])
    assert result.records == 1
    assert target.name in result.snapshot_error
    assert snapshot.read(target).reason


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "half": json.dumps({"schema": 1, "cells": []}).encode()[:-4],
    "binary": bytes(range(256)),
    "list": b"[1, 2]",
    "text": b'"schema"',
    "number": b"17",
    "other": b'{"name": "somebody else\'s"}',
    "deep": b"[" * 100_000,
    "no-cells": b'{"schema": 1, "written_us": 1}',
    "cells-of-numbers": b'{"schema": 1, "written_us": 1, "cells": [1]}',
    "huge-number": b'{"schema": 1, "cells": [], "scores": [], "timeouts": [], "written_us": 1e999}',
    "schema-zero": b'{"schema": 0}',
    "schema-text": b'{"schema": "1"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_snapshot_is_an_empty_one_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(content)
    found = snapshot.read(path)
    assert found == Snapshot(
        reason=f"{path} is no snapshot of a history; the next run writes it anew"
    )


def test_a_missing_or_newer_snapshot_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    assert snapshot.read(path) == Snapshot(reason=f"{path} is not there yet")
    path.write_text(json.dumps({"schema": 2, "all": "different"}))
    assert "was written by a newer version" in snapshot.read(path).reason
    assert "cannot be read" in snapshot.read(tmp_path).reason


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
broken_parts = st.dictionaries(
    st.sampled_from(["schema", "written_us", "cells", "scores", "timeouts"]), anything
)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(broken_parts)
def test_nothing_in_a_snapshot_raises(tmp_path: Path, parts: dict[str, Any]) -> None:
    snapshot.write(tmp_path / "s.json", FULL)
    data = {**json.loads((tmp_path / "s.json").read_text()), **parts}
    (tmp_path / "s.json").write_text(json.dumps(data))
    found = snapshot.read(tmp_path / "s.json")
    assert found.reason == "" or found == Snapshot(reason=found.reason)


def test_a_snapshot_older_than_its_history_is_good(history: History, filled: Fill) -> None:
    history.merge([filled(recovery())])
    path = snapshot.path_of(history.path)
    os.utime(path, (0, 0))
    assert len(snapshot.read(path).cells) == 1
