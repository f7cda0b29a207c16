"""When circuits should open and be tried again, reckoned from what happened in earlier runs.

Invariant: a setting is only changed where the history has enough to say, by no more than half
or double, within bounds, and if leaving out any one run would not turn the gain into a loss;
every answer, also the one to keep a setting, has a reason with the numbers it rests on.

The incidents of the history are played again with other settings. What each would have cost is
counted in seconds of workers: those spent on tests that failed before the circuit opened, those
in which all waited though all was well again, and those of tries that came too early.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from pytest_resilience.store.history import History, as_dicts, clock_us
from pytest_resilience.store.inference import INSUFFICIENT
from pytest_resilience.store.metrics import default_db, first_day_us
from pytest_resilience.store.outages import Outage, ends_of_sessions, outages, transitions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: What may be proposed.
THRESHOLDS = tuple(range(2, 11))
PAUSES_S = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
#: How far from the present value, as a factor either way.
LONGEST_STEP = 2.0
#: What has to be known.
LEAST_INCIDENTS, LEAST_OUTAGES, LEAST_SESSIONS = 20, 8, 3
#: Share of the cost that a change has to save.
LEAST_GAIN = 0.10
#: Seconds of a worker that a try takes which comes too early, if none was measured.
_TRY_S = 1.0
#: Moments within the time in which a circuit's subject came back, taken as equally likely.
_MOMENTS = (0.125, 0.375, 0.625, 0.875)
#: Factors of a time that is only roughly known. They cover a doubling, so that it makes no
#: difference how it happens to fall between tries whose pauses double.
_ROUGHLY = tuple(2 ** (step / 8 - 7 / 16) for step in range(8))

CHANGE, KEEP = "change", "keep"


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """The settings in question.

    Attributes:
        threshold: Failures in a row after which a circuit opens.
        half_open_after: Seconds after which an open circuit is tried first.
        recovery_timeout: Longest pause between tries; not tuned.
    """

    threshold: int
    half_open_after: float
    recovery_timeout: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """What should become of one setting.

    Attributes:
        setting: Name of the option.
        proposed: The same as `current` unless `state` is ``change``.
        state: ``change``, ``keep`` or ``insufficient data``.
        reason: Why, for people.
        evidence: The numbers behind it.
    """

    setting: str
    current: float
    proposed: float
    state: str
    reason: str
    evidence: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as a JSON-plain dict."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Incident:
    """Failures of the infrastructure in a row, with no success in between.

    Attributes:
        ends: When each was noticed, in seconds since the first; also of those that there
            would have been, had no circuit kept tests from running.
        good_s: When the infrastructure answered again.
        cost_s: Seconds of a worker that one of them took.
        workers: How many there were in the run.
    """

    sid: str
    ends: tuple[float, ...]
    good_s: float
    cost_s: float
    workers: int


@dataclass(frozen=True, slots=True)
class Wait:
    """What waiting for something to come back would cost, on average.

    Attributes:
        late_s: Seconds from when it was back to when it was noticed.
        early: Tries that came too early.
    """

    late_s: float
    early: float


def tune(
    current: CircuitSettings,
    *,
    days: int = 90,
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> list[Proposal]:
    """Return what should become of the threshold and of the time before the first try.

    Args:
        current: What holds now.
        days: How far to look back, today included, UTC.
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: `days` is not at least 1.
    """
    since_us = first_day_us(days, now_us())
    path = Path(default_db() if db is None else db)
    with History(path, now_us=now_us).reading() as connection:
        rows = transitions(connection, since_us)
        found = outages(rows, ends_of_sessions(connection))
        workers = _workers(connection, since_us)
        streaks = _streaks(connection, since_us)
    try_s = _try_s(found)
    pause = propose_pause(found, workers, current, try_s)
    incidents = [_incident(streak, found, workers, current) for streak in streaks]
    then = CircuitSettings(current.threshold, pause.proposed, current.recovery_timeout)
    return [propose_threshold(incidents, then, try_s), pause]


# How the present settings, and others, would have done


def propose_pause(
    found: Iterable[Outage], workers: dict[str, int], current: CircuitSettings, try_s: float
) -> Proposal:
    """Return what should become of ``half_open_after``."""
    name, now = "circuit_half_open_after", current.half_open_after
    ended = [outage for outage in found if outage.closed and outage.trials]
    sessions = {outage.sid for outage in ended}
    if len(ended) < LEAST_OUTAGES or len(sessions) < LEAST_SESSIONS:
        return _unknown(name, now, "outages", len(ended), LEAST_OUTAGES, len(sessions))

    moments = [(outage, _back(outage, current)) for outage in ended]

    def waits(pause: float) -> list[Wait]:
        longest_s = current.recovery_timeout
        return [_mean(waited(at, pause, longest_s) for at in back) for _, back in moments]

    def costs(pause: float) -> dict[str, float]:
        return _by_session(
            (o.sid, w.late_s * workers.get(o.sid, 1) + w.early * try_s)
            for (o, _), w in zip(moments, waits(pause), strict=True)
        )

    choices = [p for p in PAUSES_S if p <= current.recovery_timeout and _near(p, now)]
    best = _best(now, choices, costs)
    typical = median(fmean(back) for _, back in moments)
    told = f"{len(ended)} outages in {len(sessions)} runs, half of them over within {typical:.1f} s"

    def said(pause: float) -> str:
        wait = _mean(waits(pause))
        return f"{wait.late_s:.1f} s too late and {wait.early:.1f} tries too early"

    evidence = {
        "outages": len(ended),
        "sessions": len(sessions),
        "median_seconds": typical,
        "try_seconds": try_s,
        "worker_seconds": {f"{p:g}": sum(costs(p).values()) for p in sorted({now, *choices})},
    }
    if best == now:
        reason = f"{told}; {now:g} s noticed it {said(now)}, and no other would do much better"
        return Proposal(name, now, now, KEEP, reason, evidence)
    reason = f"{told}; {best:g} s would have noticed it {said(best)}, {now:g} s {said(now)}"
    return Proposal(name, now, best, CHANGE, reason, evidence)


def propose_threshold(
    incidents: Sequence[Incident], current: CircuitSettings, try_s: float
) -> Proposal:
    """Return what should become of ``threshold``."""
    name, now = "circuit_threshold", current.threshold
    sessions = {incident.sid for incident in incidents}
    if len(incidents) < LEAST_INCIDENTS or len(sessions) < LEAST_SESSIONS:
        return _unknown(
            name, now, "rows of failures", len(incidents), LEAST_INCIDENTS, len(sessions)
        )

    def costs(threshold: float) -> dict[str, float]:
        return _by_session((i.sid, cost_of(i, int(threshold), current, try_s)) for i in incidents)

    choices = [threshold for threshold in THRESHOLDS if _near(threshold, now)]
    best = int(_best(now, choices, costs))
    few, many = sorted((best, now))
    between = sum(few <= len(incident.ends) < many for incident in incidents)
    longer = sum(len(incident.ends) >= many for incident in incidents)
    told = f"{len(incidents)} rows of failures in {len(sessions)} runs"
    evidence = {
        "rows": len(incidents),
        "sessions": len(sessions),
        "longest": max(len(incident.ends) for incident in incidents),
        "worker_seconds": {str(t): sum(costs(t).values()) for t in sorted({now, *choices})},
    }
    if best == now:
        reason = f"{told}, {longer} of {now} or more; no other number would have cost much less"
        return Proposal(name, now, now, KEEP, reason, evidence)
    saved, before = sum(costs(now).values()) - sum(costs(best).values()), sum(costs(now).values())
    reason = (
        f"{told}, {longer} of {many} or more, {between} of {few} to {many - 1}; opening after"
        f" {best} would have cost {saved:.0f} s of {before:.0f} s of workers less"
    )
    return Proposal(name, now, best, CHANGE, reason, evidence)


def cost_of(incident: Incident, threshold: int, settings: CircuitSettings, try_s: float) -> float:
    """Return what an incident costs, in seconds of workers, if circuits open at `threshold`."""
    if len(incident.ends) < threshold:
        return len(incident.ends) * incident.cost_s
    missing_s = max(0.0, incident.good_s - incident.ends[threshold - 1])
    first_s, longest_s = settings.half_open_after, settings.recovery_timeout
    wait = _mean(waited(missing_s * factor, first_s, longest_s) for factor in _ROUGHLY)
    waiting_s = wait.late_s * incident.workers + wait.early * try_s
    return threshold * incident.cost_s + waiting_s


def waited(missing_s: float, first_s: float, longest_s: float) -> Wait:
    """Return how late something is noticed that comes back after `missing_s`, and how many
    tries come too early, if the first is made after `first_s` and the pauses double."""
    at = pause = min(first_s, longest_s)
    early = 0
    while at < missing_s:
        early += 1
        pause = min(2 * pause, longest_s)
        at += pause
    return Wait(at - missing_s, early)


def _mean(waits: Iterable[Wait]) -> Wait:
    each = list(waits)
    return Wait(fmean(wait.late_s for wait in each), fmean(wait.early for wait in each))


def _back(outage: Outage, current: CircuitSettings) -> list[float]:
    """Return the moments at which the circuit's subject may have come back, in seconds.

    It was back when the last trial began, and not at the try before that.
    """
    latest = outage.trials[-1].begun_s
    failed = [trial.begun_s for trial in outage.trials if not trial.good]
    # Each pause is about as long as everything before it.
    earliest = max([*failed, (latest - current.half_open_after) / 2, 0.0])
    return [earliest + share * max(0.0, latest - earliest) for share in _MOMENTS]


def _try_s(found: Iterable[Outage]) -> float:
    failed = [trial.seconds for outage in found for trial in outage.trials if not trial.good]
    return max(_TRY_S, fmean(failed)) if failed else _TRY_S


def _near(value: float, now: float) -> bool:
    return now / LONGEST_STEP <= value <= now * LONGEST_STEP


def _best(
    now: float, choices: Iterable[float], costs: Callable[[float], dict[str, float]]
) -> float:
    """Return the cheapest of `choices` if it is worth a change, else `now`."""
    before = costs(now)
    total = sum(before.values())
    for value in sorted(choices, key=lambda value: (sum(costs(value).values()), abs(value - now))):
        after = costs(value)
        gains = [before[sid] - after[sid] for sid in before]
        if sum(gains) < LEAST_GAIN * total or value == now:
            break
        if sum(gains) - max(gains) > 0:
            return value
    return now


def _by_session(costs: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for sid, cost in costs:
        found[sid] = found.get(sid, 0.0) + cost
    return found


def _unknown(name: str, now: float, what: str, count: int, least: int, sessions: int) -> Proposal:
    reason = (
        f"it takes {least} {what} in {LEAST_SESSIONS} runs to tell; the history holds {count}"
        f" in {sessions}"
    )
    return Proposal(name, now, now, INSUFFICIENT, reason, {"found": count, "sessions": sessions})


# What the history holds

# Only what opens circuits: not what was injected, or is mild, or a circuit's own doing.
_FAILED = (
    "outcome IN ('failed', 'rerun') AND infrastructure"
    " AND coalesce(severity, '') NOT IN ('info', 'low') AND error_type <> 'circuit_open'"
)
# A product that failed was reached.
_ANSWERED = (
    "outcome = 'passed' OR (outcome IN ('failed', 'rerun') AND error_type IN ('product', 'page'))"
)
_STREAKS = f"""
    WITH told AS (
        SELECT sid, coalesce(browser, '') AS browser, started_us, seq,
               started_us + (coalesce(duration_s, 0) * 1e6)::BIGINT AS ended_us,
               coalesce(duration_s, 0) + coalesce(recovery_s, 0) AS cost_s,
               coalesce({_FAILED}, false) AS failed, coalesce({_ANSWERED}, false) AS answered
        FROM attempts WHERE started_us >= $since AND coalesce(injected, '') = ''
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE answered) OVER (
                   PARTITION BY sid ORDER BY ended_us, seq ROWS UNBOUNDED PRECEDING) AS number
        FROM told WHERE failed OR answered
    ), answers AS (
        SELECT sid, number, min(started_us) AS good_us FROM numbered WHERE answered
        GROUP BY sid, number
    )
    SELECT f.sid, list(f.ended_us ORDER BY f.ended_us) AS ends_us, avg(f.cost_s) AS cost_s,
           any_value(a.good_us) AS good_us
    FROM numbered f LEFT JOIN answers a ON a.sid = f.sid AND a.number = f.number + 1
    WHERE f.failed GROUP BY f.sid, f.browser, f.number ORDER BY min(f.ended_us), f.sid
