"""``pytest-resilience metrics`` and ``recommend``: how strategies did, and which to try.

Invariant: the JSON is what the function of the Python API returns, and the table says the
same, shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from pytest_resilience.cli.history import (
    asking_history,
    db_option,
    duration,
    interval,
    number,
    percent,
)
from pytest_resilience.cli.output import format_option, narrate, show_json, show_table
from pytest_resilience.report.text import plural


@click.command("metrics")
@click.option("--error-type", help="Only recoveries of this error type.")
@click.option("--strategy", help="Only recoveries by this strategy.")
@click.option("--days", type=click.IntRange(1), help="Only the last so many days, today included.")
@click.option("--incidents", is_flag=True, help="How far recoveries climbed, by incident.")
@db_option
@format_option
def metrics_command(
    error_type: str | None,
    strategy: str | None,
    days: int | None,
    incidents: bool,
    db: str | None,
    form: str,
) -> None:
    """Say how recoveries did, by error type and strategy.

    Rates come with their 95 % interval; p95 is of the recoveries that are not pruned.
    With --incidents, say how far recoveries had to climb, and show the newest climbs.

    Exit status: 0, or 3 if there is no history or it cannot be read.
    """
    from pytest_resilience.store.metrics import get_performance_metrics

    if incidents:
        if strategy is not None:
            raise click.UsageError("--incidents takes no --strategy: one incident may need several")
        _show_incidents(error_type, days, db, form)
        return
    with asking_history():
        found = get_performance_metrics(error_type, strategy, days, db=db)
    if form == "json":
        show_json(found)
    else:
        columns = ["error type", "strategy", "success", "mean", "p95", "time-out", "score"]
        columns += ["impact", "stability", "tests recovered", "recurred"]
        show_table(columns, list(_rows(found)))
    overall = found["overall"]
    narrate(f"{plural(overall['executions'], 'recovery')}, success {interval(overall)}")


def _rows(found: dict[str, Any]) -> Iterator[list[str]]:
    pairs = [
        (error_type, name, figures)
        for name, strategy in found["strategies"].items()
        for error_type, figures in strategy["error_types"].items()
    ]
    for error_type, name, figures in sorted(pairs, key=lambda pair: pair[:2]):
        yield [
            error_type,
            name,
            interval(figures),
            duration(figures["mean_seconds"]),
            duration(figures["p95_seconds"]),
            duration(figures["timeout_s"]),
            number(figures["score"]),
            number(figures["impact_score"]),
            number(figures["stability_score"]),
            percent(figures["task_recovery_rate"]),
            percent(figures["recurrence_rate"]),
        ]


def _show_incidents(error_type: str | None, days: int | None, db: str | None, form: str) -> None:
    from pytest_resilience.store.progress import get_progressive_recovery

    with asking_history():
        found = get_progressive_recovery(error_type, days, db=db)
    overall = found["overall"]
    if form == "json":
        show_json(found)
    else:
        click.echo("Incidents")
        columns = ["error type", "resolved", "escalated", "recoveries", "mean", "median", "p95"]
        show_table([*columns, "steps up"], list(_incident_rows(found["error_types"])))
        click.echo("\nNewest")
        columns = ["error type", "test", "climb", "result", "time", "strategies"]
        show_table(columns, [_climb_row(climb) for climb in found["climbs"]], styles=_STYLES)
    told = f"{overall['resolved']} resolved, {overall['escalated']} escalated"
    narrate(f"{plural(overall['incidents'], 'incident')}, {told}")


_STYLES = {"resolved": "green", "unresolved": "bold red"}


def _incident_rows(error_types: dict[str, dict[str, Any]]) -> Iterator[list[str]]:
    for name, summed in error_types.items():
        rate = {"executions": summed["incidents"]} | {
            f"success_{end}": summed[f"resolution_{end}"] for end in ("rate", "low", "high")
        }
        steps = [f"{step} ({count})" for step, count in summed["escalations"].items()]
        yield [
            name,
            interval(rate),
            str(summed["escalated"]),
            number(summed["recoveries"]),
            duration(summed["mean_seconds"]),
            duration(summed["median_seconds"]),
            duration(summed["p95_seconds"]),
            ", ".join(steps) or "-",
        ]


def _climb_row(climb: dict[str, Any]) -> list[str]:
    return [
        climb["error_type"],
        climb["nodeid"],
        " > ".join(map(str, climb["levels"])),
        "resolved" if climb["resolved"] else "unresolved",
        duration(climb["seconds"]),
        " > ".join(climb["strategies"]),
    ]


@click.command("recommend")
@click.argument("error_type", required=False)
@click.option("--environment", help="Where it fails, as in recovery_cells; else all alike.")
@db_option
@format_option
def recommend_command(
    error_type: str | None, environment: str | None, db: str | None, form: str
) -> None:
    """Say which strategy to try first, by expected seconds per cure.

    ERROR_TYPE is one of the error types; without it, the best for each one in the history.

    Exit status: 0, 2 if there is no such error type, 3 if there is no history or it cannot
    be read.
    """
    from pytest_resilience.store.metrics import get_performance_metrics
    from pytest_resilience.store.recommendations import get_strategy_recommendations

    with asking_history():
        if error_type is not None:
            asked = [error_type]
        else:
            asked = list(get_performance_metrics(db=db)["error_types"])
        found = {
            name: get_strategy_recommendations(name, environment=environment, db=db)
            for name in asked
        }
    if form == "json":
        show_json(found)
    else:
        rows = [
            [name, row["strategy"], str(row["level"]), duration(row["seconds_per_cure"]),
             percent(row["p"]), duration(row["cost_s"]), str(row["samples"]),
             number(row["score"]), row["why"]]
            for name, best in found.items()
            for row in (best if error_type is not None else best[:1])
        ]  # fmt: skip
        columns = ["error type", "strategy", "level", "per cure", "cures", "cost", "tries"]
        show_table([*columns, "score", "why"], rows)
    narrate(f"{plural(len(found), 'error type')}")
