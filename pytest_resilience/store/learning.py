"""What the history teaches: sums per day, newest outcomes, scores, time-outs, climbs.

Invariant: a merge adds each new recovery once, to the rows it speaks of and to no others,
and the sum does not depend on the order: counts and sums are whole numbers, and a cell
keeps the newest outcomes whenever they came. So merging in any order, or twice, gives the
same rows, and what a merge costs does not grow with the history. Recoveries of injected
faults are left out unless they are marked as lessons.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.adaptive import WINDOW, QuantileTimeout
from pytest_resilience.core.experience import COSTS_KEPT, OUTCOMES_KEPT
from pytest_resilience.core.impact import WORST_SECONDS
from pytest_resilience.store.ingest import RECOVERIES, merge_into, moment

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
#: Newest executions a cell remembers; as many as a time-out is made of.
EXECUTIONS_KEPT = WINDOW
#: More seconds than any recovery takes; so that sums of them fit their columns.
_MOST_SECONDS = 1_000_000

_PAIR = ("error_type", "strategy_id")
_CELL = ("environment", "error_type", "tried", "strategy_id")
_DAY = ("day", "environment", "error_type", "strategy_id", "recovery_level")

#: SQL for whether a recovery teaches; those of injected faults do if they are told to.
LESSON = "(learn OR (learn IS NULL AND coalesce(injected, '') = ''))"

#: Columns of `recovery_daily` that are sums, and what is summed up over the lessons.
SUMS = {
    "executions": "1",
    "successes": "success::INTEGER",
    "timeouts": "timed_out::INTEGER",
    "total_us": "round(seconds * 1e6)",
    "success_us": "CASE WHEN success THEN round(seconds * 1e6) ELSE 0 END",
    "cost_us": "round(cost_s * 1e6)",
    "impact_millionths": "round(impact * 1e6)",
    "stability_millionths": "round(stability * 1e6)",
    "with_tasks": "(affected > 0)::INTEGER",
    "task_rate_millionths": (
        "CASE WHEN affected > 0 THEN round(least(1.0, recovered / affected) * 1e6) ELSE 0 END"
    ),
}
#: The sums that a score is made of.
_TOTALS = tuple(name for name in SUMS if name not in ("timeouts", "total_us", "cost_us"))


def learn(connection: DuckDBPyConnection, now_us: int) -> None:
    """Add the recoveries that are new in this merge; inside its transaction."""
    row = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE temporary AND table_name = ?", [RECOVERIES]
    ).fetchone()
    if row and row[0]:
        _learn_from(connection, RECOVERIES, now_us)


def relearn(connection: DuckDBPyConnection, now_us: int) -> None:
    """Fill the learned tables from all recoveries in the history; inside a transaction.

    Only for a history none of whose recoveries was pruned.
    """
    for table in ("recovery_daily", "recovery_cells", "strategy_scores", "progressive_recovery"):
        connection.execute(f"DELETE FROM history.{table}")
    _learn_from(connection, "history.recovery_performance", now_us)


def _learn_from(connection: DuckDBPyConnection, source: str, now_us: int) -> None:
    updated = moment(f"{now_us}::BIGINT")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE lessons AS {_lessons(source)}")
    _add_to_days(connection)
    merge_into(connection, "recovery_cells", _CELL, _cells())
    merge_into(connection, "strategy_scores", _PAIR, _scores(updated))
    _keep_timeouts(connection, updated)
    merge_into(connection, "progressive_recovery", ("error_id",), _climbs(source, updated))


def _lessons(source: str) -> str:
    """Return a query for the recoveries that teach, every value within its bounds."""
    return f"""
        SELECT timestamp::DATE AS day, coalesce(environment, '') AS environment, error_type,
               coalesce(tried, '') AS tried, strategy_id,
               coalesce(recovery_level, 0) AS recovery_level,
               timestamp_us AS at_us, seq, id, coalesce(success, false) AS success,
               {_within("execution_time", _MOST_SECONDS)} AS seconds,
               {_within("coalesce(nullif(cost_s, 0), execution_time)", _MOST_SECONDS)} AS cost_s,
               coalesce(timed_out, false) AS timed_out,
               {_within("impact_score", 1)} AS impact, {_within("stability_score", 1)} AS stability,
               coalesce(affected_tasks, 0)::DOUBLE AS affected,
               greatest(0, coalesce(recovered_tasks, 0))::DOUBLE AS recovered
        FROM {source}
        WHERE {LESSON}
          AND error_type IS NOT NULL AND strategy_id IS NOT NULL AND timestamp IS NOT NULL
    """


def _within(value: str, most: int) -> str:
    return f"greatest(0.0, least({most}.0, coalesce({value}, 0.0)))::DOUBLE"


def _add_to_days(connection: DuckDBPyConnection) -> None:
    keys = ", ".join(_DAY)
    sums = ", ".join(f"sum({value})::BIGINT AS {name}" for name, value in SUMS.items())
    connection.execute(f"""
        MERGE INTO history.recovery_daily t
        USING (SELECT {keys}, {sums} FROM lessons GROUP BY {keys}) s
        ON ({" AND ".join(f"t.{key} = s.{key}" for key in _DAY)})
        WHEN MATCHED THEN UPDATE SET {", ".join(f"{n} = t.{n} + s.{n}" for n in SUMS)}
        WHEN NOT MATCHED THEN INSERT ({keys}, {", ".join(SUMS)})
            VALUES ({", ".join(f"s.{name}" for name in (*_DAY, *SUMS))})
    """)


def _cells() -> str:
    keys = ", ".join(_CELL)
    outcome = (
        "{at_us: at_us, seq: seq, id: id, success: success, cost_s: cost_s, execution_s: seconds,"
        " timed_out: timed_out}"
    )
    return f"""
        SELECT {keys}, outcomes, outcomes[-1].at_us AS latest_us,
               array_to_string([CASE WHEN o.success THEN '1' ELSE '0' END
                                FOR o IN outcomes[-{OUTCOMES_KEPT}:]], '') AS recent,
               list_avg([o.cost_s FOR o IN outcomes[-{COSTS_KEPT}:]]) AS mean_cost_s,
               least({COSTS_KEPT}, len(outcomes))::INTEGER AS executions
        FROM (
            SELECT {keys}, list_reverse(max(o, {EXECUTIONS_KEPT})) AS outcomes FROM (
                SELECT {keys}, {outcome} AS o FROM lessons
                UNION ALL
                SELECT {keys}, unnest(outcomes) AS o FROM history.recovery_cells
                SEMI JOIN lessons USING ({keys})
            ) GROUP BY {keys}
        )
    """


def _scores(updated: str) -> str:
    score = " + ".join(f"{weight} * {part}" for part, weight in WEIGHTS.items())
    metrics = ", ".join(f"'{name}', {name}" for name in _METRICS)
    fresh = ", ".join(f"sum({SUMS[name]})::BIGINT AS {name}" for name in _TOTALS)
    totals = ", ".join(f"{n}: f.{n} + coalesce(t.totals.{n}, 0)" for n in _TOTALS)
    return f"""
        SELECT error_type, strategy_id, ({score})::FLOAT AS score, {updated} AS last_updated,
               samples, json_object({metrics}) AS metrics, totals
        FROM (
            SELECT *, CASE WHEN mean_seconds IS NULL THEN 0.0
                      ELSE greatest(0.0, least(1.0, 1.0 - mean_seconds / {WORST_SECONDS}))
                      END AS time_score
            FROM (
                SELECT error_type, strategy_id, totals, totals.executions::INTEGER AS samples,
                       {averages("totals.{}".format)}
                FROM (
                    SELECT f.error_type, f.strategy_id, {{{totals}}} AS totals
                    FROM (SELECT error_type, strategy_id, {fresh} FROM lessons GROUP BY ALL) f
                    LEFT JOIN history.strategy_scores t
                        ON t.error_type = f.error_type AND t.strategy_id = f.strategy_id
                )
            )
        )
    """


def averages(total: Callable[[str], str]) -> str:
    """Return SQL for the means that sums make; `total` gives SQL for the sum of a name."""
    executions = total("executions")
    return f"""
        {total("successes")} / {executions} AS success_rate,
        {total("success_us")} / nullif({total("successes")}, 0) / 1e6 AS mean_seconds,
        {total("impact_millionths")} / {executions} / 1e6 AS impact_score,
        {total("stability_millionths")} / {executions} / 1e6 AS stability_score,
        coalesce({total("task_rate_millionths")} / nullif({total("with_tasks")}, 0), 0.0) / 1e6
            AS task_recovery_rate
    """


def _keep_timeouts(connection: DuckDBPyConnection, updated: str) -> None:
    """Learn the time-outs of the pairs among the lessons from their newest executions."""
    pairs = connection.execute(f"""
        SELECT error_type, strategy_id, list_reverse(max(o, {EXECUTIONS_KEPT})) FROM (
            SELECT error_type, strategy_id, unnest(outcomes) AS o
            FROM history.recovery_cells SEMI JOIN lessons USING (error_type, strategy_id)
        ) GROUP BY error_type, strategy_id
    """).fetchall()
    if not pairs:
        return
    columns: list[list[Any]] = [[], [], [], []]
    for error_type, strategy_id, outcomes in pairs:
        rule = QuantileTimeout()
        for outcome in outcomes:
            rule.observe(round(outcome["execution_s"], 6), outcome["timed_out"])
        row = (error_type, strategy_id, rule.timeout_s, json.dumps(rule.to_dict()))
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE learned_timeouts AS"
        " SELECT unnest(?::VARCHAR[]) AS error_type, unnest(?::VARCHAR[]) AS strategy_id,"
        " unnest(?::FLOAT[]) AS timeout,"
        f" unnest(?::VARCHAR[])::JSON AS state, {updated} AS last_updated",
        columns,
    )
    merge_into(connection, "adaptive_timeouts", _PAIR, "FROM learned_timeouts")


def _climbs(source: str, updated: str) -> str:
    """Return a query for the incidents that recoveries in `source` belong to, as a whole."""
    names = (
        "strategy_id",
        "level",
        "success",
        "execution_time",
        "timestamp_us",
        "cost_s",
        "error_type",
    )
    types = ("VARCHAR", "INTEGER", "BOOLEAN", "FLOAT", "BIGINT", "DOUBLE", "VARCHAR")
    shape = json.dumps([dict(zip(names, types, strict=True))])
    step = ", ".join(f"{n}: {'recovery_level' if n == 'level' else n}" for n in names)
    # Recoveries of older versions do not tell what they belong to.
    fresh = f"""
        SELECT coalesce(nullif(incident_id, ''), error_id) AS incident,
               {{{step}}} AS step, nodeid, injected
        FROM {source} WHERE error_id <> ''
    """
    return f"""
        SELECT incident AS error_id, {updated} AS last_updated, to_json(steps) AS history,
               CASE WHEN steps[-1].success THEN 1 ELSE steps[-1].level END AS current_level,
               nodeid, steps[1].error_type AS error_type, injected,
               steps[1].timestamp_us AS started_us, len(steps)::INTEGER AS recoveries,
               len([n FOR n IN range(2, len(steps) + 1)
                    IF steps[n].level > steps[n - 1].level])::INTEGER AS escalations,
               list_max([s.level FOR s IN steps]) AS highest_level,
               steps[-1].level AS final_level, coalesce(steps[-1].success, false) AS resolved,
               (steps[-1].timestamp_us::DOUBLE - steps[1].timestamp_us::DOUBLE) / 1e6
                   + greatest(0, coalesce(nullif(steps[-1].cost_s, 0), steps[-1].execution_time, 0))
                   AS seconds
        FROM (
            SELECT incident, list(step ORDER BY step.timestamp_us, step) AS steps,
                   max(nodeid) AS nodeid, max(injected) AS injected
            FROM (
                {fresh}
                UNION ALL
                SELECT error_id, unnest(from_json(history, '{shape}')), nodeid, injected
                FROM history.progressive_recovery
                SEMI JOIN ({fresh}) f ON (f.incident = error_id)
            ) GROUP BY incident
        )
    """
