"""How well each strategy does at each error type, as numbers to show and to choose by.

Invariant: counts and means cover the whole history, also what was pruned; a rate comes with
its interval; what was not measured is None and never 0. Recoveries of injected faults are
left out unless they are marked as lessons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.config import Settings
from pytest_resilience.core.impact import ScoreTally
from pytest_resilience.store.history import History, as_dicts, clock_us
from pytest_resilience.store.inference import rate_of
from pytest_resilience.store.learning import LESSON, SUMS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DAY_US = 86_400_000_000


def default_db() -> Path:
    """Return where the history of this directory is, if no option says otherwise."""
    db = Settings().db
    assert db is not None
    return db


def first_day_us(days: int | None, now_us: int) -> int:
    """Return the beginning of the first of the last `days` days, UTC; 0 for all days.

    Raises:
        ValueError: `days` is not at least 1.
    """
    if days is None:
        return 0
    if days < 1:
        raise ValueError(f"days must be 1 or more, not {days}")
    return (now_us // _DAY_US - days + 1) * _DAY_US


@dataclass(slots=True)
class _Figures:
    """What is summed up about one strategy, error type, pair, level or all of it."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    levels: dict[int, int] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row of sums over `recovery_daily`."""
        for name in SUMS:
            self.sums[name] += row[name]
        level = row["recovery_level"]
        self.levels[level] = self.levels.get(level, 0) + row["executions"]

    def to_dict(self, measured: dict[str, Any]) -> dict[str, Any]:
        """Return the figures; `measured` is what the raw records add to them."""
        sums, n = self.sums, self.sums["executions"]
        tally = ScoreTally(
            samples=n,
            successes=sums["successes"],
            success_s=sums["success_us"] / 1e6,
            impact=sums["impact_millionths"] / 1e6,
            stability=sums["stability_millionths"] / 1e6,
            rated=sums["with_tasks"],
            recovered=sums["task_rate_millionths"] / 1e6,
        )
        return {
            **rate_of(sums["successes"], n).to_dict(),
            "mean_seconds": _mean(sums["total_us"] / 1e6, n),
            "mean_cost_seconds": _mean(sums["cost_us"] / 1e6, n),
            "median_seconds": measured.get("median_seconds"),
            "p95_seconds": measured.get("p95_seconds"),
            "measured": measured.get("measured", 0),
            "score": tally.score if n else None,
            "impact_score": _mean(tally.impact, n),
            "stability_score": _mean(tally.stability, n),
            "task_recovery_rate": _mean(tally.recovered, tally.rated),
            "timeouts": sums["timeouts"],
            "levels": {str(level): self.levels[level] for level in sorted(self.levels)},
            "recurrences": measured.get("recurrences", 0),
            "recurrence_rate": _mean(measured.get("recurrences", 0), measured.get("recovered", 0)),
        }


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def get_performance_metrics(
    error_type: str | None = None,
    strategy_id: str | None = None,
    days: int | None = None,
    *,
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> dict[str, Any]:
    """Return how recoveries did: over all, by strategy, by error type, by level.

    Args:
        error_type: Only recoveries of this error type.
        strategy_id: Only those by this strategy.
        days: Only those of the last so many days, today included, UTC.
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Returns:
        ``overall``, ``strategies`` (by name; each with its own ``error_types``),
        ``error_types`` and ``levels``. Each holds ``executions``, ``successes``,
        ``success_rate`` with ``success_low`` and ``success_high`` (95 %), ``mean_seconds``,
        ``mean_cost_seconds``, ``median_seconds`` and ``p95_seconds`` (of the ``measured``
        recoveries that are not pruned), ``score``, ``impact_score``, ``stability_score``,
        ``task_recovery_rate``, ``timeouts``, ``levels`` (executions by level),
        ``recurrences`` and ``recurrence_rate`` (the same test failed so again in the same
        run, after it had been recovered); a pair holds ``timeout_s`` as well.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: `days` is not at least 1.
    """
    since_us = first_day_us(days, now_us())
    path = Path(default_db() if db is None else db)
    only = {"error_type": error_type, "strategy_id": strategy_id}
    with History(path, now_us=now_us).reading() as connection:
        sums = _sums(connection, since_us, only)
        measured = {
            (row.pop("error_type"), row.pop("strategy_id")): row
            for row in _measured(connection, since_us, only)
        }
        timeouts = _timeouts(connection)
    return _arranged(sums, measured, timeouts, days)


def _arranged(
    sums: list[dict[str, Any]],
    measured: dict[tuple[str | None, str | None], dict[str, Any]],
    timeouts: dict[tuple[str, str], float],
    days: int | None,
) -> dict[str, Any]:
    def figures(error: str | None, name: str | None, level: int | None = None) -> dict[str, Any]:
        found = _Figures()
        for row in sums:
            if (
                error in (None, row["error_type"])
                and name in (None, row["strategy_id"])
                and level in (None, row["recovery_level"])
            ):
                found.add(row)
        return found.to_dict(measured.get((error, name), {}) if level is None else {})

    def pair(error: str, name: str) -> dict[str, Any]:
        return {**figures(error, name), "timeout_s": timeouts.get((error, name))}

    pairs = sorted({(row["error_type"], row["strategy_id"]) for row in sums})
    overall = figures(None, None)
    return {
        "days": days,
        "overall": {
            "total_executions": overall["executions"],
            "overall_success_rate": overall["success_rate"],
            **overall,
        },
        "strategies": {
            name: {
                **figures(None, name),
                "error_types": {e: pair(e, name) for e, s in pairs if s == name},
            }
            for name in sorted({name for _, name in pairs})
        },
        "error_types": {e: figures(e, None) for e in sorted({e for e, _ in pairs})},
        "levels": {
            str(level): {
                name: value
                for name, value in figures(None, None, level).items()
                if name not in _RAW_ONLY
            }
            for level in sorted({row["recovery_level"] for row in sums})
        },
    }


#: Figures that are not known by level.
_RAW_ONLY = (
    "levels",
    "median_seconds",
    "p95_seconds",
    "measured",
    "recurrences",
    "recurrence_rate",
)


def conditions(only: dict[str, str | None]) -> tuple[str, list[str]]:
    """Return SQL for the values that are given, and those values."""
    given = {column: value for column, value in only.items() if value is not None}
    return "".join(f" AND {column} = ?" for column in given), list(given.values())


def _sums(
    connection: DuckDBPyConnection, since_us: int, only: dict[str, str | None]
) -> list[dict[str, Any]]:
    condition, values = conditions(only)
    sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in SUMS)
    return as_dicts(
        connection.execute(
            f"SELECT error_type, strategy_id, recovery_level, {sums} FROM recovery_daily"
            f" WHERE day >= make_timestamp(?::BIGINT)::DATE{condition} GROUP BY ALL",
            [since_us, *values],
        )
    )


