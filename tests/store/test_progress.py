"""Incidents: which recoveries belong together, how far they climbed, and how that ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_resilience
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store.history import History
from pytest_resilience.store.progress import get_progressive_recovery
from pytest_resilience.store.retention import prune

from .conftest import NEW_YEAR_US
from .samples import recovery

Fill = Callable[..., Path]
Step = tuple[str, dict[str, Any]]
SECOND_US = 1_000_000


def step(
    incident: str,
    second: int,
    level: int,
    *,
    success: bool = False,
    cost_s: float = 2.0,
    **changes: Any,
) -> Step:
    """Return a recovery of `incident`, so many seconds after New Year."""
    context = {
        "error_id": f"{incident}-{second}",
        "incident_id": incident,
        "nodeid": f"t.py::{incident}",
        "recovery_level": level,
        **changes.pop("context", {}),
    }
    return recovery(
        strategy_id=f"level-{level}",
        timestamp_us=NEW_YEAR_US + second * SECOND_US,
        success=success,
        cost_s=cost_s,
        context=context,
        **changes,
    )


#: One that climbs twice and is cured, one that goes down again in vain, one cured at once.
CLIMBS = (
    step("up", 10, 1),
    step("up", 12, 3),
    step("up", 20, 5, success=True, cost_s=4.0),
    step("vain", 40, 2),
    step("vain", 43, 1, cost_s=1.5),
    step("once", 60, 3, success=True, error_type="driver"),
)


def rows_of(history: History) -> dict[str, dict[str, Any]]:
    return {row["error_id"]: row for row in history.read("SELECT * FROM progressive_recovery")}


@pytest.fixture
def climbed(history: History, filled: Fill) -> History:
    history.merge([filled(*CLIMBS)])
    return history


def test_an_incident_is_one_row_with_its_climb(climbed: History) -> None:
    row = rows_of(climbed)["up"]
    told = {name: row[name] for name in ("recoveries", "escalations", "highest_level")}
    assert told == {"recoveries": 3, "escalations": 2, "highest_level": 5}
    assert (row["final_level"], row["current_level"], row["resolved"]) == (5, 1, True)
    # From the first recovery until the outcome of the last one was known.
    assert row["seconds"] == pytest.approx(14.0)
    assert (row["nodeid"], row["error_type"]) == ("t.py::up", "browser")
    assert row["started_us"] == NEW_YEAR_US + 10 * SECOND_US


def test_one_that_was_not_cured_stays_at_its_last_level(climbed: History) -> None:
    row = rows_of(climbed)["vain"]
    assert (row["final_level"], row["current_level"], row["highest_level"]) == (1, 1, 2)
    assert (row["escalations"], row["resolved"]) == (0, False)
    assert row["seconds"] == pytest.approx(4.5)


def test_a_climb_is_the_same_in_however_many_merges_it_comes(
    climbed: History, filled: Fill, tmp_path: Path
) -> None:
    apart = History(tmp_path / "apart" / "history.duckdb")
    for one in reversed(CLIMBS):
        apart.merge([filled(one)])
    whole, pieces = rows_of(climbed), rows_of(apart)
    for rows in (whole, pieces):
        for row in rows.values():
            del row["last_updated"]
    assert pieces == whole


def test_recoveries_of_older_versions_are_incidents_of_their_own(
    history: History, filled: Fill
) -> None:
    context = {"error_id": "e1", "nodeid": "t", "recovery_level": 2}
    history.merge([filled(recovery(context=context), recovery(context={**context}))])
    assert rows_of(history)["e1"]["recoveries"] == 2


def test_times_that_are_none_do_no_harm(history: History, filled: Fill) -> None:
    """A spool may hold anything."""
    wild = [
        step("wild", 0, 1, context={"nodeid": None}),
        step("wild", 0, 2),
        step("wild", 0, 2),
    ]
    wild[0][1]["timestamp_us"] = -(2**63)
    wild[1][1]["timestamp_us"] = 2**63 - 1
    wild[2][1]["cost_s"] = None
    history.merge([filled(*wild)])
    assert rows_of(history)["wild"]["recoveries"] == 3
    assert get_progressive_recovery(db=history.path)["overall"]["incidents"] in (0, 1)


def test_the_summary_counts_incidents(climbed: History) -> None:
    overall = get_progressive_recovery(db=climbed.path)["overall"]
    assert (overall["incidents"], overall["resolved"], overall["escalated"]) == (3, 2, 1)
    assert overall["resolution_rate"] == pytest.approx(2 / 3)
    assert overall["resolution_low"] < 2 / 3 < overall["resolution_high"]
    assert overall["escalations"] == {"1-3": 1, "3-5": 1}
    assert overall["final_levels"] == {
        "1": {"resolved": 0, "unresolved": 1},
        "3": {"resolved": 1, "unresolved": 0},
        "5": {"resolved": 1, "unresolved": 0},
    }
    assert overall["recoveries"] == pytest.approx(2.0)
    assert overall["mean_seconds"] == overall["median_seconds"] == pytest.approx(8.0)
    assert overall["p95_seconds"] == pytest.approx(14.0)


def test_it_is_told_by_the_error_type_with_which_an_incident_began(
    climbed: History, filled: Fill
) -> None:
    climbed.merge([filled(step("vain", 50, 4, error_type="driver", success=True))])
    found = get_progressive_recovery(db=climbed.path)
    assert {name: one["incidents"] for name, one in found["error_types"].items()} == {
        "browser": 2,
        "driver": 1,
    }
    assert get_progressive_recovery("driver", db=climbed.path)["overall"]["incidents"] == 1


def test_the_newest_climbs_are_told_one_by_one(climbed: History) -> None:
    found = get_progressive_recovery(db=climbed.path, newest=2)
    assert [climb["error_id"] for climb in found["climbs"]] == ["once", "vain"]
    assert found["overall"]["incidents"] == 3
    vain = found["climbs"][1]
    assert (vain["levels"], vain["strategies"]) == ([2, 1], ["level-2", "level-1"])
    assert (vain["final_level"], vain["resolved"], vain["nodeid"]) == (1, False, "t.py::vain")


def test_days_are_counted_back_from_today(climbed: History, filled: Fill) -> None:
    day = 24 * 3600
    climbed.merge([filled(step("late", 3 * day, 1, success=True))])

    def incidents(days: int | None) -> int:
        found = get_progressive_recovery(
            days=days, db=climbed.path, now_us=lambda: NEW_YEAR_US + 3 * day * SECOND_US
        )
        return int(found["overall"]["incidents"])

    assert [incidents(days) for days in (1, 3, 4, None)] == [1, 1, 4, 4]
    with pytest.raises(ValueError, match="days must be 1 or more"):
        incidents(0)


def test_injected_faults_count_only_where_they_teach(history: History, filled: Fill) -> None:
    injected = {"injected": "crash"}
    history.merge(
        [
            filled(
                step("real", 1, 1),
                step("staged", 2, 1, context=injected),
                step("lesson", 3, 1, context={**injected, "learn": True}),
            )
        ]
    )
    found = get_progressive_recovery(db=history.path)
    assert [climb["error_id"] for climb in found["climbs"]] == ["lesson", "real"]
    assert rows_of(history)["staged"]["injected"] == "crash"


def test_pruning_removes_the_climbs_of_old_sessions(history: History, filled: Fill) -> None:
    for session_id, rows in (("old", CLIMBS), ("new", [step("young", 9 * 24 * 3600, 1)])):
        end = ("session_finished", {})
        history.merge([filled(("session_started", {}), *rows, end, session_id=session_id)])
    with history.reading() as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (2,)
    assert rows_of(history).keys() == {"up", "vain", "once", "young"}
    prune(history.path, keep_days=0, now_us=lambda: NEW_YEAR_US + 24 * 3600 * SECOND_US)
    assert rows_of(history) == {}


def test_without_incidents_nothing_is_made_up(history: History, filled: Fill) -> None:
    history.merge([filled(("attempt", {}))])
    found = get_progressive_recovery(db=history.path)
    assert found["overall"]["resolution_rate"] is None
    assert found["overall"]["mean_seconds"] is None
    assert (found["error_types"], found["climbs"]) == ({}, [])


def test_a_history_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no history at"):
        get_progressive_recovery(db=tmp_path / "none.duckdb")


def test_it_is_public() -> None:
    assert pytest_resilience.get_progressive_recovery is get_progressive_recovery
