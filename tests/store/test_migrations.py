"""Histories of older versions become current ones, with everything in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pytest_resilience.store import schema, snapshot
from pytest_resilience.store.history import History

from .conftest import NEW_YEAR_US
from .samples import recovery

Fill = Callable[..., Path]

#: Fingerprints of the steps that were released, without their comments and layout.
RELEASED = {1: "16a859"}

_OLD_ROWS = f"""
    INSERT INTO schema_version VALUES ('pytest-resilience', 1, 'first schema', '0.1.0', NULL);
    INSERT INTO ingested VALUES ('old', 90, 90, 0, NULL);
    INSERT INTO recovery_performance BY NAME
    SELECT i AS id, 'browser_restart' AS strategy_id, 'Browser restart' AS strategy_name,
           'browser' AS error_type, 2.5 AS execution_time, i % 3 > 0 AS success,
           make_timestamp({NEW_YEAR_US} + i) AS timestamp, {NEW_YEAR_US} + i AS timestamp_us,
           0.25 AS impact_score, 1.0 AS stability_score, 1 AS affected_tasks,
           (i % 3 > 0)::INTEGER AS recovered_tasks, 'e' || (i // 3) AS error_id,
           1 + i % 3 AS recovery_level, CASE WHEN i >= 80 THEN 'crash' ELSE '' END AS injected,
           's1' AS sid, 'old' AS spool, i + 1 AS seq
    FROM range(90) r(i);
    INSERT INTO strategy_scores VALUES ('browser', 'browser_restart', 0.1, NULL, 80, '{{}}');
    INSERT INTO adaptive_timeouts VALUES ('browser', 'browser_restart', 17, NULL);
    INSERT INTO progressive_recovery VALUES ('e0', 3, NULL, '[]');
"""


@pytest.fixture
def old(history: History) -> History:
    """A history as version 1 wrote it, with 90 recoveries, ten of them of injected faults."""
    with duckdb.connect(history.path) as connection:
        connection.execute(schema.MIGRATIONS[0].sql)
        connection.execute(_OLD_ROWS)
    return history


@pytest.mark.parametrize("version", RELEASED)
def test_a_released_step_is_never_changed(version: int) -> None:
    [step] = [step for step in schema.MIGRATIONS if step.version == version]
    plain = "".join("".join(line.split("--")[0] for line in step.sql.splitlines()).split())
    assert hashlib.sha256(plain.encode()).hexdigest()[:6] == RELEASED[version]


def test_the_first_schema_is_brought_up_to_date_by_a_merge(old: History, filled: Fill) -> None:
    """The learned tables speak of the old recoveries and of the new one."""
    old.merge([filled(recovery(environment="chrome", tried="x", cost_s=9.0))])
    rows = old.read("SELECT * FROM recovery_performance WHERE spool = 'old'")
    assert len(rows) == 90
    assert {(row["environment"], row["tried"], row["cost_s"]) for row in rows} == {
        (None, None, None)
    }
    [score] = old.read("SELECT samples, score FROM strategy_scores")
    assert score["samples"] == 81
    daily = old.read(
        "SELECT sum(executions)::INT AS n, sum(successes)::INT AS k FROM recovery_daily"
    )
    assert daily == [{"n": 81, "k": 54}]
    cells = old.read("SELECT * FROM recovery_cells ORDER BY environment")
    assert [(c["environment"], c["tried"], c["executions"]) for c in cells] == [
        ("", "", 50),
        ("chrome", "x", 1),
    ]
    assert cells[0]["recent"] == "".join("01"[i % 3 > 0] for i in range(40, 80))
    assert cells[0]["mean_cost_s"] == pytest.approx(2.5)
    [climbed] = old.read("SELECT * FROM progressive_recovery WHERE error_id = 'e0'")
    assert climbed["current_level"] == 1
    assert len(snapshot.read(snapshot.path_of(old.path)).cells) == 2


def test_reading_brings_the_first_schema_up_to_date(old: History) -> None:
    assert old.read("SELECT sum(executions)::INT AS n FROM recovery_daily") == [{"n": 80}]
    versions = old.read("SELECT version FROM schema_version ORDER BY version")
    assert [row["version"] for row in versions] == [step.version for step in schema.MIGRATIONS]


def test_a_failing_update_leaves_the_first_schema_as_it_was(
    old: History, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps and the learning are one transaction."""
    from pytest_resilience.exceptions import StoreError
    from pytest_resilience.store import learning

    path = filled(recovery())
    with monkeypatch.context() as broken:
        broken.setattr(learning, "_scores", lambda updated: "SELECT * FROM nowhere")
        with pytest.raises(StoreError, match="nowhere"):
            old.merge([path])
    assert path.exists()
    with duckdb.connect(old.path, read_only=True) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (1,)
        names = {
            name
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
    assert "recovery_daily" not in names
    assert old.merge([path]).records == 1
    assert old.read("SELECT sum(executions)::INT AS n FROM recovery_daily") == [{"n": 81}]
