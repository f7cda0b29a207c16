"""What the history makes of recoveries: scores, time-outs, the climb of an error."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.adaptive import QuantileTimeout
from pytest_resilience.store import learning
from pytest_resilience.store.history import History, as_dicts
from pytest_resilience.store.spool import prepare

from .conftest import NEW_YEAR_US
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
        pytest.param([0.1] * 9, 60.0, id="too-few-to-believe"),
        pytest.param([0.1] * 10, 5.0, id="lower-bound"),
        pytest.param([10.0] * 20, 20.0, id="twice-the-95th-percentile"),
        pytest.param([1.0] * 99 + [250.0], 5.0, id="one-outlier-of-a-hundred"),
        pytest.param([250.0] * 10, 300.0, id="upper-bound"),
        pytest.param([200.0] * 90 + [10.0] * 60, 20.0, id="only-the-newest-60"),
    ],
)
def test_timeouts_are_twice_p95_within_bounds(
    history: History, filled: Fill, durations: list[float], timeout: float
) -> None:
    history.merge(
        [
            filled(
                *[
                    recovery(execution_time=seconds, timestamp_us=NEW_YEAR_US + number)
                    for number, seconds in enumerate(durations)
                ]
            )
        ]
    )
    [row] = history.read("SELECT * FROM adaptive_timeouts")
    assert row["timeout"] == pytest.approx(timeout)
    learned = QuantileTimeout.from_dict(json.loads(row["state"]))
    assert learned.timeout_s == pytest.approx(timeout)
    assert [seconds for seconds, _ in learned.durations] == pytest.approx(durations[-60:])


def test_a_time_out_that_struck_doubles_the_next_one(history: History, filled: Fill) -> None:
    """Also across merges, situations and environments of the same pair."""

    def ended(number: int, **changes: Any) -> tuple[str, dict[str, Any]]:
        return recovery(execution_time=10.0, timestamp_us=NEW_YEAR_US + number, **changes)

    struck = {"context": {"timed_out": True, "recovery_level": 3}, "tried": "x"}
    history.merge([filled(*[ended(n, environment=f"e{n % 3}") for n in range(59)])])
    history.merge([filled(ended(60, **struck))])
    [row] = history.read("SELECT timeout FROM adaptive_timeouts")
    assert row["timeout"] == pytest.approx(40.0)
    history.merge([filled(ended(61))])
    [row] = history.read("SELECT timeout FROM adaptive_timeouts")
    assert row["timeout"] == pytest.approx(20.0)


def test_progress_tells_the_climb_of_an_error_and_is_reset_by_its_recovery(
    history: History, filled: Fill
) -> None:
    def step(level: int, us: int, error_id: str = "e1") -> tuple[str, dict[str, Any]]:
        context = {"error_id": error_id, "recovery_level": level}
        return recovery(context=context, timestamp_us=us, success=level == 3)

    history.merge([filled(step(3, 30), step(1, 10), step(1, 10, "e2"))])
    history.merge([filled(step(2, 20), step(2, 15, "e2"))])
    rows = {row["error_id"]: row for row in history.read("SELECT * FROM progressive_recovery")}
    climb = json.loads(rows["e1"]["history"])
    assert [(entry["level"], entry["success"]) for entry in climb] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert rows["e1"]["current_level"] == 1
    assert rows["e2"]["current_level"] == 2


LEARNED = (
    "recovery_daily",
    "recovery_cells",
    "strategy_scores",
    "adaptive_timeouts",
    "progressive_recovery",
)


def learned(history: History) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all learned tables, without the moment they were written."""
    without = dict.fromkeys(LEARNED[2:], "* EXCLUDE (last_updated)")
    with history.reading() as connection:
        return {
            t: as_dicts(connection.execute(f"SELECT {without.get(t, '*')} FROM {t} ORDER BY ALL"))
            for t in LEARNED
        }


