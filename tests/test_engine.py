"""`engine`: a failure in, a decision out, and every recovery measured once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.aggregation import fingerprint
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import Rule
from pytest_resilience.core.events import RecoveryPerformanceRecord
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, ExceptionFact, Failure
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import Incident, ItemHistory, RecoveryEngine
from tests.doubles import FakeClock, FakeEnvironment, ListSink

#: A diagnosis for every exception name these tests use; all else is unknown.
RULES = (
    Rule(
        "browser-gone",
        ErrorType.BROWSER,
        confidence=0.9,
        severity=ErrorSeverity.HIGH,
        types=("BrowserGone",),
    ),
    Rule("wire-cut", ErrorType.CONNECTION, types=("WireCut",)),
    Rule("shop-broken", ErrorType.PRODUCT, types=("ShopBroken",)),
    Rule("no-browser", ErrorType.SYSTEM, types=("NoBrowser",), recovery="escalate"),
    Rule("circuit-open", ErrorType.CIRCUIT_OPEN, types=("CircuitOpen",)),
)
#: One recovery of its kind each, so that a choice is easy to foresee.
_THREE = tuple(
    strategy
    for strategy in builtin_strategies()
    if strategy.name in ("immediate_retry", "browser_restart", "driver_restart")
)
PROBED = Evidence([ProbeResult("session", "dead", "no such session", 0.01)])


class Workshop:
    """An engine among doubles, and one item that fails in it."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        rules: Iterable[Rule] = RULES,
        strategies: Iterable[RecoveryStrategy] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = FakeClock()
        self.sink = ListSink()
        self.history = ItemHistory()
        self.passed = 0
        numbers = itertools.count(1)
        self.engine = RecoveryEngine(
            self.settings,
            clock=self.clock,
            sink=self.sink,
            new_id=lambda: f"id-{next(numbers)}",
            rules=tuple(rules),
            strategies=_THREE if strategies is None else strategies,
            passed=lambda: self.passed,
        )

    def fail(
        self,
        exception: str = "BrowserGone",
        attempt: int = 1,
        *,
        policy: ItemPolicy | None = None,
        hopeless: str = "",
        **where: Any,
    ) -> Incident:
        fact = ExceptionFact((f"app.{exception}", "builtins.Exception"), f"{exception} happened")
        failure = Failure("test_shop.py::test_buy", "call", (fact,), attempt, **where)
        return self.engine.diagnose(
            failure,
            PROBED,
            policy or ItemPolicy.of(self.settings),
            self.history,
            hopeless=hopeless,
        )

    def recover(
        self, incident: Incident, answer: bool | BaseException = True, seconds: float = 2.0
    ) -> FakeEnvironment:
        environment = FakeEnvironment(answer, clock=self.clock, seconds=seconds)
        self.engine.recover(incident, environment)
        return environment

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.sink.of(events.ERROR)

    @property
    def recoveries(self) -> list[dict[str, Any]]:
        return self.sink.of(events.RECOVERY)