"""


def _streaks(connection: DuckDBPyConnection, since_us: int) -> list[dict[str, Any]]:
    return as_dicts(connection.execute(_STREAKS, {"since": since_us}))


def _workers(connection: DuckDBPyConnection, since_us: int) -> dict[str, int]:
    rows = connection.execute(
        "SELECT sid, count(DISTINCT worker) FROM attempts WHERE started_us >= ? GROUP BY sid",
        [since_us],
    ).fetchall()
    return {sid: max(1, count) for sid, count in rows}


def _incident(
    streak: dict[str, Any],
    found: Sequence[Outage],
    workers: dict[str, int],
    current: CircuitSettings,
) -> Incident:
    ends_us: list[int] = streak["ends_us"]
    sid, first_us, cost_s = streak["sid"], ends_us[0], max(0.001, float(streak["cost_s"]))
    ends = [(end - first_us) / 1e6 for end in ends_us]
    good_s = max(ends[-1], ((streak["good_us"] or 0) - first_us) / 1e6)
    number = workers.get(sid, 1)
    # It opens with the failure that makes it open, or a moment later.
    opened = [
        o for o in found if o.sid == sid and ends_us[0] <= o.begun_us + 1e6 <= ends_us[-1] + 6e6
    ]
    if opened:
        longest = max(opened, key=lambda outage: outage.seconds)
        opened_s = max(0.0, (longest.begun_us - first_us) / 1e6)
        good_s = opened_s + (fmean(_back(longest, current)) if longest.trials else longest.seconds)
        del ends[max(1, bisect_right(ends, opened_s + 0.5)) :]
        # Without the circuit, the workers had gone on failing.
        more = math.floor((good_s - ends[-1]) * number / cost_s)
        ends += [ends[-1] + (n + 1) * cost_s / number for n in range(min(more, 10_000))]
    return Incident(sid, tuple(ends), max(good_s, ends[-1]), cost_s, number)
