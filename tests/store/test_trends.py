"""Trends: series, changes, rankings, escalation, impact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.store.history import History
from pytest_resilience.store.trends import analyse

from .conftest import NEW_YEAR_US
from .samples import recovery

Fill = Callable[..., Path]
#: 2026-01-01 was a Thursday.
DAY_US = 86_400_000_000


def now_us() -> int:
    """Return a moment of the thirtieth day."""
    return NEW_YEAR_US + 29 * DAY_US + 1


def step(
    day: int, number: int, level: int = 3, nodeid: str = "t", **changes: Any
) -> tuple[str, dict[str, Any]]:
    context = {"error_id": f"{day}-{number}", "nodeid": nodeid, "recovery_level": level}
    return recovery(timestamp_us=NEW_YEAR_US + day * DAY_US + number, context=context, **changes)


def trends(history: History, **options: Any) -> dict[str, Any]:
    return analyse(30, db=history.path, now_us=now_us, **options)


@pytest.fixture
def worse(history: History, filled: Fill) -> History:
    """One session a day: browsers recover nine times in ten, and of late hardly ever."""
    spools = []
    for day in range(30):
        good = 9 if day < 23 else 2
        events = [step(day, n, nodeid=f"t{n}", success=n < good) for n in range(10)]
        steady = [
            step(day, 20 + n, nodeid=f"u{n}", error_type="network", strategy_id="delayed_retry",
                 success=n < 4)
            for n in range(5)
        ]  # fmt: skip
        seldom = [step(day, 30, nodeid="v", error_type="gpu")] if day > 27 else []
        spools.append(filled(*events, *steady, *seldom, session_id=f"day{day}"))
    history.merge(spools)
    return history


def test_a_strategy_that_fails_of_late_is_a_regression_and_others_are_not(worse: History) -> None:
    found = {row["error_type"]: row for row in trends(worse)["performance"]}
    browser = found["browser"]
    assert (browser["strategy"], browser["state"]) == ("browser_restart", "regression")
    assert browser["p"] < 0.01
    assert (browser["recent"]["executions"], browser["recent"]["sessions"]) == (70, 7)
    assert browser["baseline"]["success_rate"] == pytest.approx(0.9)
    assert browser["recent"]["success_high"] < browser["baseline"]["success_low"]
    assert found["network"]["state"] == "stable"
    assert (found["gpu"]["state"], found["gpu"]["p"]) == ("insufficient data", None)


@pytest.mark.parametrize(
    ("bucket", "starts", "first"),
    [("day", 30, "2026-01-01"), ("week", 5, "2025-12-29")],
)
def test_series_go_by_days_or_weeks(worse: History, bucket: str, starts: int, first: str) -> None:
    rows = trends(worse, bucket=bucket)["performance"]
    [series] = [row["series"] for row in rows if row["error_type"] == "browser"]
    assert (len(series), series[0]["start"]) == (starts, first)
    assert sum(point["executions"] for point in series) == 300
    assert series[0]["success_rate"] == pytest.approx(0.9)
    assert series[-1]["success_rate"] == pytest.approx(0.2)
    assert all(p["success_low"] <= p["success_rate"] <= p["success_high"] for p in series)


def test_error_types_are_ranked(history: History, filled: Fill) -> None:
    errors = [
        ("error", {"error_id": f"{kind}{n}", "error_type": kind, "seen_us": NEW_YEAR_US + n,
                   "context": {"nodeid": f"t{n % 2}"}})
        for kind, count in (("browser", 5), ("network", 3), ("product", 1))
        for n in range(count)
    ]  # fmt: skip
    history.merge(
        [
            filled(
                *errors,
                step(0, 1, 1, "t0", impact_score=0.2, cost_s=4.0, success=False),
                step(0, 2, 3, "t0", impact_score=0.4, cost_s=6.0),
                step(0, 3, 2, "t1", error_type="network", impact_score=0.9),
            )
        ]
    )
    rows = trends(history)["error_types"]
    assert [row["error_type"] for row in rows] == ["browser", "network", "product"]
    browser, network, product = rows
    assert (browser["errors"], browser["tests"], browser["executions"]) == (5, 2, 2)
    assert browser["impact_score"] == pytest.approx(0.3)
    assert browser["lost_seconds"] == pytest.approx(10.0)
    assert (browser["incidents"], browser["escalated"], browser["escalation"]) == (1, 1, 1.0)
    assert network["rank"] == {"errors": 2, "success_rate": 1, "impact_score": 1, "escalation": 2}
    assert (product["success_rate"], product["rank"]["success_rate"]) == (None, None)


def test_progression_tells_how_far_incidents_climbed(history: History, filled: Fill) -> None:
    """What follows a cure is a new incident; other runs of a test are, too."""
    history.merge(
        [
            filled(
                step(0, 1, 1, "a"),
                step(0, 2, 1, "a", success=False),
                step(0, 3, 3, "a"),
                step(0, 4, 1, "b", success=False),
                step(0, 5, 2, "b", success=False),
                step(0, 6, 5, "b", success=False, error_type="driver"),
            ),
            filled(step(1, 1, 1, "b"), session_id="s2"),
        ]
    )
    found = trends(history)["progression"]
    assert (found["incidents"], found["resolved"], found["escalated"]) == (4, 3, 2)
    levels = {row["level"]: row for row in found["levels"]}
    assert {n: (row["reached"], row["resolved"]) for n, row in levels.items()} == {
        1: (4, 2),
        2: (1, 0),
        3: (1, 1),
        5: (1, 0),
    }
    assert levels[1]["share"] == pytest.approx(0.5)
    assert (levels[1]["executions"], levels[1]["successes"]) == (4, 2)
    assert levels[3]["mean_seconds"] == pytest.approx(2.5)
    assert found["error_types"] == {"browser": {"incidents": 4, "resolved": 3, "escalated": 2}}


def test_impact_goes_by_strategy_the_heaviest_first(history: History, filled: Fill) -> None:
    usage = {"cpu_percent": 10.0, "memory_percent": 2.0, "strange": 1}
    history.merge(
        [
            filled(
                step(0, 1, impact_score=0.25, stability_score=0.5, resource_usage=usage),
                step(0, 2, impact_score=0.75, stability_score=1.0, resource_usage={}),
                step(0, 3, strategy_id="environment_reset", impact_score=0.9),
            )
        ]
    )
    reset, restart = trends(history)["impact"]
    assert (reset["strategy"], restart["strategy"]) == ("environment_reset", "browser_restart")
    assert restart["impact_score"] == pytest.approx(0.5)
    assert restart["stability_score"] == pytest.approx(0.75)
    assert restart["resources"]["cpu_percent"] == pytest.approx(10.0)
    assert restart["resources"]["disk_percent"] is None


def test_injected_faults_are_no_trend(history: History, filled: Fill) -> None:
    context = {"error_id": "e", "nodeid": "t", "recovery_level": 1, "injected": "crash"}
    history.merge([filled(recovery(context=context))])
    found = trends(history)
    assert found["performance"] == found["impact"] == found["error_types"] == []
    assert found["progression"]["incidents"] == 0


def test_an_empty_history_has_empty_trends(history: History, filled: Fill) -> None:
    history.merge([filled(("attempt", {}))])
    assert trends(history)["performance"] == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bucket": "month"}, "unknown bucket 'month'; valid ones: day, week"),
        ({"recent_days": 30}, "recent_days must be 1 to 29, not 30"),
        ({"recent_days": 0}, "recent_days must be 1 to 29, not 0"),
    ],
    ids=["bucket", "too-long", "zero"],
)
def test_wrong_questions_are_refused(worse: History, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        trends(worse, **options)