class TestDiagnose:
    """A failure becomes one incident and one event."""

    def test_a_failure_becomes_an_incident_with_its_diagnosis_and_its_place(self) -> None:
        incident = Workshop().fail(
            fixture="page",
            command="get",
            browser="chrome",
            endpoint="http://127.0.0.1:9515",
            worker="gw1",
            injected="kill_browser",
        )
        report = incident.report
        assert (report.error_id, report.error_type) == ("id-1", ErrorType.BROWSER)
        assert (report.error_severity, report.confidence) == (ErrorSeverity.HIGH, 0.9)
        assert (report.rule, report.exception) == ("browser-gone", "BrowserGone")
        assert report.message == "BrowserGone happened"
        assert report.evidence == PROBED.to_dicts()
        assert report.injected == "kill_browser"
        assert (report.context.fixture, report.context.worker) == ("page", "gw1")
        assert incident.record is None

    def test_it_emits_exactly_one_error_event_that_says_all_the_report_says(self) -> None:
        shop = Workshop()
        incident = shop.fail(
            attempt=2,
            fixture="page",
            command="get",
            browser="chrome",
            endpoint="http://127.0.0.1:9515",
            worker="gw1",
            injected="kill_browser",
        )
        report_message = incident.report.message
        assert [kind for kind, _ in shop.sink.events] == [events.ERROR]
        assert shop.errors == [
            {
                "error_id": "id-1",
                "root_error_id": "id-1",
                "incident_id": "id-1",
                "fingerprint": fingerprint(ErrorType.BROWSER, "BrowserGone", report_message),
                "error_type": "browser",
                "layer": "browser",
                "infrastructure": True,
                "severity": "high",
                "message": "BrowserGone happened",
                "exception": "BrowserGone",
                "rule": "browser-gone",
                "confidence": 0.9,
                "evidence": list(PROBED.to_dicts()),
                "nodeid": "test_shop.py::test_buy",
                "phase": "call",
                "attempt": 2,
                "fixture": "page",
                "command": "get",
                "browser": "chrome",
                "endpoint": "http://127.0.0.1:9515",
                "worker": "gw1",
                "retry_count": 1,
                "retry_successful": None,
                "resolution_status": "retrying",
                "decision": incident.decision.reason,
                "injected": "kill_browser",
            }
        ]
        assert json.loads(json.dumps(shop.errors)) == shop.errors

    def test_every_incident_has_an_id_of_its_own_and_is_kept_in_order(self) -> None:
        shop = Workshop()
        incidents = [shop.fail("BrowserGone", 1), shop.fail("WireCut", 2)]
        assert shop.history.incidents == incidents
        assert [error["error_id"] for error in shop.errors] == ["id-1", "id-2"]

    def test_a_rule_that_raises_costs_the_diagnosis_and_not_the_failure(self) -> None:
        class BrokenRule(Rule):
            __slots__ = ()

            def matches(self, case: Any) -> bool:
                raise RuntimeError("a rule of others")

        shop = Workshop(rules=[BrokenRule("broken", ErrorType.BROWSER)])
        incident = shop.fail()
        assert incident.report.error_type is ErrorType.UNKNOWN
        assert not incident.decision.retry
        assert incident.report.rule
        assert len(shop.errors) == 1


