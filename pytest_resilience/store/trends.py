"""What changes over time: strategies, error types, escalation, and the price of recoveries.

Invariant: a change is only called one if a test that knows of sessions says so, over all that
was compared together; where too little is known, that is what is said. The series of days go
back to the beginning of the history; what compares sessions needs their records, and goes
back to where they were pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.store.history import History, as_dicts, clock_us
from pytest_resilience.store.inference import Cluster, compare, judged, rate_of
from pytest_resilience.store.learning import LESSON
from pytest_resilience.store.metrics import default_db, first_day_us

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BUCKETS = ("day", "week")

_LESSONS = f"{LESSON} AND timestamp_us >= $since AND error_type IS NOT NULL"


def analyse(
    days: int = 90,
    *,
    recent_days: int = 7,
    bucket: str = "week",
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> dict[str, Any]:
    """Return the four analyses of the last `days` days, today included, UTC.

    Args:
        recent_days: The last so many of them are compared with the ones before.
        bucket: ``day`` or ``week`` (from Monday), the step of the series.
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Returns:
        ``performance`` (see `performance`), ``error_types`` (`error_types`), ``progression``
        (`progression`), ``impact`` (`impact`), and what was asked for.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: There is no such bucket, or the days do not fit.
    """
    if bucket not in BUCKETS:
        raise ValueError(f"unknown bucket {bucket!r}; valid ones: {', '.join(BUCKETS)}")
    if not 1 <= recent_days < days:
        raise ValueError(f"recent_days must be 1 to {days - 1}, not {recent_days}")
    since_us, recent_us = first_day_us(days, now_us()), first_day_us(recent_days, now_us())
    path = Path(default_db() if db is None else db)
    with History(path, now_us=now_us).reading() as connection:
        return {
            "days": days,
            "recent_days": recent_days,
            "bucket": bucket,
            "performance": performance(connection, since_us, recent_us, bucket),
            "error_types": error_types(connection, since_us),
            "progression": progression(connection, since_us),
            "impact": impact(connection, since_us),
        }


def performance(
    connection: DuckDBPyConnection, since_us: int, recent_us: int, bucket: str
) -> list[dict[str, Any]]:
    """Return for each pair of strategy and error type its series and what became of it.

    Each has ``strategy``, ``error_type``, ``state`` (``insufficient data``, ``stable``,
    ``regression`` or ``improvement``), ``p``, ``recent`` and ``baseline`` (rates with their
    ``sessions``), and ``series``: ``start`` of the day or week, and the rate in it.
    """
    series = _series(connection, since_us, bucket)
    sessions = _sessions(connection, since_us, recent_us)
    pairs = sorted({*series, *sessions})
    changes = [compare(*sessions.get(pair, ([], []))) for pair in pairs]
    return [
        {
            "error_type": pair[0],
            "strategy": pair[1],
            "state": state,
            "p": change.p,
            "recent": {**change.recent.to_dict(), "sessions": change.recent_sessions},
            "baseline": {**change.baseline.to_dict(), "sessions": change.baseline_sessions},
            "series": series.get(pair, []),
        }
        for pair, change, state in zip(pairs, changes, judged(changes), strict=True)
    ]


def _series(
    connection: DuckDBPyConnection, since_us: int, bucket: str
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    rows = connection.execute(
        f"SELECT error_type, strategy_id, date_trunc('{bucket}', day)::DATE AS start,"
        " sum(successes)::BIGINT, sum(executions)::BIGINT FROM recovery_daily"
        " WHERE day >= make_timestamp(?::BIGINT)::DATE GROUP BY ALL ORDER BY start",
        [since_us],
    ).fetchall()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for error_type, strategy, start, successes, executions in rows:
        point = {"start": start.isoformat(), **rate_of(successes, executions).to_dict()}
        found.setdefault((error_type, strategy), []).append(point)
    return found


def _sessions(
    connection: DuckDBPyConnection, since_us: int, recent_us: int
) -> dict[tuple[str, str], tuple[list[Cluster], list[Cluster]]]:
    """Return the sessions of late, and the ones before, of each pair."""
    rows = connection.execute(
        f"""
        SELECT error_type, strategy_id, min(timestamp_us) >= $recent AS late,
               count(*) FILTER (WHERE success) AS successes, count(*) AS executions
        FROM recovery_performance WHERE {_LESSONS} AND strategy_id IS NOT NULL
        GROUP BY error_type, strategy_id, sid
        """,
        {"since": since_us, "recent": recent_us},
    ).fetchall()
    found: dict[tuple[str, str], tuple[list[Cluster], list[Cluster]]] = {}
    for error_type, strategy, late, successes, executions in rows:
        recent, baseline = found.setdefault((error_type, strategy), ([], []))
        (recent if late else baseline).append((successes, executions))
    return found


def error_types(connection: DuckDBPyConnection, since_us: int) -> list[dict[str, Any]]:
    """Return the error types, the most common first.

    Each has ``errors`` and ``tests`` (how many failed so), the rate of its recoveries,
    ``impact_score`` and ``stability_score`` (means), ``lost_seconds`` (until the outcomes of
    its recoveries were known), ``escalated`` and ``incidents``, and its ``rank`` by
    ``errors``, ``success_rate``, ``impact_score`` and ``escalation``, 1 the highest.
    """
    errors = connection.execute(
        "SELECT error_type, count(*) AS errors, count(DISTINCT nodeid) AS tests FROM errors"
        " WHERE seen_us >= ? AND error_type <> '' AND coalesce(injected, '') = '' GROUP BY ALL",
        [since_us],
    )
    told = {row["error_type"]: row for row in as_dicts(errors)}
    for row in as_dicts(
        connection.execute(
            "SELECT error_type, sum(executions)::BIGINT AS executions,"
            " sum(successes)::BIGINT AS successes,"
            " sum(impact_millionths) / sum(executions) / 1e6 AS impact_score,"
            " sum(stability_millionths) / sum(executions) / 1e6 AS stability_score,"
            " sum(cost_us) / 1e6 AS lost_seconds"
            " FROM recovery_daily WHERE day >= make_timestamp(?::BIGINT)::DATE GROUP BY ALL",
            [since_us],
        )
    ):
        told.setdefault(row["error_type"], {"errors": 0, "tests": 0}).update(row)
    climbs = progression(connection, since_us)["error_types"]
    found = []
    for name, row in told.items():
        rate = rate_of(row.get("successes", 0), row.get("executions", 0))
        climb = climbs.get(name, {"incidents": 0, "escalated": 0})
        found.append(
            {
                "error_type": name,
                "errors": row["errors"],
                "tests": row["tests"],
                **rate.to_dict(),
                "impact_score": row.get("impact_score"),
                "stability_score": row.get("stability_score"),
                "lost_seconds": row.get("lost_seconds", 0.0),
                "incidents": climb["incidents"],
                "escalated": climb["escalated"],
                "escalation": climb["escalated"] / climb["incidents"]
                if climb["incidents"]
                else None,
            }
        )
    for row in found:
        row["rank"] = {
            name: _rank(row, found, name)
            for name in ("errors", "success_rate", "impact_score", "escalation")
        }
    return sorted(found, key=lambda row: (-row["errors"], row["error_type"]))


def _rank(row: dict[str, Any], rows: Sequence[dict[str, Any]], name: str) -> int | None:
    if row[name] is None:
        return None
    return 1 + len([r for r in rows if r[name] is not None and r[name] > row[name]])


def progression(connection: DuckDBPyConnection, since_us: int) -> dict[str, Any]:
    """Return how far recoveries had to climb.

    An incident is what is tried for one test of a run until it is cured or given up. Of
    all ``incidents`` so many were ``resolved`` and ``escalated`` (to a higher level than
    they began with); ``levels`` says for each level how many ``reached`` it and how many
    were ``resolved`` there, the ``share`` of all incidents that is, the rate of the
    executions at it, and ``mean_seconds``; ``error_types`` says it by error type.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE incidents AS
        SELECT error_type, sid, nodeid, incident, recovery_level AS level, success,
               execution_time AS seconds, timestamp_us, seq
        FROM (
            SELECT *, count(*) FILTER (WHERE success) OVER (
                       PARTITION BY sid, nodeid ORDER BY timestamp_us, seq
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS incident
            FROM recovery_performance WHERE {_LESSONS}
        )
        """,
        {"since": since_us},
    )
    climbs = as_dicts(
        connection.execute("""
            SELECT first(error_type ORDER BY timestamp_us, seq) AS error_type,
                   max(level) > first(level ORDER BY timestamp_us, seq) AS escalated,
                   CASE WHEN bool_or(success) THEN max(level) FILTER (WHERE success) END AS cured_at
            FROM incidents GROUP BY sid, nodeid, incident
        """)
    )
    executed = as_dicts(
        connection.execute("""
            SELECT level, count(*) AS executions, count(*) FILTER (WHERE success) AS successes,
                   avg(seconds)::DOUBLE AS mean_seconds,
                   count(DISTINCT (sid, nodeid, incident)) AS reached
            FROM incidents WHERE level IS NOT NULL GROUP BY level ORDER BY level
        """)
    )
    by_type: dict[str, list[dict[str, Any]]] = {}
    for climb in climbs:
        by_type.setdefault(climb["error_type"], []).append(climb)
    levels = []
    for row in executed:
        cured = sum(climb["cured_at"] == row["level"] for climb in climbs)
        levels.append(
            {
                "level": row["level"],
                "reached": row["reached"],
                "resolved": cured,
                "share": cured / len(climbs),
                **rate_of(row["successes"], row["executions"]).to_dict(),
                "mean_seconds": row["mean_seconds"],
            }
        )
    return {
        **_climbed(climbs),
        "levels": levels,
        "error_types": {name: _climbed(by_type[name]) for name in sorted(by_type)},
    }


def _climbed(climbs: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {
        "incidents": len(climbs),
        "resolved": sum(climb["cured_at"] is not None for climb in climbs),
        "escalated": sum(bool(climb["escalated"]) for climb in climbs),
    }


def impact(connection: DuckDBPyConnection, since_us: int) -> list[dict[str, Any]]:
    """Return what each strategy does to the machine, the heaviest first.

    Each has ``strategy``, ``executions``, means of ``impact_score``, ``stability_score`` and
    ``seconds``, and ``resources``: means of what it used, by name, None if not measured.
    """
    rows = as_dicts(
        connection.execute(
            f"""
            SELECT strategy_id AS strategy, count(*) AS executions,
                   avg(impact_score)::DOUBLE AS impact_score,
                   avg(stability_score)::DOUBLE AS stability_score,
                   avg(execution_time)::DOUBLE AS seconds,
                   {", ".join(f"avg(usage.{n})::DOUBLE AS {n}" for n in RESOURCES)}
            FROM (
                SELECT *, from_json(resource_usage, '{_RESOURCE_TYPES}') AS usage
                FROM recovery_performance WHERE {_LESSONS} AND strategy_id IS NOT NULL
            ) GROUP BY ALL ORDER BY impact_score DESC, strategy
            """,
            {"since": since_us},
        )
    )
    return [
        {
            **{name: value for name, value in row.items() if name not in RESOURCES},
            "resources": {name: row[name] for name in RESOURCES},
        }
        for row in rows
    ]


#: What is measured before and after a recovery.
RESOURCES = (
    "cpu_percent",
    "memory_percent",
    "process_cpu",
    "process_memory_mb",
    "disk_percent",
    "net_sent_bytes",
    "net_recv_bytes",
)
_RESOURCE_TYPES = "{" + ", ".join(f'"{name}": "DOUBLE"' for name in RESOURCES) + "}"
