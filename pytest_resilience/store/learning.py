"""What the history teaches: scores, time-outs and how far recoveries climbed.

Invariant: a learned row is computed from all the recoveries of its key and never from
its old value, so merging in any order, or twice, gives the same row. Recoveries of
injected faults are left out unless they are marked as lessons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_resilience.core import events
from pytest_resilience.store.ingest import merge_into, moment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Weight of each part of a strategy's score, 0 bad to 1 good; the weights sum to 1.
WEIGHTS = {
    "success_rate": 0.40,
    "time_score": 0.15,
    "(1.0 - impact_score)": 0.15,
    "stability_score": 0.15,
    "task_recovery_rate": 0.15,
}
_METRICS = (
    "success_rate",
    "time_score",
    "impact_score",
    "stability_score",
    "task_recovery_rate",
    "mean_seconds",
)
#: Seconds at which a recovery is worth nothing any more for its speed.
WORST_SECONDS = 30.0
#: Bounds of a time-out in seconds, and its distance from the 95th percentile.
TIMEOUT_BOUNDS = (5.0, 300.0)
TIMEOUT_FACTOR = 2.0

# The recoveries that are new in this merge.
_FRESH = "history.recovery_performance SEMI JOIN fresh USING (spool, seq)"

# All recoveries of the (error type, strategy) pairs among them.
_LESSONS = f"""
    SELECT * FROM history.recovery_performance
    SEMI JOIN (SELECT error_type, strategy_id FROM {_FRESH}) touched
        USING (error_type, strategy_id)
    WHERE learn OR (learn IS NULL AND coalesce(injected, '') = '')
"""


def learn(connection: DuckDBPyConnection, now_us: int) -> None:
    """Bring the learned tables up to date with the fresh records; inside a transaction."""
    row = connection.execute(
        "SELECT count(*) FROM fresh WHERE kind = ?", [events.RECOVERY]
    ).fetchone()
    if not row or not row[0]:
        return
    updated = moment(f"{now_us}::BIGINT")
    pair = ("error_type", "strategy_id")
    merge_into(connection, "strategy_scores", pair, _scores(updated))
    merge_into(connection, "adaptive_timeouts", pair, _timeouts(updated))
    merge_into(connection, "progressive_recovery", ("error_id",), _progress(updated))


def _scores(updated: str) -> str:
    score = " + ".join(f"{weight} * {part}" for part, weight in WEIGHTS.items())
    metrics = ", ".join(f"'{name}', {name}" for name in _METRICS)
    return f"""
        SELECT error_type, strategy_id, ({score})::FLOAT AS score, {updated} AS last_updated,
               samples, json_object({metrics}) AS metrics
        FROM (
            SELECT *, CASE WHEN mean_seconds IS NULL THEN 0.0
                      ELSE greatest(0.0, least(1.0, 1.0 - mean_seconds / {WORST_SECONDS}))
                      END AS time_score
            FROM (
                SELECT error_type, strategy_id, count(*)::INTEGER AS samples,
                       avg(CASE WHEN success THEN 1.0 ELSE 0.0 END) AS success_rate,
                       avg(execution_time) FILTER (WHERE success) AS mean_seconds,
                       coalesce(avg(impact_score), 0.0) AS impact_score,
                       coalesce(avg(stability_score), 0.0) AS stability_score,
                       coalesce(avg(recovered_tasks::DOUBLE / affected_tasks)
                           FILTER (WHERE affected_tasks > 0), 0.0) AS task_recovery_rate
                FROM ({_LESSONS}) GROUP BY error_type, strategy_id
            )
        )
    """


def _timeouts(updated: str) -> str:
    low, high = TIMEOUT_BOUNDS
    seconds = f"{TIMEOUT_FACTOR} * quantile_cont(execution_time, 0.95)"
    return f"""
        SELECT error_type, strategy_id, greatest({low}, least({high}, {seconds}))::FLOAT AS timeout,
               {updated} AS last_updated
        FROM ({_LESSONS}) WHERE execution_time IS NOT NULL GROUP BY error_type, strategy_id
    """


def _progress(updated: str) -> str:
    step = (
        "{strategy_id: strategy_id, level: recovery_level, success: success,"
        " execution_time: execution_time, timestamp_us: timestamp_us}"
    )
    order = "ORDER BY timestamp_us, spool, seq"
    return f"""
        SELECT error_id, last(recovery_level {order}) AS current_level,
               {updated} AS last_updated, to_json(list({step} {order})) AS history
        FROM history.recovery_performance
        SEMI JOIN (SELECT error_id FROM {_FRESH} WHERE error_id <> '') touched USING (error_id)
        GROUP BY error_id
    """
