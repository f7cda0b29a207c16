"""`core.impact`: what a recovery did to its surroundings, and what its strategy is worth."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core import events
from pytest_resilience.core.events import RecoveryPerformanceRecord
from pytest_resilience.core.impact import ScoreTally, impact, impact_shares, stability
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, prepare

IDLE = {"memory_percent": 40.0, "cpu_percent": 10.0}

percents = st.floats(0, 100)
usages = st.fixed_dictionaries({}, optional={"memory_percent": percents, "cpu_percent": percents})
counts = st.integers(0, 1000)


class TestImpact:
    """Five shares of a quarter each at most, cut at 1 together."""

    @pytest.mark.parametrize(
        ("after", "seconds", "affected", "recovered", "expected"),
        [
            pytest.param({}, 0.0, 0, 0, 0.0, id="nothing"),
            pytest.param({"memory_percent": 50.0}, 0.0, 0, 0, 0.1, id="memory-taken"),
            pytest.param({"memory_percent": 30.0}, 0.0, 0, 0, 0.1, id="memory-given-back"),
            pytest.param({"cpu_percent": 95.0}, 0.0, 0, 0, 0.25, id="cpu-at-its-most"),
            pytest.param({}, 12.0, 0, 0, 0.05, id="time"),
            pytest.param({}, 600.0, 0, 0, 0.25, id="time-at-its-most"),
            pytest.param({}, 0.0, 2, 2, 0.1, id="tasks-all-recovered"),
            pytest.param({}, 0.0, 20, 20, 0.25, id="tasks-at-their-most"),
            pytest.param({}, 0.0, 4, 1, 0.2 + 0.25 * 0.75, id="three-of-four-lost"),
            pytest.param({"cpu_percent": 95.0}, 600.0, 20, 0, 1.0, id="four-full-shares"),
        ],
    )
    def test_each_share_is_reckoned_by_its_rule(
        self,
        after: dict[str, float],
        seconds: float,
        affected: int,
        recovered: int,
        expected: float,
    ) -> None:
        result = impact(IDLE, {**IDLE, **after}, seconds, affected, recovered)
        assert result == pytest.approx(expected)

    def test_five_full_shares_are_no_more_than_a_whole(self) -> None:
        after = {"memory_percent": 90.0, "cpu_percent": 95.0}
        assert impact(IDLE, after, 600.0, 20, 0) == 1.0

    def test_the_shares_are_named(self) -> None:
        shares = impact_shares(IDLE, {"memory_percent": 60.0, "cpu_percent": 15.0}, 24.0, 1, 0)
        assert shares == pytest.approx(
            {"memory": 0.2, "cpu": 0.05, "time": 0.1, "tasks": 0.05, "recovery": 0.25}
        )

    @given(before=usages, after=usages, seconds=st.floats(0, 1e5), affected=counts, more=counts)
    def test_it_lies_between_0_and_1_whatever_was_or_was_not_measured(
        self,
        before: dict[str, float],
        after: dict[str, float],
        seconds: float,
        affected: int,
        more: int,
    ) -> None:
        assert 0 <= impact(before, after, seconds, affected, more) <= 1
        shares = impact_shares(before, after, seconds, affected, more)
        assert all(0 <= share <= 0.25 for share in shares.values())


class TestStability:
    """The mean of the components there are."""

    def test_an_idle_host_without_anything_else_is_stable(self) -> None:
        assert stability(cpu_percent=10, memory_percent=80) == 1.0

    @pytest.mark.parametrize(
        ("cpu", "memory", "expected"),
        [(90, 10, 0.5), (10, 95, 0.25), (100, 10, 0.0), (10, 120, 0.0)],
        ids=["busy", "short-of-memory", "no-head-room", "beyond-measure"],
    )
    def test_head_room_ends_at_a_hundred_per_cent(
        self, cpu: float, memory: float, expected: float
    ) -> None:
        assert stability(cpu_percent=cpu, memory_percent=memory) == pytest.approx(expected)

    def test_all_components_count_alike(self) -> None:
        result = stability(
            cpu_percent=90,
            memory_percent=10,
            sessions=4,
            answering=3,
            affected=10,
            recovered=8,
            database_up=False,
        )
        assert result == pytest.approx((0.5 + 0.75 + 0.8 + 0.0) / 4)

    def test_a_database_counts_only_if_one_is_needed(self) -> None:
        host = {"cpu_percent": 10.0, "memory_percent": 10.0}
        assert stability(**host, database_up=True) == stability(**host) == 1.0
        assert stability(**host, database_up=False) == 0.5

    @given(
        cpu_percent=st.floats(0, 200),
        memory_percent=percents,
        sessions=counts,
        answering=counts,
        affected=counts,
        recovered=counts,
        database_up=st.none() | st.booleans(),
    )
    def test_it_lies_between_0_and_1(self, **measured: float) -> None:
        assert 0 <= stability(**measured) <= 1  # type: ignore[arg-type]


def tallied(*records: RecoveryPerformanceRecord) -> ScoreTally:
    tally = ScoreTally()
    for record in records:
        tally.add(
            success=record.success,
            execution_time=record.execution_time,
            impact=record.impact_score,
            stability=record.stability_score,
            affected=record.affected_tasks,
            recovered=record.recovered_tasks,
        )
    return tally


def record(seconds: float, success: bool, **measured: float) -> RecoveryPerformanceRecord:
    fields = {"impact_score": 0.25, "stability_score": 0.75, **measured}
    return RecoveryPerformanceRecord("restart", "Restart", "gpu", seconds, success, **fields)  # type: ignore[arg-type]


class TestScore:
    """0.40 for success, and 0.15 each for speed, mildness, stability and recovered tests."""

    def test_unseen_it_is_a_half(self) -> None:
        assert ScoreTally().score == 0.5

    def test_the_best_there_can_be_is_a_whole(self) -> None:
        best = record(
            0.0, True, impact_score=0, stability_score=1, affected_tasks=1, recovered_tasks=1
        )
        assert tallied(best).score == pytest.approx(1.0)

    def test_it_is_worked_by_hand(self) -> None:
        tally = tallied(
            record(6.0, True, affected_tasks=4, recovered_tasks=3),
            record(9.0, True),
            record(99.0, False, affected_tasks=2),
        )
        speed = 1 - 7.5 / 30
        recovered = (0.75 + 0) / 2
        expected = 0.40 * 2 / 3 + 0.15 * (speed + 0.75 + 0.75 + recovered)
        assert tally.score == pytest.approx(expected)

    @pytest.mark.parametrize("success", [True, False], ids=["too-slow", "never"])
    def test_thirty_seconds_or_no_success_are_worth_nothing_for_speed(self, success: bool) -> None:
        score = tallied(record(31.0, success)).score
        assert score == pytest.approx(0.40 * success + 0.15 * (0.75 + 0.75))

    def test_it_is_the_score_that_the_history_computes(self, tmp_path: Path) -> None:
        records = [
            record(2.0, True, affected_tasks=5, recovered_tasks=4),
            record(12.5, True, impact_score=0.6, stability_score=0.3),
            record(40.0, False, affected_tasks=3, recovered_tasks=0),
            record(3.25, True, affected_tasks=1, recovered_tasks=1),
        ]
        prepare(tmp_path / "resilience")
        history = History(tmp_path / "resilience" / "history.duckdb")
        ticks = iter(range(1_767_225_600_000_000, 1_767_225_600_001_000))
        spool = Spool(
            tmp_path / "resilience" / "spool",
            session_id="s",
            worker="main",
            now_us=lambda: next(ticks),
        )
        for number, one in enumerate(records):
            one.timestamp_us = 1_767_225_600_000_000 + number
            spool.emit(events.RECOVERY, one.to_dict())
        spool.close()
        history.merge([spool.path])
        [row] = history.read("SELECT score, samples FROM strategy_scores")
        assert row["samples"] == len(records)
        assert tallied(*records).score == pytest.approx(row["score"], abs=1e-5)
