"""When circuits should open and be tried again, reckoned from what happened in earlier runs.

Invariant: a setting is only changed where the history has enough to say, by no more than half
or double, within bounds, and if leaving out any one run would not turn the gain into a loss;
every answer, also the one to keep a setting, has a reason with the numbers it rests on.

The incidents of the history are played again with other settings. What each would have cost is
counted in seconds of workers: those spent on tests that failed before the circuit opened, those
in which all waited though all was well again, and those of tries that came too early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.incidents import (
    Incident,
    incidents_since,
    moments_back,
    workers_of_sessions,
)
from pytest_resilience.store.inference import INSUFFICIENT
from pytest_resilience.store.metrics import default_db, first_day_us
from pytest_resilience.store.outages import Outage, ends_of_sessions, outages, transitions

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
#: Factors of a time that is only roughly known. They cover a doubling, so that it makes no
#: difference how it happens to fall between tries whose pauses double.
_ROUGHLY = tuple(2 ** (step / 8 - 7 / 16) for step in range(8))

#: Runs into which failures were injected: how long what that opens stays open teaches nothing.
_BROKEN_ON_PURPOSE = (
    "SELECT DISTINCT sid FROM injections WHERE json_extract_string(data, '$.struck') = 'true'"
)

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
        broken = {sid for (sid,) in connection.execute(_BROKEN_ON_PURPOSE).fetchall()}
        workers = workers_of_sessions(connection, since_us)
        rows_of_failures = incidents_since(
            connection, since_us, found, workers, current.half_open_after
        )
    try_s = _try_s(found)
    real = [outage for outage in found if outage.sid not in broken]
    pause = propose_pause(real, workers, current, try_s)
    then = CircuitSettings(current.threshold, pause.proposed, current.recovery_timeout)
    return [propose_threshold(rows_of_failures, then, try_s), pause]


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

    longest_s = current.recovery_timeout
    choices = [p for p in PAUSES_S if p <= longest_s and _near(p, now)]
    moments = [moments_back(outage, now) for outage in ended]
    waits = {
        pause: [_mean(waited(at, pause, longest_s) for at in back) for back in moments]
        for pause in (now, *choices)
    }
    costs = {
        pause: _by_session(
            (outage.sid, wait.late_s * workers.get(outage.sid, 1) + wait.early * try_s)
            for outage, wait in zip(ended, each, strict=True)
        )
        for pause, each in waits.items()
    }
    best = _best(now, costs)
    typical = median(fmean(back) for back in moments)
    evidence = {
        "outages": len(ended),
        "sessions": len(sessions),
        "median_seconds": typical,
        "try_seconds": try_s,
        "worker_seconds": _sums(costs),
    }
    told = f"{len(ended)} outages in {len(sessions)} runs, half of them over within {typical:.1f} s"
    said = {
        pause: f"{wait.late_s:.1f} s too late and {wait.early:.1f} tries too early"
        for pause, wait in ((pause, _mean(waits[pause])) for pause in (now, best))
    }
    if best == now:
        reason = f"{told}; {now:g} s noticed it {said[now]}, and no other would do much better"
        return Proposal(name, now, now, KEEP, reason, evidence)
    reason = f"{told}; {best:g} s would have noticed it {said[best]}, {now:g} s {said[now]}"
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

    costs: dict[float, dict[str, float]] = {
        threshold: _by_session((i.sid, cost_of(i, threshold, current, try_s)) for i in incidents)
        for threshold in (now, *(t for t in THRESHOLDS if _near(t, now)))
    }
    best = int(_best(now, costs))
    sums = _sums(costs)
    evidence = {
        "rows": len(incidents),
        "sessions": len(sessions),
        "longest": max(len(incident.ends) for incident in incidents),
        "worker_seconds": sums,
    }
    few, many = sorted((best, now))
    longer = sum(len(incident.ends) >= many for incident in incidents)
    told = f"{len(incidents)} rows of failures in {len(sessions)} runs, {longer} of {many} or more"
    if best == now:
        reason = f"{told}; no other number would have cost much less"
        return Proposal(name, now, now, KEEP, reason, evidence)
    between = sum(few <= len(incident.ends) < many for incident in incidents)
    before = sums[f"{now:g}"]
    reason = (
        f"{told}, {between} of {few} to {many - 1}; opening after {best} would have cost"
        f" {before - sums[f'{best:g}']:.0f} s of {before:.0f} s of workers less"
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


def _try_s(found: Iterable[Outage]) -> float:
    failed = [trial.seconds for outage in found for trial in outage.trials if not trial.good]
    return max(_TRY_S, fmean(failed)) if failed else _TRY_S


def _near(value: float, now: float) -> bool:
    return now / LONGEST_STEP <= value <= now * LONGEST_STEP


def _best(now: float, costs: Mapping[float, Mapping[str, float]]) -> float:
    """Return the value with the least costs, given by run, if it is worth a change, else `now`."""
    before = costs[now]
    for value in sorted(costs, key=lambda value: (sum(costs[value].values()), abs(value - now))):
        gains = [before[sid] - cost for sid, cost in costs[value].items()]
        if value == now or sum(gains) < LEAST_GAIN * sum(before.values()):
            break
        if sum(gains) > max(gains):
            return value
    return now


def _sums(costs: Mapping[float, Mapping[str, float]]) -> dict[str, float]:
    return {f"{value:g}": sum(costs[value].values()) for value in sorted(costs)}


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
