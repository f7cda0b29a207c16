"""Calls are counted for the length of the window, and a rising trend is told from a calm one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit_record import Bucket
from pytest_resilience.core.circuit_window import (
    BUCKETS,
    Tally,
    added,
    current,
    is_worsening,
    slot_of,
    tally,
)

WINDOW_S = 20.0
moments = st.lists(st.integers(0, 200).map(lambda n: n / 4), max_size=40).map(sorted)


class TestCounting:
    """Each call once, for as long as it counts."""

    @pytest.mark.parametrize(
        ("now", "slot"), [(0.0, 0), (1.9, 0), (2.0, 1), (19.9, 9), (20.0, 10), (1000.0, 500)]
    )
    def test_a_slot_is_a_tenth_of_the_window(self, now: float, slot: int) -> None:
        assert slot_of(now, WINDOW_S) == slot

    def test_calls_of_a_slot_share_a_bucket(self) -> None:
        window = added((), 7, failed=True, seconds=0.25)
        window = added(window, 7, failed=False, seconds=None)
        window = added(window, 7, failed=False, seconds=1.0004)
        assert window == (Bucket(7, 2, 1, 2, 1250),)
        window = added(window, 8, failed=True, seconds=0.0)
        assert window == (Bucket(7, 2, 1, 2, 1250), Bucket(8, 0, 1, 1, 0))

    def test_what_has_aged_out_goes_with_the_next_call(self) -> None:
        window = (Bucket(1, 5), Bucket(2, 6), Bucket(11, 7))
        assert added(window, 12, failed=False, seconds=None) == (Bucket(11, 7), Bucket(12, 1))
        assert current(window, 11) == window[1:]
        assert current(window, 10) is window
        assert current((), 10) == ()

    def test_sums_are_over_all_buckets(self) -> None:
        window = (Bucket(1, 1, 2, 3, 600), Bucket(2, 3, 4, 1, 200))
        assert tally(window) == Tally(10, 6, 200.0)
        assert tally(window).rate == 0.6

    def test_of_no_calls_nothing_failed(self) -> None:
        assert tally(()) == Tally(0, 0, 0.0)
        assert tally(()).rate == 0.0


def trend(
    older: tuple[int, int, int], newer: tuple[int, int, int], *, middle: int = 5
) -> tuple[Bucket, ...]:
    """Return a window of two buckets of (successes, failures, mean milliseconds)."""
    (s, f, ms), (s2, f2, ms2) = older, newer
    return (
        Bucket(10 - middle, s, f, s + f, (s + f) * ms),
        Bucket(10, s2, f2, s2 + f2, (s2 + f2) * ms2),
    )


class TestTrend:
    """Predictive opening: latency *and* failures have to rise."""

    @pytest.mark.parametrize(
        ("older", "newer", "worse"),
        [
            pytest.param((5, 0, 100), (3, 2, 150), True, id="both-rise"),
            pytest.param((5, 0, 100), (3, 2, 149), False, id="latency-rises-too-little"),
            pytest.param((5, 0, 100), (4, 1, 300), False, id="too-few-failures"),
            pytest.param((8, 2, 100), (3, 2, 300), True, id="twice-the-failures"),
            pytest.param((7, 3, 100), (3, 2, 300), False, id="less-than-twice-the-failures"),
            pytest.param((4, 0, 100), (3, 2, 300), False, id="too-few-older-calls"),
            pytest.param((5, 0, 100), (2, 2, 300), False, id="too-few-newer-calls"),
            pytest.param((5, 0, 0), (3, 2, 300), False, id="no-time-before"),
            pytest.param((5, 0, 300), (3, 2, 100), False, id="faster"),
        ],
    )
    def test_it_is_worsening_if_both_rise(
        self, older: tuple[int, int, int], newer: tuple[int, int, int], worse: bool
    ) -> None:
        assert is_worsening(trend(older, newer), 10, 0.8) is worse

    def test_a_quarter_of_failures_is_enough_where_a_half_opens(self) -> None:
        window = trend((5, 0, 100), (6, 2, 300))
        assert is_worsening(window, 10, 0.5)
        assert not is_worsening(window, 10, 0.52)

    def test_less_than_a_millisecond_is_a_time_too(self) -> None:
        window = (Bucket(5, 5, 0, 5, 2), Bucket(10, 3, 2, 5, 1500))
        assert is_worsening(window, 10, 0.5)

    def test_the_halves_meet_in_the_middle(self) -> None:
        window = trend((5, 0, 100), (3, 2, 300), middle=4)
        assert not is_worsening(window, 10, 0.5)
        assert is_worsening(window, 11, 0.5)


@given(moments=moments, later=st.integers(0, 120).map(lambda n: n / 4))
def test_a_call_counts_for_nine_tenths_of_the_window_at_least_and_never_for_longer(
    moments: list[float], later: float
) -> None:
    window: tuple[Bucket, ...] = ()
    for moment in moments:
        window = added(window, slot_of(moment, WINDOW_S), failed=False, seconds=None)
    now = (moments[-1] if moments else 0.0) + later
    calls = tally(current(window, slot_of(now, WINDOW_S))).calls
    assert len([m for m in moments if now - m < 0.9 * WINDOW_S]) <= calls
    assert calls <= len([m for m in moments if now - m < WINDOW_S])
    assert len(window) <= BUCKETS
    assert [bucket.slot for bucket in window] == sorted({bucket.slot for bucket in window})
