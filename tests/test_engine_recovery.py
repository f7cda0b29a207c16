"""`engine`: what a recovery does, what it may cost, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.config import Settings
from pytest_resilience.core.events import RecoveryPerformanceRecord
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import ItemHistory
from tests.workshop import Workshop


class TestRecover:
    """A recovery is run once, measured, and contained."""

    def test_it_runs_the_strategy_on_the_environment_and_measures_it(self) -> None:
        shop = Workshop()
        incident = shop.fail(attempt=2)
        started_us = shop.clock.now_us()
        environment = shop.recover(incident, seconds=2.5)
        assert environment.restarts == [False]
        record = incident.record
        assert record is not None
        assert (record.strategy_id, record.strategy_name) == ("browser_restart", "Browser restart")
        assert (record.error_type, record.execution_time, record.success) == ("browser", 2.5, True)
        assert (record.affected_tasks, record.timestamp_us) == (1, started_us)
        told = ("error_id", "nodeid", "attempt", "recovery_level", "detail", "timed_out")
        assert [record.context[name] for name in told] == [
            "id-1", "test_shop.py::test_buy", 2, 3, "", False,
        ]  # fmt: skip

    def test_it_tells_from_what_it_was_chosen_and_why(self) -> None:
        shop = Workshop()
        incident = shop.fail()
        shop.recover(incident)
        record = incident.record
        assert record is not None
        assert incident.choice is not None
        assert record.context["chosen"] == incident.choice.reason
        assert "browser_restart" in incident.choice.reason
        names = [candidate["strategy"] for candidate in record.context["candidates"]]
        assert sorted(names) == ["browser_restart", "driver_restart"]

    def test_the_strategy_is_told_what_it_is_for(self) -> None:
        told: list[Mapping[str, Any]] = []

        class Curious(RecoveryStrategy):
            def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
                told.append(error_info)
                error_info["environment"].restart_browsers(with_driver=True)
                return True

        curious = Curious("curious", ProgressiveRecoveryLevel.BASIC, [ErrorType.BROWSER])
        shop = Workshop(strategies=[curious])
        incident = shop.fail()
        environment = shop.recover(incident)
        assert told[0]["report"] is incident.report
        assert environment.restarts == [True]

    @pytest.mark.parametrize(
        ("answer", "detail"),
        [(False, ""), (OSError("no port free"), "OSError: no port free")],
        ids=["says-no", "raises"],
    )
    def test_a_recovery_that_fails_is_recorded_with_its_time_and_harms_nobody(
        self, answer: bool | BaseException, detail: str
    ) -> None:
        shop = Workshop()
        incident = shop.fail()
        shop.recover(incident, answer, seconds=7)
        record = incident.record
        assert record is not None
        assert (record.success, record.execution_time) == (False, 7.0)
        assert record.context["detail"] == detail
        assert incident.decision.retry

    def test_a_final_failure_has_nothing_to_run(self) -> None:
        shop = Workshop()
        incident = shop.fail("ShopBroken")
        assert shop.recover(incident).restarts == []
        assert incident.record is None

    def test_nothing_is_recorded_before_the_next_attempt_has_shown_what_it_was_worth(self) -> None:
        shop = Workshop()
        shop.recover(shop.fail())
        assert shop.recoveries == []


class TestBudget:
    """The seconds of recovery a run may spend are spent by all items together."""

    def test_it_is_used_up_by_recoveries_and_then_nothing_is_retried(self) -> None:
        shop = Workshop(settings=Settings(budget=5.0))
        shop.recover(shop.fail(), seconds=3.0)
        shop.history = ItemHistory()
        second = shop.fail()
        assert second.decision.retry
        shop.recover(second, seconds=2.0)
        shop.history = ItemHistory()
        third = shop.fail()
        assert (third.decision.retry, third.strategy) == (False, None)
        assert third.decision.reason == "the recovery budget of the run is used up"

    def test_time_that_passes_outside_of_recoveries_costs_nothing(self) -> None:
        shop = Workshop(settings=Settings(budget=5.0))
        shop.clock.sleep(3_600)
        assert shop.fail().decision.retry

    def test_a_recovery_that_fails_costs_as_much_as_one_that_helps(self) -> None:
        shop = Workshop(settings=Settings(budget=5.0))
        shop.recover(shop.fail(), OSError("no"), seconds=5.0)
        assert not shop.fail(attempt=2).decision.retry

    def test_a_budget_of_nothing_allows_no_recovery_at_all(self) -> None:
        assert not Workshop(settings=Settings(budget=0.0)).fail().decision.retry

    def test_without_a_budget_recoveries_are_not_limited(self) -> None:
        shop = Workshop()
        shop.recover(shop.fail(), seconds=1e6)
        assert shop.fail(attempt=2).decision.retry

    @given(budget=st.integers(0, 20), costs=st.lists(st.integers(0, 10), min_size=1, max_size=10))
    def test_a_failure_is_retried_exactly_while_some_of_the_budget_is_left(
        self, budget: int, costs: list[int]
    ) -> None:
        shop = Workshop(settings=Settings(budget=float(budget)))
        spent = 0
        for seconds in costs:
            incident = shop.fail()
            assert incident.decision.retry is (spent < budget)
            shop.recover(incident, seconds=float(seconds))
            spent += seconds if incident.decision.retry else 0


class TestSettle:
    """A recovery is worth what the attempt after it shows."""

    @pytest.mark.parametrize("claimed", [True, False], ids=["claimed", "denied"])
    @pytest.mark.parametrize("survived", [True, False], ids=["survived", "failed-again"])
    def test_its_success_is_what_the_next_attempt_did_and_not_what_it_claimed(
        self, survived: bool, claimed: bool
    ) -> None:
        shop = Workshop()
        incident = shop.fail()
        shop.recover(incident, claimed)
        shop.engine.settle(shop.history, survived=survived)
        (recovery,) = shop.recoveries
        assert recovery["success"] is survived
        assert (recovery["affected_tasks"], recovery["recovered_tasks"]) == (1, int(survived))
        assert recovery["context"]["error_id"] == incident.report.error_id

    def test_the_event_is_the_whole_record_and_json_plain(self) -> None:
        shop = Workshop()
        incident = shop.fail()
        shop.recover(incident)
        record = incident.record
        shop.engine.settle(shop.history, survived=True)
        (recovery,) = shop.recoveries
        assert RecoveryPerformanceRecord.from_dict(json.loads(json.dumps(recovery))) == record

    def test_each_recovery_is_recorded_exactly_once_however_often_it_is_settled(self) -> None:
        shop = Workshop()
        shop.recover(shop.fail(attempt=1))
        shop.engine.settle(shop.history, survived=False)
        shop.recover(shop.fail(attempt=2))
        shop.engine.settle(shop.history, survived=True)
        shop.engine.settle(shop.history, survived=False)
        assert [(r["strategy_id"], r["success"]) for r in shop.recoveries] == [
            ("browser_restart", False),
            ("driver_restart", True),
        ]

    def test_a_strategy_that_was_chosen_but_never_ran_is_not_recorded(self) -> None:
        shop = Workshop()
        shop.fail()
        shop.engine.settle(shop.history, survived=True)
        assert shop.recoveries == []

    def test_an_item_without_failures_has_nothing_to_settle(self) -> None:
        shop = Workshop()
        shop.engine.settle(ItemHistory(), survived=True)
        assert shop.sink.events == []

    @given(outcomes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6))
    def test_events_and_recoveries_match_one_to_one_in_every_story(
        self, outcomes: list[tuple[bool, bool]]
    ) -> None:
        """Each story is a list of failures: was it recovered, and what came of it."""
        shop = Workshop(settings=Settings(max_attempts=100))
        expected = []
        for number, (ran, survived) in enumerate(outcomes, start=1):
            incident = shop.fail("BrowserGone", number)
            if ran:
                shop.recover(incident)
                expected.append((incident.report.error_id, survived))
            shop.engine.settle(shop.history, survived=survived)
        assert [(r["context"]["error_id"], r["success"]) for r in shop.recoveries] == expected
        diagnosed = [error for error in shop.errors if error["retry_successful"] is None]
        completed = [
            (error["error_id"], error["retry_successful"], error["resolution_status"])
            for error in shop.errors
            if error["retry_successful"] is not None
        ]
        assert len(diagnosed) == len(outcomes)
        words = {True: "resolved", False: "failed"}
        assert completed == [(name, ok, words[ok]) for name, ok in expected]
