"""Failures of the infrastructure in a row: what circuits are there to cut short.

Invariant: an incident ends with the first success after it; what was injected, what is mild and
what a circuit itself refused is no part of one. Where a circuit kept tests from running, the
failures are counted that there would have been.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pytest_resilience.store.history import as_dicts
from pytest_resilience.store.ingest import LAST_US
from pytest_resilience.store.outages import Outage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Moments within the time in which a circuit's subject came back, taken as equally likely.
_MOMENTS = (0.125, 0.375, 0.625, 0.875)
#: More failures than these that never were make no difference to anything.
_MOST_UNSEEN = 10_000

# Only what opens circuits: not what was injected, or is mild, or a circuit's own doing.
_FAILED = (
    "outcome IN ('failed', 'rerun') AND infrastructure"
    " AND coalesce(severity, '') NOT IN ('info', 'low') AND error_type <> 'circuit_open'"
)
# A product that failed was reached.
_ANSWERED = (
    "outcome = 'passed' OR (outcome IN ('failed', 'rerun') AND error_type IN ('product', 'page'))"
)


def _bounded(seconds: str) -> str:
    """Return SQL for seconds that any process may have written, at most a day of them."""
    return f"least(greatest(coalesce({seconds}, 0), 0), 86400)"


_STREAKS = f"""
    WITH told AS (
        SELECT sid, coalesce(browser, '') AS browser, started_us, seq,
               started_us + ({_bounded("duration_s")} * 1e6)::BIGINT AS ended_us,
               {_bounded("duration_s")} + {_bounded("recovery_s")} AS cost_s,
               coalesce({_FAILED}, false) AS failed, coalesce({_ANSWERED}, false) AS answered
        FROM attempts
        WHERE started_us BETWEEN $since AND {LAST_US} AND coalesce(injected, '') = ''
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


def incidents_since(
    connection: DuckDBPyConnection,
    since_us: int,
    found: Sequence[Outage],
    workers: dict[str, int],
    first_s: float,
) -> list[Incident]:
    """Return the incidents since then, in order of time.

    Args:
        found: The outages of these runs.
        workers: How many workers there were in each run.
        first_s: Seconds after which an open circuit is tried first.
    """
    streaks = as_dicts(connection.execute(_STREAKS, {"since": since_us}))
    return [_incident(streak, found, workers, first_s) for streak in streaks]


def workers_of_sessions(connection: DuckDBPyConnection, since_us: int) -> dict[str, int]:
    """Return how many workers there were in each run since then."""
    rows = connection.execute(
        "SELECT sid, count(DISTINCT worker) FROM attempts WHERE started_us >= ? GROUP BY sid",
        [since_us],
    ).fetchall()
    return {sid: max(1, count) for sid, count in rows}


def _incident(
    streak: dict[str, Any],
    found: Sequence[Outage],
    workers: dict[str, int],
    first_s: float,
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
        good_s = opened_s + (
            fmean(moments_back(longest, first_s)) if longest.trials else longest.seconds
        )
        del ends[max(1, bisect_right(ends, opened_s + 0.5)) :]
        # Without the circuit, the workers had gone on failing.
        more = math.floor((good_s - ends[-1]) * number / cost_s)
        ends += [ends[-1] + (n + 1) * cost_s / number for n in range(min(more, _MOST_UNSEEN))]
    return Incident(sid, tuple(ends), max(good_s, ends[-1]), cost_s, number)


def moments_back(outage: Outage, first_s: float) -> list[float]:
    """Return the moments at which the circuit's subject may have come back, in seconds.

    It was back when the last trial began, and not at the try before that.
    """
    latest = outage.trials[-1].begun_s
    failed = [trial.begun_s for trial in outage.trials if not trial.good]
    # Each pause is about as long as everything before it.
    earliest = max([*failed, (latest - first_s) / 2, 0.0])
    return [earliest + share * max(0.0, latest - earliest) for share in _MOMENTS]
