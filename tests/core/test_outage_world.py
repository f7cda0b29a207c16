"""An outage of the grid in simulated time: a circuit that holds tests loses none of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.outage_world import (
    Holding,
    Plan,
    Simulation,
    Told,
    failing_fast,
    played,
    without_circuit,
)
from pytest_resilience.core.circuit import CircuitConfig

CONFIG = CircuitConfig(failure_threshold=5, half_open_after=2.0, recovery_timeout=30.0)
PLAN = Plan(tests=60, workers=4, dead_from_s=20.0, dead_s=60.0)
HOLD = Holding(600.0)


def told(one_test: object, **changes: object) -> Told:
    """Return what becomes of the small plan with `changes`."""
    return played(replace(PLAN, **changes), one_test, CONFIG)  # type: ignore[arg-type]


@pytest.mark.parametrize("one_test", [without_circuit, failing_fast, HOLD, Holding(10.0)])
@pytest.mark.parametrize("seed", range(5))
def test_every_test_is_run_by_one_worker_and_has_one_verdict(one_test: object, seed: int) -> None:
    found = told(one_test, seed=seed)
    assert found.executions == [1] * PLAN.tests
    assert found.passed + found.lost == PLAN.tests


@pytest.mark.parametrize("status_tells", [True, False], ids=["status-tells", "status-lies"])
@pytest.mark.parametrize("dead_s", [5.0, 20.0, 60.0, 300.0])
def test_holding_loses_nothing_and_asks_seldom(dead_s: float, status_tells: bool) -> None:
    for seed in range(5):
        found = told(HOLD, dead_s=dead_s, status_tells=status_tells, seed=seed)
        assert found.lost == 0
        # Every worker may be asking when it happens, and four of them once more.
        assert found.dead_requests <= PLAN.workers + 4 + 11
        assert found.dead_requests <= told(without_circuit, dead_s=dead_s, seed=seed).dead_requests


def test_failing_fast_drains_the_suite() -> None:
    assert told(failing_fast).lost > PLAN.tests / 2


def test_a_long_outage_is_not_waited_for_without_end() -> None:
    found = told(Holding(30.0), dead_s=300.0)
    assert found.lost > PLAN.tests / 2
    assert found.seconds < PLAN.dead_from_s + 300.0


def test_without_an_outage_no_design_makes_a_difference() -> None:
    designs = (without_circuit, failing_fast, HOLD)
    calm = [told(design, dead_s=0.0) for design in designs]
    assert calm[0] == calm[1] == calm[2]
    assert (calm[0].lost, calm[0].dead_requests, calm[0].wasted_s) == (0, 0, 0)


def test_the_same_seed_gives_the_same_run() -> None:
    assert told(HOLD, seed=3) == told(HOLD, seed=3)
    assert told(HOLD, seed=3) != told(HOLD, seed=4)


def test_workers_take_turns_in_the_order_of_time() -> None:
    simulation = Simulation()
    seen: list[tuple[float, str]] = []

    def worker(name: str, pause_s: float) -> object:
        for _ in range(3):
            seen.append((simulation.now, name))
            yield pause_s

    for name, pause_s in (("slow", 3.0), ("fast", 2.0)):
        simulation.add(worker(name, pause_s))  # type: ignore[arg-type]
    simulation.run()
    assert seen == [(0, "slow"), (0, "fast"), (2, "fast"), (3, "slow"), (4, "fast"), (6, "slow")]
    assert simulation.now == 9.0
