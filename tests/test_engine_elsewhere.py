"""`engine`: what fails on one worker and works on another goes there."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.failures import ExceptionFact, Failure
from pytest_resilience.core.shared import Own
from pytest_resilience.core.throttle import Purse, Throttle
from pytest_resilience.engine import Incident
from tests.doubles import FakeEnvironment
from tests.test_engine import PROBED, Workshop

POLICY = ItemPolicy("infrastructure", 4, 5)


def fail(shop: Workshop, exception: str, *, others: bool = True, **keywords: Any) -> Incident:
    """Return the incident of a failure on a worker that has `others` beside it."""
    fact = ExceptionFact((f"app.{exception}", "builtins.Exception"), f"{exception} happened")
    return shop.engine.diagnose(
        Failure("test_shop.py::test_buy", "setup", (fact,), 1),
        PROBED,
        POLICY,
        shop.history,
        environment=FakeEnvironment(may_change_worker=others),
        **keywords,
    )


def named(incident: Incident) -> str:
    return incident.strategy.name if incident.strategy is not None else ""


@pytest.fixture
def shop() -> Workshop:
    return Workshop(strategies=builtin_strategies())


def test_it_leaves_whatever_else_would_be_cheaper(shop: Workshop) -> None:
    assert named(fail(shop, "BrowserGone")) not in ("worker_switch", "worker_restart")
    assert named(fail(shop, "BrowserGone", elsewhere=True, away=True)) == "worker_switch"


def test_where_it_may_not_leave_something_else_is_tried(shop: Workshop) -> None:
    incident = fail(shop, "BrowserGone", others=False, elsewhere=True, away=True)
    assert incident.strategy is not None
    assert incident.strategy.level >= 4


def test_what_nobody_can_mend_here_is_no_reason_to_give_up(shop: Workshop) -> None:
    assert not fail(shop, "NoBrowser").decision.retry
    incident = fail(shop, "NoBrowser", elsewhere=True)
    assert incident.decision.retry
    assert named(incident) == "worker_switch"


def test_a_product_failure_stays_one(shop: Workshop) -> None:
    assert not fail(shop, "ShopBroken", elsewhere=True, away=True).decision.retry


def test_what_was_chosen_is_chosen_anew_when_more_is_known(shop: Workshop) -> None:
    incident = fail(shop, "BrowserGone")
    shop.engine.reconsider(incident)
    assert named(incident) == "worker_switch"
    assert incident.choice is not None
    assert incident.choice.strategy == "worker_switch"


def test_what_was_chosen_stays_where_nothing_better_can_be_had(shop: Workshop) -> None:
    incident = fail(shop, "BrowserGone", others=False)
    chosen = incident.strategy
    shop.engine.reconsider(incident)
    assert incident.strategy is chosen
    final = fail(shop, "ShopBroken")
    shop.engine.reconsider(final)
    assert final.strategy is None


def test_engines_with_one_purse_stop_together() -> None:
    """What failed on one worker stops recoveries on the other, until tests pass somewhere."""
    purse = Own(Purse())
    one, other = Workshop(), Workshop()
    for shop in (one, other):
        shop.engine._throttle = Throttle(tokens=4, purse=purse)
    for _ in range(3):
        one.recover(one.fail())
        one.history.incidents[-1].recovered_at = one.clock.monotonic()
    assert not other.fail().decision.retry
    other.passed = 10
    other.engine.count_passed()
    assert one.fail().decision.retry
