"""Intervals and comparisons: right where the answer is known, silent where there is none."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.store import inference
from pytest_resilience.store.inference import Cluster, compare, effective, fisher, judged, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Values of Newcombe's paper of 1998, table I, for this interval.
        pytest.param(81, 263, 0.2553, 0.3662, id="81-of-263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15-of-148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none-of-20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1-of-29"),
        pytest.param(0, 0, 0.0, 1.0, id="nothing"),
    ],
)
def test_the_interval_is_wilsons(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 400), st.integers(1, 400))
def test_an_interval_holds_its_rate_and_stays_within_0_and_1(successes: int, n: int) -> None:
    low, high = wilson(min(successes, n), n)
    assert 0 <= low <= min(successes, n) / n + 1e-12
    assert min(successes, n) / n - 1e-12 <= high <= 1


def exact(k: int, n: int, baseline_k: int, baseline_n: int) -> float:
    """Return the same p by counting all tables with the same margins."""
    total, marked = n + baseline_n, k + baseline_k
    ways = {
        x: math.comb(marked, x) * math.comb(total - marked, n - x)
        for x in range(max(0, marked - baseline_n), min(n, marked) + 1)
    }
    falling = k * baseline_n < baseline_k * n
    chosen = sum(w for x, w in ways.items() if (x <= k if falling else x >= k))
    return float(Fraction(chosen, math.comb(total, n)))


def test_p_is_that_of_all_tables_with_the_same_margins() -> None:
    for n, baseline_n in itertools.product((1, 3, 8), (1, 4, 9)):
        for k, baseline_k in itertools.product(range(n + 1), range(baseline_n + 1)):
            equal = k * baseline_n == baseline_k * n
            expected = 1.0 if equal else exact(k, n, baseline_k, baseline_n)
            assert fisher(k, n, baseline_k, baseline_n) == pytest.approx(expected, rel=1e-9)


def test_large_counts_are_compared_without_overflow() -> None:
    assert fisher(100_000, 200_000, 110_000, 200_000) < 1e-200
    assert fisher(0, 0, 5, 9) == fisher(5, 9, 0, 0) == 1.0


def test_sessions_that_agree_count_almost_in_full() -> None:
    alike = [(8, 10)] * 40
    successes, n = effective(alike)
    assert 300 < n <= 400
    assert successes / n == pytest.approx(0.8, abs=0.01)


def test_sessions_that_stick_together_count_as_little_more_than_sessions() -> None:
    """All of a session succeeds or none does: forty such sessions are some forty votes."""
    _, n = effective([(10, 10), (0, 10)] * 20)
    assert 40 <= n < 60


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_counts_never_grow(clusters: list[Cluster]) -> None:
    clusters = [(min(pair), max(pair)) for pair in clusters]
    successes, n = effective(clusters)
    assert 0 <= successes <= n <= sum(size for _, size in clusters)


BASELINE = [(9, 10), (8, 10)] * 10


@pytest.mark.parametrize(
    ("recent", "baseline", "state"),
    [
        pytest.param([(2, 10)] * 5, BASELINE, "regression", id="much-worse"),
        pytest.param([(10, 10)] * 20, [(5, 10)] * 20, "improvement", id="much-better"),
        pytest.param([(8, 10)] * 5, BASELINE, "stable", id="as-before"),
        pytest.param([(2, 10)] * 2, BASELINE, "insufficient data", id="two-sessions-of-late"),
        pytest.param([(0, 6)] * 3, BASELINE, "insufficient data", id="18-recoveries-of-late"),
        pytest.param([(2, 10)] * 5, BASELINE[:9], "insufficient data", id="nine-before"),
        pytest.param([], [], "insufficient data", id="nothing"),
        pytest.param([(96, 100)] * 9, [(99, 100)] * 90, "stable", id="under-five-points"),
    ],
)
def test_a_change_needs_enough_to_go_by(
    recent: list[Cluster], baseline: list[Cluster], state: str
) -> None:
    assert judged([compare(recent, baseline)]) == [state]


def test_what_would_be_a_change_alone_is_none_among_many() -> None:
    """Among a hundred comparisons one in a hundred looks like a change by chance."""
    doubtful = compare([(12, 20)] * 3, [(17, 20)] * 12)
    assert doubtful.p is not None
    assert 0.001 < doubtful.p < 0.01
    same = compare([(17, 20)] * 3, [(17, 20)] * 12)
    assert judged([doubtful]) == ["regression"]
    assert set(judged([doubtful, *[same] * 99])) == {"stable"}


def test_false_alarms_are_rare_and_real_drops_are_found() -> None:
    """Sessions differ among themselves; a drop from 80 to 40 % is seen in most histories."""
    rng = random.Random(1)

    def sessions(count: int, rate: float) -> list[Cluster]:
        rates = [rng.betavariate(rate * 11.5, (1 - rate) * 11.5) for _ in range(count)]
        return [(sum(rng.random() < p for _ in range(10)), 10) for p in rates]

    def alarms(rate: float) -> int:
        trials = [compare(sessions(5, rate), sessions(20, 0.8)) for _ in range(300)]
        return sum(judged([change]) == [inference.REGRESSION] for change in trials)

    assert alarms(0.8) <= 0.05 * 300
    assert alarms(0.4) >= 0.8 * 300
