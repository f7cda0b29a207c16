"""What circuits did: how often they opened, for how long, and what it took to close them.

Invariant: an outage belongs to one circuit of one run, begins when that opens and ends when it
closes or the run does; trials in between are part of it and no outages of their own.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.store.history import History, as_dicts, clock_us
from pytest_resilience.store.metrics import default_db, first_day_us

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TRANSITIONS = """
    SELECT sid, coalesce(kind, '') AS kind, circuit, generation, from_state, to_state, reason,
           consecutive_failures, failures, calls, rate, reopenings, worker, changed_us,
           strftime(changed, '%Y-%m-%dT%H:%M:%S.%fZ') AS changed
    FROM circuit_transitions
    WHERE changed_us >= ? AND circuit IS NOT NULL AND to_state IS NOT NULL
    ORDER BY sid, kind, circuit, changed_us, generation, seq
"""
_ENDS = """
    SELECT t.sid, greatest(max(t.changed_us), coalesce(max(s.finished_us), 0))
    FROM circuit_transitions t LEFT JOIN sessions s USING (sid) GROUP BY t.sid
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A half-open time of an outage.

    Attributes:
        begun_s: Seconds after the outage began.
        seconds: How long it took until the circuit opened again or closed.
        good: Whether it closed.
    """

    begun_s: float
    seconds: float
    good: bool


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a circuit was not closed.

    Attributes:
        begun_us: Microseconds since the epoch, UTC.
        seconds: Until it closed, or the run ended.
        closed: Whether it closed.
        failures: Failures in a row that opened it, 0 if not known.
        reason: Why it opened.
        trials: In order; the last one is good if it closed by one.
    """

    sid: str
    kind: str
    circuit: str
    begun_us: int
    seconds: float
    closed: bool
    failures: int
    reason: str
    trials: tuple[Trial, ...]


def get_circuit_history(
    days: int | None = None,
    *,
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> dict[str, Any]:
    """Return what the circuits of the last `days` days did, today included, UTC.

    Args:
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Returns:
        ``circuits``, the least available first, each with ``kind``, ``circuit``, ``state``
        (the latest), ``changed``, ``reason``, ``sessions``, ``openings``, ``failed_trials``,
        ``closed`` (openings that ended in the run), ``open_seconds``, ``median_seconds`` and
        ``longest_seconds`` (of one opening); and ``transitions``, the newest first.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: `days` is not at least 1.
    """
    since_us = first_day_us(days, now_us())
    path = Path(default_db() if db is None else db)
    with History(path, now_us=now_us).reading() as connection:
        rows = transitions(connection, since_us)
        found = outages(rows, ends_of_sessions(connection))
    by_circuit = sorted(rows, key=lambda row: (row["kind"], row["circuit"], row["changed_us"]))
    circuits = [
        _figures(list(told), [o for o in found if (o.kind, o.circuit) == name])
        for name, told in groupby(by_circuit, key=lambda row: (row["kind"], row["circuit"]))
    ]
    return {
        "days": days,
        "circuits": sorted(circuits, key=lambda c: -c["open_seconds"]),
        "transitions": sorted(rows, key=lambda row: row["changed_us"], reverse=True),
    }


def _figures(told: Sequence[dict[str, Any]], found: Sequence[Outage]) -> dict[str, Any]:
    last = told[-1]
    return {
        "kind": last["kind"],
        "circuit": last["circuit"],
        "state": last["to_state"],
        "changed": last["changed"],
        "reason": last["reason"],
        "sessions": len({row["sid"] for row in told}),
        "openings": len(found),
        "failed_trials": sum(not trial.good for outage in found for trial in outage.trials),
        "closed": sum(outage.closed for outage in found),
        "open_seconds": sum((outage.seconds for outage in found), 0.0),
        "median_seconds": statistics.median(o.seconds for o in found) if found else None,
        "longest_seconds": max((outage.seconds for outage in found), default=None),
    }


def transitions(connection: DuckDBPyConnection, since_us: int) -> list[dict[str, Any]]:
    """Return the rows of `circuit_transitions` since then, those of a circuit in order of time."""
    return as_dicts(connection.execute(_TRANSITIONS, [since_us]))


def ends_of_sessions(connection: DuckDBPyConnection) -> dict[str, int]:
    """Return when each run with transitions ended: microseconds since the epoch, UTC."""
    return dict(connection.execute(_ENDS).fetchall())


def outages(rows: Sequence[dict[str, Any]], ends: dict[str, int]) -> list[Outage]:
    """Return the outages that `rows` of `transitions` tell of; `ends` as `ends_of_sessions`."""
    found: list[Outage] = []
    for _, told in groupby(rows, key=lambda row: (row["sid"], row["kind"], row["circuit"])):
        found += _of_one_circuit(_ordered(list(told)), ends)
    return found


def _ordered(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put them in the order of their generations, if these are of one circuit's life.

    Processes that could not share their circuits have each counted for themselves.
    """
    generations = [row["generation"] for row in told]
    if None not in generations and len(set(generations)) == len(told):
        told.sort(key=lambda row: row["generation"])
    return told


def _of_one_circuit(told: Sequence[dict[str, Any]], ends: dict[str, int]) -> Iterator[Outage]:
    opening: dict[str, Any] | None = None
    trial: dict[str, Any] | None = None
    trials: list[Trial] = []
    for row in told:
        to_state = row["to_state"]
        if opening is None and to_state == CircuitState.OPEN:
            opening, trial, trials = row, None, []
        elif opening is None:
            continue
        elif to_state == CircuitState.HALF_OPEN:
            trial = row
        elif to_state in (CircuitState.OPEN, CircuitState.CLOSED):
            good = to_state == CircuitState.CLOSED
            if trial is not None:
                trials.append(Trial(_between(opening, trial), _between(trial, row), good))
                trial = None
            if good:
                yield _outage(opening, row["changed_us"], trials, closed=True)
                opening = None
    if opening is not None:
        end_us = ends.get(opening["sid"], opening["changed_us"])
        yield _outage(opening, end_us, trials, closed=False)


def _outage(
    opening: dict[str, Any], end_us: int, trials: Sequence[Trial], *, closed: bool
) -> Outage:
    return Outage(
        sid=opening["sid"],
        kind=opening["kind"],
        circuit=opening["circuit"],
        begun_us=opening["changed_us"],
        seconds=max(0.0, (end_us - opening["changed_us"]) / 1e6),
        closed=closed,
        failures=opening["consecutive_failures"] or 0,
        reason=opening["reason"] or "",
        trials=tuple(trials),
    )


def _between(first: dict[str, Any], second: dict[str, Any]) -> float:
    # Clocks of processes may differ by a little, and be set back.
    return max(0.0, float(second["changed_us"] - first["changed_us"]) / 1e6)
