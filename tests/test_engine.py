"""`engine`: a failure in, a decision out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.aggregation import fingerprint
from pytest_resilience.core.classifier import Rule
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import ItemHistory
from tests.workshop import PROBED, Workshop


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
