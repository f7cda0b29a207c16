"""What is told of a circuit to those who wait for it, or look at it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from pytest_resilience.core import circuit_figures as figures
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import Bucket, CircuitRecord, CircuitState, Lease

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED

CONFIG = CircuitConfig(failure_threshold=4, recovery_timeout=60, half_open_after=8, lease_s=20)
NOW = 1000.0
OPENED = CircuitRecord(state=OPEN, probe_after=1008.0, open_until=1060.0)
TRYING = CircuitRecord(state=HALF_OPEN, leases=(Lease(2, 995.0), Lease(1, 990.0)))


class TestRetryAfter:
    """When a permit may be had."""

    @pytest.mark.parametrize(
        ("record", "now", "seconds"),
        [
            pytest.param(CircuitRecord(open_until=2000.0), NOW, 0.0, id="closed"),
            pytest.param(OPENED, NOW, 60.0, id="open"),
            pytest.param(OPENED, 1061.0, 0.0, id="open-for-too-long"),
            pytest.param(TRYING, NOW, 10.0, id="until-the-first-lease-ends"),
            pytest.param(TRYING, 1011.0, 0.0, id="a-lease-has-ended"),
            pytest.param(TRYING._replace(leases=()), NOW, 0.0, id="a-trial-is-free"),
            pytest.param(CircuitRecord(state=ISOLATED), NOW, math.inf, id="isolated"),
        ],
    )
    def test_it_is_in_so_many_seconds(
        self, record: CircuitRecord, now: float, seconds: float
    ) -> None:
        assert figures.retry_after(record, CONFIG, now) == seconds

    def test_it_is_now_while_another_trial_is_free(self) -> None:
        assert figures.retry_after(TRYING, replace(CONFIG, probes=3), NOW) == 0.0


@pytest.mark.parametrize(
    ("record", "now", "seconds"),
    [
        pytest.param(OPENED, NOW, 8.0, id="open"),
        pytest.param(OPENED, 1009.0, 0.0, id="due"),
        pytest.param(CircuitRecord(), NOW, math.inf, id="closed"),
        pytest.param(TRYING, NOW, math.inf, id="half-open"),
    ],
)
def test_a_health_probe_counts_in_so_many_seconds(
    record: CircuitRecord, now: float, seconds: float
) -> None:
    assert figures.next_probe(record, now) == seconds


class TestHealth:
    """How far it is from opening, or from closing."""

    @pytest.mark.parametrize(
        ("record", "health"),
        [
            pytest.param(CircuitRecord(), 100.0, id="new"),
            pytest.param(CircuitRecord(consecutive_failures=1), 87.5, id="one-of-four"),
            pytest.param(CircuitRecord(consecutive_failures=8), 50.0, id="never-below-fifty"),
            pytest.param(
                CircuitRecord(window=(Bucket(166, 8, 2),)), 80.0, id="two-fifths-of-the-share"
            ),
            pytest.param(CircuitRecord(window=(Bucket(166, 0, 1),)), 80.0, id="too-few-calls"),
            pytest.param(CircuitRecord(window=(Bucket(156, 0, 9),)), 100.0, id="aged-out"),
            pytest.param(
                CircuitRecord(window=(Bucket(166, 9, 1),), consecutive_failures=2),
                75.0,
                id="the-nearer-of-both",
            ),
            pytest.param(OPENED, 0.0, id="open"),
            pytest.param(CircuitRecord(state=ISOLATED), 0.0, id="isolated"),
            pytest.param(TRYING, 0.0, id="half-open"),
            pytest.param(TRYING._replace(consecutive_successes=1), 25.0, id="half-way"),
            pytest.param(TRYING._replace(consecutive_successes=3), 50.0, id="more-than-enough"),
        ],
    )
    def test_it_is_from_0_to_100(self, record: CircuitRecord, health: float) -> None:
        assert figures.health(record, CONFIG, NOW) == pytest.approx(health)


class TestMetrics:
    """All figures at once."""

    RECORD = CircuitRecord(
        state=HALF_OPEN,
        generation=2,
        reopenings=1,
        leases=(Lease(1, 990.25),),
        window=(Bucket(156, 9, 9), Bucket(166, 1, 2, 3, 1000)),
        consecutive_failures=3,
        consecutive_successes=1,
        successes=6,
        failures=7,
        ignored=8,
        refused=9,
        stale=10,
        last_reason="refused",
    )

    def test_they_are_those_of_the_record(self) -> None:
        shown = figures.metrics(self.RECORD, CONFIG, NOW)
        assert shown == {
            "state": "half-open",
            "generation": 2,
            "health_percentage": 25.0,
            "total_successes": 6,
            "total_failures": 7,
            "total_ignored": 8,
            "total_refused": 9,
            "total_stale": 10,
            "failure_count": 3,
            "threshold": 4,
            "threshold_percent": 75.0,
            "window_calls": 3,
            "window_failures": 2,
            "window_failure_rate": 0.667,
            "window_mean_ms": 333.3,
            "trials_in_flight": 1,
            "reopenings": 1,
            "retry_after_s": 10.25,
            "last_reason": "refused",
        }
        assert type(shown["state"]) is str

    def test_the_way_to_the_threshold_is_never_more_than_all_of_it(self) -> None:
        config = replace(CONFIG, failure_threshold=3, minimum_calls=5, success_threshold=3)
        shown = figures.metrics(self.RECORD._replace(consecutive_failures=1), config, NOW)
        assert (shown["threshold_percent"], shown["health_percentage"]) == (33.3, 16.7)
        shown = figures.metrics(self.RECORD._replace(consecutive_failures=5), config, NOW)
        assert shown["threshold_percent"] == 100.0

    def test_fractions_of_a_millisecond_are_not_told(self) -> None:
        record = OPENED._replace(open_until=NOW + 1.23456)
        assert figures.metrics(record, CONFIG, NOW)["retry_after_s"] == 1.235

    def test_for_ever_is_none_so_that_it_is_json(self) -> None:
        shown = figures.metrics(CircuitRecord(state=ISOLATED), CONFIG, NOW)
        assert shown["retry_after_s"] is None
        assert json.loads(json.dumps(shown, allow_nan=False)) == shown
