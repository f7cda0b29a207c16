"""Metrics and recommendations: the numbers people and programs choose by."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_resilience
from pytest_resilience import get_performance_metrics, get_strategy_recommendations
from pytest_resilience.core.applicability import APPLICABILITY
from pytest_resilience.core.selection import Experience, Option
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.retention import prune

from .conftest import NEW_YEAR_US
from .samples import recovery

Fill = Callable[..., Path]
DAY_US = 86_400_000_000


def at(day: int, number: int = 0, level: int = 3, **changes: Any) -> tuple[str, dict[str, Any]]:
    context = {
        "error_id": f"{day}-{number}",
        "nodeid": changes.pop("nodeid", f"t{number}"),
        "recovery_level": level,
        "timed_out": changes.pop("timed_out", False),
    }
    return recovery(timestamp_us=NEW_YEAR_US + day * DAY_US + number, context=context, **changes)


def today() -> int:
    """Return a moment of the tenth day."""
    return NEW_YEAR_US + 9 * DAY_US + 5


@pytest.fixture
def full(history: History, filled: Fill) -> History:
    """Ten days: restarts of browsers by day, two retries on the last."""
    restarts = [
        at(day, execution_time=float(day), success=day % 5 > 0, impact_score=0.5,
           stability_score=1.0, affected_tasks=2, recovered_tasks=1)
        for day in range(10)
    ]  # fmt: skip
    retries = [
        at(9, 1, 1, strategy_id="immediate_retry", error_type="network", success=False),
        at(9, 2, 1, strategy_id="immediate_retry", error_type="network", timed_out=True),
    ]
    history.merge([filled(*restarts, *retries)])
    return history


def test_figures_are_given_for_all_for_strategies_error_types_and_levels(full: History) -> None:
    found = get_performance_metrics(db=full.path)
    overall = found["overall"]
    assert (overall["total_executions"], overall["executions"], overall["successes"]) == (12, 12, 9)
    assert overall["overall_success_rate"] == overall["success_rate"] == pytest.approx(0.75)
    assert overall["success_low"] < 0.75 < overall["success_high"]
    assert overall["levels"] == {"1": 2, "3": 10}
    assert set(found["strategies"]) == {"browser_restart", "immediate_retry"}
    assert set(found["error_types"]) == {"browser", "network"}
    assert {level: row["executions"] for level, row in found["levels"].items()} == {"1": 2, "3": 10}
    pair = found["strategies"]["browser_restart"]["error_types"]["browser"]
    assert pair["mean_seconds"] == pytest.approx(4.5)
    assert pair["median_seconds"] == pytest.approx(4.5)
    assert pair["p95_seconds"] == pytest.approx(8.55)
    assert (pair["measured"], pair["timeouts"]) == (10, 0)
    assert pair["timeout_s"] == pytest.approx(18.0)
    assert pair["impact_score"] == pytest.approx(0.5)
    assert pair["stability_score"] == pytest.approx(1.0)
    assert pair["task_recovery_rate"] == pytest.approx(0.5)
    [row] = full.read("SELECT score FROM strategy_scores WHERE strategy_id = 'browser_restart'")
    assert pair["score"] == pytest.approx(row["score"], abs=1e-6)
    retry = found["strategies"]["immediate_retry"]
    assert (retry["timeouts"], retry["task_recovery_rate"]) == (1, None)


def test_figures_can_be_of_one_type_one_strategy_and_the_last_days(full: History) -> None:
    browser = get_performance_metrics("browser", db=full.path)
    assert (browser["overall"]["executions"], set(browser["error_types"])) == (10, {"browser"})
    retry = get_performance_metrics(strategy_id="immediate_retry", db=full.path)
    assert (retry["overall"]["executions"], set(retry["strategies"])) == (2, {"immediate_retry"})
    late = get_performance_metrics(days=3, db=full.path, now_us=today)
    assert late["overall"]["executions"] == 5
    assert late["overall"]["measured"] == 5
    nothing = get_performance_metrics("gpu", db=full.path)
    assert nothing["overall"]["executions"] == 0
    assert nothing["overall"]["success_rate"] is None
    assert nothing["strategies"] == {}


def test_a_test_that_fails_so_again_after_its_recovery_is_a_recurrence(
    history: History, filled: Fill
) -> None:
    history.merge(
        [
            filled(at(0, 1, nodeid="a"), at(0, 2, nodeid="a"), at(0, 3, nodeid="b")),
            filled(at(0, 4, nodeid="b"), session_id="s2"),
        ]
    )
    overall = get_performance_metrics(db=history.path)["overall"]
    assert (overall["recurrences"], overall["recurrence_rate"]) == (1, pytest.approx(0.25))


def test_counts_outlive_pruning(full: History) -> None:
    before = get_performance_metrics(db=full.path)["overall"]
    prune(full.path, keep_days=0, now_us=lambda: NEW_YEAR_US + 20 * DAY_US)
    after = get_performance_metrics(db=full.path)["overall"]
    assert after["executions"] == before["executions"]
    assert after["mean_seconds"] == before["mean_seconds"]
    assert (after["measured"], after["median_seconds"]) == (0, None)


def test_the_history_of_the_current_directory_is_asked(
    full: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / ".resilience").mkdir(parents=True)
    full.path.rename(tmp_path / "here" / ".resilience" / "history.duckdb")
    monkeypatch.chdir(tmp_path / "here")
    assert pytest_resilience.get_performance_metrics()["overall"]["executions"] == 12
    assert pytest_resilience.get_strategy_recommendations("browser")


def test_wrong_questions_are_refused(full: History, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="days must be 1 or more, not 0"):
        get_performance_metrics(days=0, db=full.path)
    with pytest.raises(StoreError, match="no history at"):
        get_performance_metrics(db=tmp_path / "none.duckdb")
    with pytest.raises(ValueError, match="nothing is known of error type 'x'; valid ones: "):
        get_strategy_recommendations("x", db=full.path)


def test_recommendations_are_what_a_run_would_reckon(history: History, filled: Fill) -> None:
    """The same cells, the same formula, the same order."""
    rng = random.Random(2)
    events = [
        at(0, n, strategy_id=name, environment="chrome", cost_s=rng.random() * 9,
           success=rng.random() < 0.5, tried=rng.choice(["", "fresh_window"]))
        for n, name in enumerate(["browser_restart", "fresh_window", "driver_restart"] * 20)
    ]  # fmt: skip
    history.merge([filled(*events)])
    found = get_strategy_recommendations("browser", environment="chrome", db=history.path)
    known = snapshot.read(snapshot.path_of(history.path))
    options = [
        Option(name, int(fit.level), fit.nominal_s)
        for name, fit in APPLICABILITY.items()
        if "browser" in {member.label for member in fit.error_types}
    ]
    weighed = Experience(known.cells, {}).weigh(
        options, environment="chrome", error_type="browser", tried=frozenset()
    )
    expected = sorted(weighed, key=lambda candidate: candidate.index)
    assert [row["strategy"] for row in found] == [c.strategy for c in expected]
    for row, candidate in zip(found, expected, strict=True):
        assert row["p"] == pytest.approx(candidate.p)
        assert row["cost_s"] == pytest.approx(candidate.cost_s, rel=1e-4)
        assert row["seconds_per_cure"] == pytest.approx(candidate.index, rel=1e-4)
        assert row["samples"] == candidate.samples
        assert row["low"] <= row["high"]


def test_recommendations_say_why(history: History, filled: Fill) -> None:
    rows = [
        at(0, n, strategy_id="their_own", level=4, cost_s=2.0, success=n > 0, environment=f"e{n}")
        for n in range(4)
    ]
    history.merge([filled(*rows)])
    found = {row["strategy"]: row for row in get_strategy_recommendations("gpu", db=history.path)}
    assert "their_own" not in found
    found = {r["strategy"]: r for r in get_strategy_recommendations("browser", db=history.path)}
    own = found["their_own"]
    assert own["why"].startswith("cured 3 of the last 4 first tries; ")
    assert (own["level"], own["samples"], own["p"]) == (4, 4, pytest.approx(4 / 6))
    assert found["browser_restart"]["why"].startswith("never tried first: taken as even; ")
    assert found["browser_restart"]["p"] == 0.5
    assert list(found) == sorted(found, key=lambda name: found[name]["seconds_per_cure"])


def test_all_environments_count_alike_if_none_is_named(history: History, filled: Fill) -> None:
    rows = [at(0, n, environment=f"e{n % 2}", success=n % 2 == 0, cost_s=3.0) for n in range(30)]
    history.merge([filled(*rows)])
    [pooled] = [
        row
        for row in get_strategy_recommendations("browser", db=history.path)
        if row["strategy"] == "browser_restart"
    ]
    assert pooled["samples"] == 30
    assert pooled["p"] == pytest.approx(0.5)
    [good] = [
        row
        for row in get_strategy_recommendations("browser", environment="e0", db=history.path)
        if row["strategy"] == "browser_restart"
    ]
    assert good["p"] > 0.8
