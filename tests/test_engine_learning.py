"""`engine`: what it learns from recoveries, and how that changes what it does next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.adaptive import QuantileTimeout
from pytest_resilience.core.chooser import LEVEL_LIMITS, Memory
from pytest_resilience.core.classifier import Rule
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.experience import Cell, Key
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure
from pytest_resilience.core.levels import ProgressiveRecoveryLevel as Level
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import Incident, ItemHistory, RecoveryEngine
from tests.doubles import FakeClock, FakeEnvironment, ListSink

RULES = (
    Rule("wire-cut", ErrorType.CONNECTION, types=("WireCut",)),
    Rule("slow", ErrorType.CONNECTION, types=("SlowCut",), recovery="slow"),
    Rule("vanished", ErrorType.PAGE, types=("Vanished",), recovery="slow", transient=True),
    Rule("shop-broken", ErrorType.PRODUCT, types=("ShopBroken",)),
)
HERE = "chrome 150 linux local"


class Timed(RecoveryStrategy):
    """Takes `seconds` of the clock."""

    def __init__(
        self, name: str, level: Level, clock: FakeClock, seconds: float, **more: Any
    ) -> None:
        super().__init__(name, level, [ErrorType.CONNECTION, ErrorType.PAGE], **more)
        self._clock, self._seconds = clock, seconds

    def _execute_impl(self, error_info: Mapping[str, Any]) -> bool:
        self._clock.sleep(self._seconds)
        return True


class Site:
    """An engine with a quick strategy, a slow one and a costly one."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        cells: Iterable[Cell] = (),
        meter: Any = None,
        more: Iterable[RecoveryStrategy] = (),
    ) -> None:
        self.clock, self.sink, self.history = FakeClock(), ListSink(), ItemHistory()
        self.settings = settings or Settings()
        self.loads = self.passed = 0
        self._cells = cells
        numbers = itertools.count(1)
        self.engine = RecoveryEngine(
            self.settings,
            clock=self.clock,
            sink=self.sink,
            new_id=lambda: f"id-{next(numbers)}",
            rules=RULES,
            strategies=[
                Timed("quick", Level.BASIC, self.clock, 0.5, nominal_s=1.0),
                Timed("slow", Level.ENHANCED, self.clock, 4.0, nominal_s=4.0),
                Timed("costly", Level.CRITICAL, self.clock, 30.0, nominal_s=30.0),
                *more,
            ],
            meter=meter,
            memory=self._memory,
            passed=lambda: self.passed,
        )

    def _memory(self) -> Memory:
        self.loads += 1
        return Memory(QuantileTimeout, cells=self._cells)

    def fail(
        self,
        exception: str = "WireCut",
        attempt: int = 1,
        policy: ItemPolicy | None = None,
        start_level: int = 1,
    ) -> Incident:
        fact = ExceptionFact((f"app.{exception}", "builtins.Exception"), f"{exception} happened")
        failure = Failure("test_it.py::test_it", "call", (fact,), attempt, environment=HERE)
        return self.engine.diagnose(
            failure,
            Evidence(),
            policy or ItemPolicy.of(self.settings),
            self.history,
            start_level=start_level,
        )

    def recover(self, incident: Incident) -> None:
        self.engine.recover(incident, FakeEnvironment())

    def settle(self, *, survived: bool) -> dict[str, Any]:
        self.engine.settle(self.history, survived=survived)
        return self.sink.of(events.RECOVERY)[-1]


def lesson(strategy: str, recent: str, tried: str = "", cost_s: float = 1.0) -> Cell:
    return Cell(Key(HERE, "connection", tried, strategy), recent, cost_s, len(recent))


def name_of(incident: Incident) -> str:
    return incident.strategy.name if incident.strategy is not None else ""


def test_knowing_nothing_it_takes_the_cheapest_first() -> None:
    assert name_of(Site().fail()) == "quick"


def test_what_never_cured_before_is_not_the_first_choice_any_more() -> None:
    site = Site(cells=[lesson("quick", "0" * 20), lesson("slow", "1" * 20, cost_s=4.0)])
    incident = site.fail()
    assert name_of(incident) == "slow"
    assert incident.choice is not None
    assert "s per cure" in incident.choice.reason


def test_the_memory_is_loaded_once_and_not_before_something_is_to_be_recovered() -> None:
    site = Site()
    site.fail("ShopBroken")
    assert site.loads == 0
    site.fail()
    site.fail(attempt=2)
    assert site.loads == 1