class TestDecision:
    """Whether the item is run again, after what, and why."""

    def test_an_infrastructure_failure_is_retried_after_a_fitting_recovery(self) -> None:
        incident = Workshop().fail("BrowserGone")
        assert incident.decision.retry
        assert incident.decision.reason == "browser failures are retried"
        assert incident.strategy is not None
        assert incident.strategy.name == "browser_restart"
        assert incident.report.resolution_status == "retrying"

    @pytest.mark.parametrize(
        ("exception", "attempt", "policy", "reason"),
        [
            pytest.param(
                "ShopBroken", 1, ItemPolicy("infrastructure", 4, 5), "product failures are final",
                id="product",
            ),
            pytest.param(
                "NobodyKnows", 1, ItemPolicy("infrastructure", 4, 5), "unknown failures are final",
                id="unknown",
            ),
            pytest.param(
                "BrowserGone", 4, ItemPolicy("infrastructure", 4, 5), "all 4 attempts are used up",
                id="attempts",
            ),
            pytest.param(
                "BrowserGone", 1, ItemPolicy("never", 4, 5), "the test is marked no_resilience",
                id="marker",
            ),
            pytest.param(
                "BrowserGone", 1, ItemPolicy("infrastructure", 4, 2),
                "no recovery up to level 2 can help",
                id="level",
            ),
            pytest.param(
                "CircuitOpen", 1, ItemPolicy("all", 4, 5, ("fresh_window",)),
                "no recovery up to level 5 of those the test allows (fresh_window) can help",
                id="nothing-fits",
            ),
            pytest.param(
                "NoBrowser", 1, ItemPolicy("all", 4, 5),
                "no retry can cure this; the set-up must be changed",
                id="escalate",
            ),
        ],
    )  # fmt: skip
    def test_a_final_failure_has_no_strategy_and_says_why(
        self, exception: str, attempt: int, policy: ItemPolicy, reason: str
    ) -> None:
        shop = Workshop()
        incident = shop.fail(exception, attempt, policy=policy)
        assert (incident.decision.retry, incident.strategy) == (False, None)
        assert incident.decision.reason == reason
        assert shop.errors[0]["decision"] == reason
        assert shop.errors[0]["resolution_status"] == "failed"

    @pytest.mark.parametrize(
        ("exception", "retry"),
        [("NobodyKnows", "ambiguous"), ("NobodyKnows", "all"), ("ShopBroken", "all")],
    )
    def test_who_insists_gets_a_plain_retry_of_what_is_not_infrastructure(
        self, exception: str, retry: str
    ) -> None:
        incident = Workshop().fail(exception, policy=ItemPolicy(retry, 4, 5))
        assert incident.strategy is not None
        assert incident.strategy.name == "immediate_retry"

    def test_a_hopeless_failure_is_final_for_the_reason_given(self) -> None:
        incident = Workshop().fail(hopeless="fixture 'page' failed 5 times in a row")
        assert (incident.decision.retry, incident.strategy) == (False, None)
        assert incident.decision.reason == "fixture 'page' failed 5 times in a row"

    @pytest.mark.parametrize(
        ("exception", "reason"),
        [("ShopBroken", "product failures are final"), ("NoBrowser", "no retry can cure this")],
    )
    def test_what_is_wrong_with_the_failure_itself_is_named_before_hopelessness(
        self, exception: str, reason: str
    ) -> None:
        incident = Workshop().fail(exception, hopeless="the fixture is given up")
        assert incident.decision.reason.startswith(reason)

    def test_the_policy_of_the_item_and_not_the_settings_decides(self) -> None:
        shop = Workshop(settings=Settings(retry="all", max_attempts=9))
        assert not shop.fail("ShopBroken", policy=ItemPolicy("infrastructure", 9, 5)).decision.retry
        assert not shop.fail("BrowserGone", 2, policy=ItemPolicy("all", 2, 5)).decision.retry


class TestEscalation:
    """What did not help is not the first thing tried again."""

    def test_a_second_failure_gets_another_strategy(self) -> None:
        shop = Workshop()
        names = [shop.fail("WireCut", attempt).strategy for attempt in (1, 2, 3)]
        assert [strategy and strategy.name for strategy in names] == [
            "immediate_retry",
            "browser_restart",
            "driver_restart",
        ]

    def test_what_was_tried_for_one_type_counts_for_another_type_of_the_same_item(self) -> None:
        shop = Workshop()
        shop.fail("BrowserGone", 1)
        second = shop.fail("BrowserGone", 2).strategy
        third = shop.fail("WireCut", 3).strategy
        assert second is not None
        assert third is not None
        assert (second.name, third.name) == ("driver_restart", "immediate_retry")

    def test_another_item_starts_from_the_beginning(self) -> None:
        shop = Workshop()
        shop.fail("WireCut", 1)
        shop.history = ItemHistory()
        strategy = shop.fail("WireCut", 1).strategy
        assert strategy is not None
        assert strategy.name == "immediate_retry"

    def test_the_history_of_an_item_knows_what_was_tried_and_ignores_final_failures(self) -> None:
        shop = Workshop()
        assert shop.history.tried == ()
        shop.fail("WireCut", 1)
        shop.fail("WireCut", 2)
        shop.fail("ShopBroken", 3)
        assert shop.history.tried == ("immediate_retry", "browser_restart")

    def test_strategies_of_the_user_take_the_place_of_the_built_in_ones(self) -> None:
        ours = RecoveryStrategy("ours", ProgressiveRecoveryLevel.SYSTEM, [ErrorType.BROWSER])
        shop = Workshop(strategies=iter([ours]))
        assert shop.fail("BrowserGone", 1).strategy is ours
        assert shop.fail("BrowserGone", 2).strategy is ours
        assert shop.fail("WireCut", 3).strategy is None


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