def lesson(rng: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    """Return a recovery with something of everything that is summed up."""
    return recovery(
        environment=rng.choice(["chrome", "firefox", ""]),
        tried=rng.choice(["", "immediate_retry"]),
        error_type=rng.choice(["browser", "network"]),
        execution_time=rng.random() * 40,
        cost_s=rng.random() * 50,
        success=rng.random() < 0.6,
        impact_score=rng.random(),
        stability_score=rng.random(),
        affected_tasks=rng.randrange(3),
        recovered_tasks=rng.randrange(3),
        timestamp_us=NEW_YEAR_US + rng.randrange(3 * 86_400) * 1_000_000,
        context={
            "error_id": f"e{number % 40}",
            "recovery_level": rng.randint(1, 5),
            "timed_out": rng.random() < 0.1,
        },
    )


def test_what_is_learned_does_not_depend_on_order_or_repetition(
    tmp_path: Path, filled: Fill
) -> None:
    """Many small merges, in any order and twice, teach what one large merge teaches."""
    rng = random.Random(1)
    parts = [filled(*[lesson(rng, n) for n in range(p * 80, p * 80 + 80)]) for p in range(5)]
    shuffled = rng.sample(parts, len(parts))
    results = []
    for number, groups in enumerate(
        ([parts], [[p] for p in shuffled], [[p] for p in parts] * 2, [parts[:3], parts[1:]])
    ):
        folder = prepare(tmp_path / str(number)).parent
        history = History(folder / "history.duckdb")
        for group in groups:
            history.merge([Path(shutil.copy(part, folder / part.name)) for part in group])
        results.append(learned(history))
    assert results[0]["recovery_daily"]
    assert sum(row["executions"] for row in results[0]["recovery_daily"]) == 400
    for result in results[1:]:
        assert result == results[0]


def test_sums_of_a_day_are_those_of_its_recoveries(history: History, filled: Fill) -> None:
    context = {"recovery_level": 2, "timed_out": True}
    day = 86_400_000_000
    history.merge(
        [
            filled(
                recovery(cost_s=4.0, impact_score=0.25, affected_tasks=2, recovered_tasks=1),
                recovery(success=False, execution_time=7.5, stability_score=0.5),
                recovery(timestamp_us=NEW_YEAR_US + day),
                recovery(environment="chrome 131", context=context),
            )
        ]
    )
    rows = history.read("SELECT * FROM recovery_daily ORDER BY day, environment")
    assert [(row["day"].day, row["environment"], row["recovery_level"]) for row in rows] == [
        (1, "", 3),
        (1, "chrome 131", 2),
        (2, "", 3),
    ]
    sums = {name: value for name, value in rows[0].items() if name in learning.SUMS}
    assert sums == {
        "executions": 2,
        "successes": 1,
        "timeouts": 0,
        "total_us": 10_000_000,
        "success_us": 2_500_000,
        "cost_us": 11_500_000,
        "impact_millionths": 250_000,
        "stability_millionths": 500_000,
        "with_tasks": 1,
        "task_rate_millionths": 500_000,
    }
    assert rows[1]["timeouts"] == 1


def test_a_cell_keeps_the_newest_outcomes_whenever_they_come(
    history: History, filled: Fill
) -> None:
    """What `Cell.add` would say of the last outcomes in order of time."""

    def outcome(number: int) -> tuple[str, dict[str, Any]]:
        return recovery(
            environment="chrome",
            tried="immediate_retry",
            success=number % 3 == 0,
            cost_s=float(number + 1),
            timestamp_us=NEW_YEAR_US + number,
        )

    history.merge([filled(*map(outcome, range(40, 80)))])
    history.merge([filled(*map(outcome, range(40)))])
    [row] = history.read("SELECT * FROM recovery_cells")
    assert [row[name] for name in ("environment", "error_type", "tried", "strategy_id")] == [
        "chrome",
        "browser",
        "immediate_retry",
        "browser_restart",
    ]
    assert row["recent"] == "".join("01"[n % 3 == 0] for n in range(40, 80))
    assert row["executions"] == 50
    assert row["mean_cost_s"] == pytest.approx(sum(range(31, 81)) / 50)
    assert row["latest_us"] == NEW_YEAR_US + 79
    assert [o["at_us"] - NEW_YEAR_US for o in row["outcomes"]] == list(range(20, 80))


def test_a_cell_without_a_cost_takes_the_execution_time(history: History, filled: Fill) -> None:
    history.merge([filled(recovery(cost_s=0.0), recovery(cost_s=None, execution_time=3.5))])
    [row] = history.read("SELECT mean_cost_s FROM recovery_cells")
    assert row["mean_cost_s"] == pytest.approx(3.0)