def test_it_learns_within_the_run_from_what_does_not_cure() -> None:
    site = Site()
    for _ in range(30):
        site.history = ItemHistory()
        first = site.fail()
        if name_of(first) == "slow":
            break
        site.recover(first)
        second = site.fail(attempt=2)
        site.recover(second)
        site.passed += 100
        site.settle(survived=True)
    assert name_of(first) == "slow"


def test_the_outcome_costs_its_execution_and_what_had_to_be_set_up_again() -> None:
    site = Site()
    site.recover(site.fail())
    site.clock.sleep(2.0)
    site.engine.underway(site.history)
    site.clock.sleep(60.0)
    record = site.settle(survived=True)
    assert (record["execution_time"], record["cost_s"]) == (0.5, 2.5)
    assert (record["environment"], record["tried"], record["success"]) == (HERE, "", True)


def test_an_attempt_that_failed_again_is_part_of_the_price() -> None:
    site = Site()
    site.recover(site.fail())
    site.clock.sleep(7.0)
    site.fail(attempt=2)
    record = site.sink.of(events.RECOVERY)[-1]
    assert (record["success"], record["cost_s"]) == (False, 7.5)


def test_a_surcharge_is_added_to_what_it_took() -> None:
    class Dear(Timed):
        surcharge_s = 20.0

    site = Site()
    dear = Dear("dear", Level.BASIC, site.clock, 1.0, nominal_s=0.1)
    site.engine.chooser._strategies["dear"] = dear
    site.recover(site.fail())
    assert site.settle(survived=True)["cost_s"] == 21.0


def test_what_failed_for_an_item_is_told_with_the_next_record() -> None:
    site = Site()
    site.recover(site.fail())
    site.recover(site.fail(attempt=2))
    assert site.settle(survived=True)["tried"] == "quick"


def test_after_a_cure_an_item_begins_anew() -> None:
    site = Site()
    site.recover(site.fail())
    site.settle(survived=True)
    assert name_of(site.fail(attempt=2)) == "quick"


def test_the_recommended_one_is_preferred_where_all_else_is_equal() -> None:
    site = Site()
    for name in ("slow", "quick"):
        site.engine.chooser._strategies[name].nominal_s = 2.0
    for name in ("slow", "quick"):
        site.engine.chooser._strategies[name].level = Level.BASIC
    assert name_of(site.fail("SlowCut")) == "slow"


def test_where_nothing_is_broken_only_the_recommended_one_is_repeated() -> None:
    site = Site()
    names = []
    for attempt in (1, 2, 3):
        incident = site.fail("Vanished", attempt)
        names.append(name_of(incident))
        site.recover(incident)
    assert names == ["slow", "slow", "slow"]


def test_a_test_may_allow_few_recoveries_only() -> None:
    policy = ItemPolicy("infrastructure", 4, 5, strategies=("costly",))
    assert name_of(Site().fail(policy=policy)) == "costly"


@pytest.mark.parametrize(
    ("start_level", "chosen"), [(1, "quick"), (2, "slow"), (3, "costly"), (4, "costly")]
)
def test_the_circuits_may_say_at_which_level_to_start(start_level: int, chosen: str) -> None:
    assert name_of(Site().fail(start_level=start_level)) == chosen


def test_where_nothing_of_that_level_can_help_the_lower_ones_are_tried() -> None:
    policy = ItemPolicy("infrastructure", 4, 5, strategies=("quick", "slow"))
    assert name_of(Site().fail(policy=policy, start_level=4)) == "quick"


def test_a_high_level_is_gone_through_a_limited_number_of_times() -> None:
    policy = ItemPolicy("infrastructure", 99, 5, strategies=("costly",))
    site = Site()
    chosen = 0
    for attempt in range(1, 9):
        incident = site.fail(attempt=attempt, policy=policy)
        if incident.strategy is None:
            break
        chosen += 1
        site.recover(incident)
        site.passed += 100
    assert chosen == LEVEL_LIMITS[5]


def test_it_stops_where_nothing_can_be_worth_its_price() -> None:
    cells = [
        lesson(name, "0" * 20, cost_s=cost_s)
        for name, cost_s in (("quick", 60.0), ("slow", 60.0), ("costly", 60.0))
    ]
    incident = Site(cells=cells).fail()
    assert not incident.decision.retry
    assert "nothing left is worth it" in incident.decision.reason


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [("expected-cost", "slow"), ("ladder", "quick")],
)
def test_the_policy_of_the_settings_chooses(policy: str, chosen: str) -> None:
    cells = [lesson("quick", "0" * 20), lesson("slow", "1" * 20, cost_s=4.0)]
    assert name_of(Site(settings=Settings(policy=policy), cells=cells).fail()) == chosen


