"""The circuits of a run together: how well they are, and who hears of them."""

from __future__ import annotations

import json
from typing import Any

from pytest_resilience.core.circuit import CircuitState, Transition
from pytest_resilience.core.registry import CRITICAL_HEALTH, GROUPS, KINDS, CircuitRegistry
from tests.doubles import FakeClock


class TestHealth:
    """How well all are together."""

    def test_without_circuits_all_is_well(self, registry: CircuitRegistry) -> None:
        assert registry.health() == 100.0
        metrics = registry.get_health_metrics()
        assert metrics["aggregate"] == {
            "total_circuits": 0,
            "open_circuits": 0,
            "isolated_circuits": 0,
            "half_open_circuits": 0,
            "closed_circuits": 0,
            "average_health": 100.0,
            "overall_health": 100.0,
        }
        assert {name: group for name, group in metrics.items() if name != "aggregate"} == {
            "workers": {},
            "hardware_classes": {},
            "browsers": {},
            "endpoints": {},
            "test_types": {},
        }

    def test_each_kind_has_its_group(self, registry: CircuitRegistry) -> None:
        for kind in KINDS:
            registry.get(kind, f"my {kind}")
        metrics = registry.get_health_metrics()
        assert {kind: list(metrics[GROUPS[kind]]) for kind in KINDS} == {
            kind: [f"my {kind}"] for kind in KINDS
        }

    def test_a_circuit_is_told_with_state_health_and_totals(
        self, registry: CircuitRegistry
    ) -> None:
        worker = registry.get("worker", "worker1")
        for _ in range(3):
            worker.record_success()
        worker.record_failure("slow")
        assert registry.get_health_metrics()["workers"]["worker1"] == {
            "state": "CLOSED",
            "health_percentage": 80.0,
            "total_successes": 3,
            "total_failures": 1,
            "failure_count": 1,
            "threshold": 5,
            "retry_after_s": 0.0,
            "last_reason": "slow",
        }

    def test_states_are_counted_and_told_in_capitals(
        self, registry: CircuitRegistry, clock: FakeClock
    ) -> None:
        names = ["closed", "half-open", "isolated", "open"]
        circuits = [registry.get("worker", name) for name in names]
        circuits[1].trip("x")
        clock.sleep(30)
        circuits[1].probed(True)
        circuits[2].isolate()
        circuits[3].trip("x")
        metrics = registry.get_health_metrics()
        states = [metrics["workers"][name]["state"] for name in names]
        assert states == ["CLOSED", "HALF_OPEN", "ISOLATED", "OPEN"]
        assert metrics["aggregate"] == {
            "total_circuits": 4,
            "open_circuits": 2,
            "isolated_circuits": 1,
            "half_open_circuits": 1,
            "closed_circuits": 1,
            "average_health": 25.0,
            "overall_health": 25.0,
        }
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics

    def test_together_they_are_as_well_as_the_kind_that_is_worst_off(
        self, registry: CircuitRegistry
    ) -> None:
        for name in ("gw0", "gw1", "gw2"):
            registry.get("worker", name)
        registry.get("browser", "chrome")
        registry.get("worker", "gw1").trip("x")
        aggregate = registry.get_health_metrics()["aggregate"]
        assert (aggregate["average_health"], aggregate["overall_health"]) == (75.0, 66.7)
        assert registry.health() == 66.7
        registry.get("browser", "chrome").trip("x")
        assert registry.health() == 0.0


class TestListeners:
    """Who listens hears of all circuits."""

    def test_also_of_those_that_come_later(self, registry: CircuitRegistry) -> None:
        moves: list[Transition] = []
        early = registry.get("worker", "a")
        registry.add_listener(moves.append)
        early.trip("x")
        registry.get("browser", "b").isolate()
        assert [(move.kind, move.circuit) for move in moves] == [("worker", "a"), ("browser", "b")]
        registry.remove_listener(moves.append)
        registry.reset()
        assert len(moves) == 2

    def test_what_they_raise_is_told_and_changes_nothing(self, registry: CircuitRegistry) -> None:
        def angry(_news: object) -> None:
            raise RuntimeError("no")

        registry.add_listener(angry)
        registry.on_alert(angry)
        breaker = registry.get("worker", "a")
        breaker.add_listener(angry)
        assert breaker.trip("x")
        assert registry.troubles == (f"{angry.__qualname__}: RuntimeError: no",) * 3


class TestAlerts:
    """Once when it becomes critical, and again after it had recovered."""

    def test_they_come_once_with_the_metrics(self, registry: CircuitRegistry) -> None:
        alerts: list[dict[str, Any]] = []
        registry.on_alert(alerts.append)
        for name in "abc":
            registry.get("worker", name)
        registry.get("worker", "a").trip("x")
        assert alerts == []
        registry.get("worker", "b").trip("x")
        assert [alert["aggregate"]["overall_health"] for alert in alerts] == [33.3]
        assert alerts[0]["workers"]["b"]["state"] == "OPEN"
        registry.get("worker", "c").trip("x")
        assert len(alerts) == 1

    def test_half_of_all_is_not_critical(self, registry: CircuitRegistry) -> None:
        alerts: list[dict[str, Any]] = []
        registry.on_alert(alerts.append)
        registry.get("worker", "a")
        registry.get("worker", "b").trip("x")
        assert registry.health() == CRITICAL_HEALTH == 50.0
        assert alerts == []

    def test_they_come_again_after_a_recovery_and_not_for_a_trial_that_fails(
        self, registry: CircuitRegistry, clock: FakeClock
    ) -> None:
        alerts: list[dict[str, Any]] = []
        registry.on_alert(alerts.append)
        chrome = registry.get("browser", "chrome")
        chrome.trip("x")
        clock.sleep(60)
        chrome.record_failure()
        clock.sleep(60)
        chrome.record_success()
        assert len(alerts) == 1
        chrome.record_success()
        assert chrome.get_state() is CircuitState.CLOSED
        assert len(alerts) == 1
        chrome.trip("y")
        assert len(alerts) == 2
