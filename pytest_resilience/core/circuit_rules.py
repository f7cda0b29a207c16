"""How a circuit changes: one pure function for each thing that can happen to it.

Each takes the record as it is, the parameters and the moment, and returns the record as it is
then, an answer, and the transitions between the two. Time alone changes a circuit too (an open
one half-opens, a trial is overdue), and each function begins with that.

Invariant: a closed circuit grants everything, an open or isolated one nothing, a half-open one
as many trials at once as it is allowed; what was permitted in another generation changes
nothing; and no circuit stays open or half-open for ever, unless it was isolated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import (
    CircuitRecord,
    CircuitState,
    Lease,
    Outcome,
    Transition,
    clipped,
)
from pytest_resilience.core.circuit_window import added, current, is_worsening, slot_of, tally
from pytest_resilience.core.ports import RandomSource

__all__ = [
    "CircuitConfig",
    "CircuitRecord",
    "CircuitState",
    "Outcome",
    "Transition",
    "acquire",
    "is_due",
    "isolate",
    "probed",
    "report",
    "reset",
    "settle",
    "trip",
]

Answer = TypeVar("Answer")
Moves = tuple[Transition, ...]
Step = tuple[CircuitRecord, Answer, Moves]
Rule = Callable[[CircuitRecord, CircuitConfig, float, RandomSource], Step[Answer]]

#: How much longer than it must be, at most, chance makes the time before a health probe counts:
#: what broke at the same moment is not asked at the same moment.
JITTER = 0.1
#: More reopenings are not counted, be they needed to reach the longest interval or not.
MOST_REOPENINGS = 30

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED


# What can happen


def settle(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource
) -> tuple[CircuitRecord, Moves]:
    """Return the record as the mere passing of time has left it, and the transitions."""
    moves: Moves = ()
    if now < record.changed_at:
        record = record.shifted(now - record.changed_at)
    granted_at = overdue_since(record, config, now)
    if granted_at is not None:
        record = record._replace(failures=record.failures + 1)
        reason = f"a trial had no result after {config.lease_s:g} s"
        # While it hung nothing else was asked for, so the interval began when it was granted.
        record, moves = _opened(record, config, now, chance, reason, since=granted_at)
    if record.state is OPEN and now >= record.open_until:
        reason = f"{config.recovery_timeout:g} s have passed"
        record, more = _moved(record, config, HALF_OPEN, now, reason)
        moves += more
    return record, moves


def acquire(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource
) -> Step[int | None]:
    """Ask for a permit; the answer is its number, 0 from a closed circuit, None if refused."""
    record, moves = settle(record, config, now, chance)
    if record.state is CLOSED:
        return record, 0, moves
    if not may_try(record, config):
        return record._replace(refused=record.refused + 1, changed_at=now), None, moves
    number = record.last_permit + 1
    leases = (*record.leases, Lease(number, now))
    return record._replace(leases=leases, last_permit=number, changed_at=now), number, moves


def report(
    record: CircuitRecord,
    config: CircuitConfig,
    now: float,
    chance: RandomSource,
    *,
    outcome: Outcome,
    reason: str = "",
    seconds: float | None = None,
    generation: int | None = None,
    number: int = 0,
) -> Step[bool]:
    """Take in the outcome of a call; the answer is whether it counts.

    Args:
        reason: What went wrong, for people.
        seconds: How long the call took, if known.
        generation: Of its permit; None for a call without one, which is taken for one of now.
        number: Of its permit.
    """
    record, moves = settle(record, config, now, chance)
    if not is_current(record, generation, number):
        return record._replace(stale=record.stale + 1, changed_at=now), False, moves
    record = released(record, number)
    if outcome is Outcome.IGNORED:
        return record._replace(ignored=record.ignored + 1, changed_at=now), True, moves
    record = counted(record, config, now, outcome, reason, seconds)
    record, more = judged(record, config, now, chance, outcome)
    return record, True, moves + more


def trip(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource, *, reason: str
) -> Step[bool]:
    """Open at once; the answer is whether it was closed or half-open."""
    record, moves = settle(record, config, now, chance)
    if record.state not in (CLOSED, HALF_OPEN):
        return record, False, moves
    record, more = _opened(record, config, now, chance, reason or "told to open")
    return record, True, moves + more


def probed(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource, *, ok: bool
) -> Step[bool]:
    """Take in the result of a cheap health probe; the answer is whether it half-opened.

    One that failed changes nothing, and neither does one before `CircuitRecord.probe_after`.
    """
    record, moves = settle(record, config, now, chance)
    if not ok or record.state is not OPEN or now < record.probe_after:
        return record, False, moves
    record, more = _moved(record, config, HALF_OPEN, now, "a health probe succeeded")
    return record, True, moves + more


def isolate(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource, *, reason: str
) -> Step[bool]:
    """Open until it is reset; the answer is whether it was not isolated before."""
    record, moves = settle(record, config, now, chance)
    if record.state is ISOLATED:
        return record, False, moves
    record, more = _moved(record, config, ISOLATED, now, reason or "isolated by hand")
    return record, True, moves + more


def reset(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: RandomSource, *, reason: str
) -> Step[bool]:
    """Close, and forget how often it opened; the answer is whether it was not closed before."""
    record, moves = settle(record, config, now, chance)
    was_closed = record.state is CLOSED
    if not was_closed:
        record, more = _moved(record, config, CLOSED, now, reason or "reset by hand")
        moves += more
    fresh = record._replace(
        reopenings=0, closed_at=None, window=(),
        consecutive_failures=0, consecutive_successes=0, last_reason="", changed_at=now,
    )  # fmt: skip
    return fresh, not was_closed, moves


def is_due(record: CircuitRecord, config: CircuitConfig, now: float) -> bool:
    """Return whether `settle` would change the record."""
    return (
        (record.state is OPEN and now >= record.open_until)
        or now < record.changed_at
        or overdue_since(record, config, now) is not None
    )


# The decisions


def may_try(record: CircuitRecord, config: CircuitConfig) -> bool:
    """Return whether a circuit that is not closed has a trial to give away."""
    return record.state is HALF_OPEN and len(record.leases) < config.probes


def is_current(record: CircuitRecord, generation: int | None, number: int) -> bool:
    """Return whether a report is about a call that the circuit still waits for."""
    if generation is None:
        return record.state in (CLOSED, HALF_OPEN)
    if generation != record.generation:
        return False
    return record.state is CLOSED or any(lease.number == number for lease in record.leases)


def overdue_since(record: CircuitRecord, config: CircuitConfig, now: float) -> float | None:
    """Return when the first trial was granted whose lease has run out, None if none has."""
    if not record.leases:
        return None
    first = min(lease.granted_at for lease in record.leases)
    return first if now >= first + config.lease_s else None


def released(record: CircuitRecord, number: int) -> CircuitRecord:
    """Return the record without the trial of that number."""
    if not record.leases:
        return record
    leases = tuple(lease for lease in record.leases if lease.number != number)
    return record._replace(leases=leases)


def counted(
    record: CircuitRecord,
    config: CircuitConfig,
    now: float,
    outcome: Outcome,
    reason: str,
    seconds: float | None,
) -> CircuitRecord:
    """Return the record with one more failure or success."""
    failed = outcome is Outcome.FAILURE
    slot = slot_of(now, config.window_s)
    window = added(record.window, slot, failed=failed, seconds=seconds)
    if failed:
        return record._replace(
            window=window, failures=record.failures + 1, last_reason=clipped(reason),
            consecutive_failures=record.consecutive_failures + 1, consecutive_successes=0,
            changed_at=now,
        )  # fmt: skip
    return record._replace(
        window=window, successes=record.successes + 1, consecutive_failures=0,
        consecutive_successes=record.consecutive_successes + 1, changed_at=now,
    )  # fmt: skip


def judged(
    record: CircuitRecord,
    config: CircuitConfig,
    now: float,
    chance: RandomSource,
    outcome: Outcome,
) -> tuple[CircuitRecord, Moves]:
    """Return the record after what the call just counted brings about."""
    if outcome is Outcome.FAILURE:
        why = "a trial failed" if record.state is HALF_OPEN else why_open(record, config, now)
        if not why:
            return record, ()
        told = f"{why}: {record.last_reason}" if record.last_reason else why
        return _opened(record, config, now, chance, told)
    if record.state is HALF_OPEN and is_proven(record, config):
        number = config.success_threshold
        told = f"{number} trials in a row succeeded" if number > 1 else "a trial succeeded"
        return _moved(record, config, CLOSED, now, told, closed_at=now)
    return record, ()


def why_open(record: CircuitRecord, config: CircuitConfig, now: float) -> str:
    """Return why a closed circuit opens after a failure, "" if it does not."""
    if record.consecutive_failures >= config.failure_threshold:
        number = record.consecutive_failures
        return f"{number} failures in a row" if number > 1 else "a failure"
    calls = tally(record.window)
    if calls.calls >= config.minimum_calls and calls.rate >= config.failure_rate:
        return f"{calls.failures} of {calls.calls} calls failed within {config.window_s:g} s"
    slot = slot_of(now, config.window_s)
    if config.predictive and is_worsening(record.window, slot, config.failure_rate):
        return f"latency and failures are rising within {config.window_s:g} s"
    return ""


def is_proven(record: CircuitRecord, config: CircuitConfig) -> bool:
    """Return whether a half-open circuit may close."""
    return record.consecutive_successes >= config.success_threshold


def open_interval(config: CircuitConfig, reopenings: int, chance: RandomSource) -> float:
    """Return for how many seconds no health probe half-opens the circuit."""
    grown = config.half_open_after * config.growth**reopenings
    return min(config.recovery_timeout, grown * (1 + JITTER * chance.random()))


def next_reopenings(record: CircuitRecord, config: CircuitConfig, now: float) -> int:
    """Return the number of reopenings when the circuit opens now.

    One more each time it opens again, one less for each `recovery_timeout` for which it was
    closed: a circuit that closes only to open again does not begin anew.
    """
    healthy = 0
    if record.state is CLOSED:
        if record.closed_at is None:
            return 0
        healthy = int((now - record.closed_at) // config.recovery_timeout)
    return max(0, min(record.reopenings + 1, most_reopenings(config)) - healthy)


def most_reopenings(config: CircuitConfig) -> int:
    """Return the number of reopenings after which the interval does not grow any more."""
    interval, most = config.half_open_after, 0
    while interval < config.recovery_timeout and most < MOST_REOPENINGS:
        interval, most = interval * config.growth, most + 1
    return most


# The transitions


def _opened(
    record: CircuitRecord,
    config: CircuitConfig,
    now: float,
    chance: RandomSource,
    reason: str,
    since: float | None = None,
) -> tuple[CircuitRecord, Moves]:
    since = now if since is None else since
    reopenings = next_reopenings(record, config, now)
    return _moved(
        record, config, OPEN, now, reason, reopenings=reopenings, opened_at=since,
        probe_after=since + open_interval(config, reopenings, chance),
        open_until=since + config.recovery_timeout,
        # For people to see what opened it; it counts for nothing.
        consecutive_failures=record.consecutive_failures,
    )  # fmt: skip


def _moved(
    record: CircuitRecord,
    config: CircuitConfig,
    to_state: CircuitState,
    now: float,
    reason: str,
    **changes: Any,
) -> tuple[CircuitRecord, Moves]:
    """Return the record in another state, with nothing left of the generation before."""
    fresh: dict[str, Any] = {
        "leases": (), "window": (), "consecutive_failures": 0, "consecutive_successes": 0,
    }  # fmt: skip
    if to_state in (OPEN, ISOLATED):
        fresh["last_reason"] = clipped(reason)
    after = record._replace(
        state=to_state, generation=record.generation + 1, changed_at=now,
        **{**fresh, **changes},
    )  # fmt: skip
    calls = tally(current(record.window, slot_of(now, config.window_s)))
    move = Transition(
        "", "", after.generation, record.state, to_state, reason, now,
        consecutive_failures=record.consecutive_failures, failures=calls.failures,
        calls=calls.calls, rate=calls.rate, reopenings=after.reopenings,
    )  # fmt: skip
    return after, (move,)