def _measured(
    connection: DuckDBPyConnection, since_us: int, only: dict[str, str | None]
) -> Iterable[dict[str, Any]]:
    """Return what only the records themselves can tell, for pairs, their parts and all."""
    condition, values = conditions(only)
    again = "PARTITION BY sid, nodeid, error_type ORDER BY timestamp_us, seq"
    return as_dicts(
        connection.execute(
            f"""
            SELECT error_type, strategy_id, count(*) AS measured,
                   quantile_cont(execution_time, 0.5)::DOUBLE AS median_seconds,
                   quantile_cont(execution_time, 0.95)::DOUBLE AS p95_seconds,
                   count(*) FILTER (WHERE success) AS recovered,
                   count(*) FILTER (WHERE success AND recurs) AS recurrences
            FROM (
                SELECT error_type, strategy_id, execution_time, success,
                       lead(seq) OVER ({again}) IS NOT NULL AS recurs
                FROM recovery_performance
                WHERE {LESSON} AND timestamp_us >= ?
                  AND error_type IS NOT NULL AND strategy_id IS NOT NULL
            )
            WHERE true{condition}
            GROUP BY GROUPING SETS ((error_type, strategy_id), (error_type), (strategy_id), ())
            """,
            [since_us, *values],
        )
    )


def _timeouts(connection: DuckDBPyConnection) -> dict[tuple[str, str], float]:
    rows = connection.execute("SELECT error_type, strategy_id, timeout FROM adaptive_timeouts")
    return {(error, name): seconds for error, name, seconds in rows.fetchall()}
