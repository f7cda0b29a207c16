"""What the history makes of recoveries: scores, time-outs, the climb of an error."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.store.history import History
from pytest_resilience.store.spool import prepare

from .samples import recovery

Fill = Callable[..., Path]


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