def test_a_strategy_that_is_not_possible_here_is_not_weighed() -> None:
    class Nowhere(Timed):
        def possible(self, error_info: Mapping[str, Any]) -> bool:
            return False

    site = Site()
    site.engine.chooser._strategies["nowhere"] = Nowhere(
        "nowhere", Level.BASIC, site.clock, 0.0, nominal_s=0.01
    )
    incident = site.fail()
    assert incident.choice is not None
    assert "nowhere" not in [c.strategy for c in incident.choice.candidates]


def test_in_a_storm_failures_become_final_until_tests_pass_again() -> None:
    site = Site()
    reasons = []
    for _ in range(12):
        site.history = ItemHistory()
        incident = site.fail()
        reasons.append(incident.decision.reason)
        site.recover(incident)
        site.engine.settle(site.history, survived=False)
    assert "which looks like an outage" in reasons[-1]
    site.passed = 50
    site.history = ItemHistory()
    assert site.fail().decision.retry


def test_the_machine_is_measured_around_a_recovery() -> None:
    class Meter:
        readings = iter([{"cpu_percent": 10.0, "cpu_s": 5.0}, {"cpu_percent": 30.0, "cpu_s": 6.5}])

        def sample(self) -> Mapping[str, float]:
            return next(self.readings)

    site = Site(meter=Meter())
    site.recover(site.fail())
    record = site.settle(survived=True)
    assert record["resource_usage"] == {"cpu_percent": 20.0, "cpu_s": 1.5}
    assert 0.2 < record["impact_score"] < 0.3
    assert record["stability_score"] == 1.0


def test_a_meter_that_fails_costs_the_measurement_alone() -> None:
    class Broken:
        def sample(self) -> Mapping[str, float]:
            raise OSError("no /proc")

    site = Site(meter=Broken())
    site.recover(site.fail())
    assert site.settle(survived=True)["resource_usage"] == {}


def test_choices_are_compared_with_the_best_in_hindsight() -> None:
    site = Site(cells=[lesson("quick", "1" * 20, cost_s=0.5)])
    site.recover(site.fail())
    site.settle(survived=True)
    assert site.engine.chooser.agreement() == (1, 1)


def test_what_is_left_to_a_person_says_what_was_tried_and_what_it_cost() -> None:
    site = Site()
    policy = ItemPolicy("infrastructure", 3, 5)
    for attempt in (1, 2):
        site.recover(site.fail(attempt=attempt, policy=policy))
        site.clock.sleep(3.0)
    last = site.fail(attempt=3, policy=policy)
    (escalated,) = site.sink.of("escalation")
    assert escalated["error_id"] == last.report.error_id
    assert escalated["reason"] == "all 3 attempts are used up"
    assert [(step["strategy"], step["cost_s"]) for step in escalated["tried"]] == [
        ("quick", 3.5),
        ("slow", 7.0),
    ]
    assert escalated["cost_s"] == 10.5


def test_a_failure_of_the_product_is_not_escalated() -> None:
    site = Site()
    site.fail("ShopBroken")
    assert site.sink.of("escalation") == []


def climb(site: Site, *survived: bool) -> list[Incident]:
    """Fail, recover and tell whether that has cured, once for each of `survived`."""
    found = []
    for attempt, cured in enumerate(survived, 1):
        incident = site.fail(attempt=attempt)
        site.recover(incident)
        site.passed += 100
        if cured:
            site.settle(survived=True)
        found.append(incident)
    return found


def test_failures_until_a_cure_are_one_incident_named_after_the_first() -> None:
    site = Site(settings=Settings(max_attempts=6))
    first, second, third, fourth = climb(site, False, True, False, True)
    assert first.incident_id == second.incident_id == first.report.error_id
    assert third.incident_id == fourth.incident_id == third.report.error_id
    told = [record["context"]["incident_id"] for record in site.sink.of(events.RECOVERY)]
    assert told == [i.incident_id for i in (first, second, third, fourth)]
    errors = {error["error_id"]: error["incident_id"] for error in site.sink.of(events.ERROR)}
    assert errors[second.report.error_id] == first.report.error_id


def test_items_have_incidents_of_their_own() -> None:
    site = Site()
    [one] = climb(site, False)
    site.history = ItemHistory()
    [other] = climb(site, False)
    assert one.incident_id != other.incident_id


def test_what_is_left_to_a_person_tells_the_incident_too() -> None:
    site = Site(settings=Settings(max_attempts=2))
    first, last = climb(site, False, False)
    assert not last.decision.retry
    [told] = site.sink.of(events.ESCALATION)
    assert told["incident_id"] == first.report.error_id == last.incident_id
