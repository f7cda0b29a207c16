"""The calls of the last while, in ten buckets, and what they say.

Invariant: a call is counted for at least nine tenths of the window, never for longer than all
of it, and in one bucket only.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_resilience.core.circuit_record import Bucket

BUCKETS = 10
_HALF = BUCKETS // 2

#: What a rising trend is: so many calls in each half of the window, so many times the latency
#: of the older half, and so many times its share of failures.
TREND_CALLS, TREND_LATENCY, TREND_FAILURES = 5, 1.5, 2.0
#: Below this part of `CircuitConfig.failure_rate` the share of failures is not alarming.
TREND_PART = 0.5

Window = tuple[Bucket, ...]


class Tally(NamedTuple):
    """Calls, how many of them failed, and the mean duration of those that were timed."""

    calls: int
    failures: int
    mean_ms: float

    @property
    def rate(self) -> float:
        """Share of failures, 0 to 1; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0


def slot_of(now: float, window_s: float) -> int:
    """Return the number of the bucket for `now`."""
    return int(now * BUCKETS // window_s)


def current(window: Window, slot: int) -> Window:
    """Return the buckets that have not aged out when the newest one is `slot`."""
    if window and window[0].slot <= slot - BUCKETS:
        return tuple(bucket for bucket in window if bucket.slot > slot - BUCKETS)
    return window


def added(window: Window, slot: int, *, failed: bool, seconds: float | None) -> Window:
    """Return the window with another call; `seconds` is how long it took, if known."""
    window = current(window, slot)
    successes = failures = timed = milliseconds = 0
    if window and window[-1].slot == slot:
        _, successes, failures, timed, milliseconds = window[-1]
        window = window[:-1]
    if seconds is not None:
        timed, milliseconds = timed + 1, milliseconds + round(seconds * 1000)
    if failed:
        failures += 1
    else:
        successes += 1
    return (*window, Bucket(slot, successes, failures, timed, milliseconds))


def tally(window: Window) -> Tally:
    """Return the sums over a window."""
    failures = sum(bucket.failures for bucket in window)
    calls = failures + sum(bucket.successes for bucket in window)
    timed = sum(bucket.timed for bucket in window)
    milliseconds = sum(bucket.milliseconds for bucket in window)
    return Tally(calls, failures, milliseconds / timed if timed else 0.0)


def is_worsening(window: Window, slot: int, failure_rate: float) -> bool:
    """Return whether latency *and* failures are on the rise: the rule of predictive opening.

    The newer half of the window is compared with the older one. Each must hold five calls;
    those of the newer half must have taken 1.5 times as long on average, and failed at least
    twice as often, and at half of `failure_rate` or more.
    """
    middle = slot - _HALF
    older = tally(tuple(bucket for bucket in window if bucket.slot <= middle))
    newer = tally(tuple(bucket for bucket in window if bucket.slot > middle))
    return (
        min(older.calls, newer.calls) >= TREND_CALLS
        and 0 < older.mean_ms * TREND_LATENCY <= newer.mean_ms
        and newer.rate >= max(TREND_FAILURES * older.rate, TREND_PART * failure_rate)
    )
