"""``pytest-resilience trends``: what changes over time.

Invariant: the exit status is 1 if and only if a strategy got worse by the test, never
because of too little data.
"""

from __future__ import annotations

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
from pytest_resilience.cli.output import ExitCode, format_option, narrate, show_json, show_table
from pytest_resilience.report.text import plural

_STYLES = {"regression": "bold red", "improvement": "green"}


@click.command("trends")
@click.option("--days", type=click.IntRange(2), default=90, show_default=True,
              help="How far to look back, today included.")  # fmt: skip
@click.option("--recent-days", type=click.IntRange(1), default=7, show_default=True,
              help="How many of them to compare with the ones before.")  # fmt: skip
@click.option("--bucket", type=click.Choice(["day", "week"]), default="week", show_default=True,
              help="Step of the series, which are in the JSON.")  # fmt: skip
@db_option
@format_option
def trends_command(days: int, recent_days: int, bucket: str, db: str | None, form: str) -> None:
    """Compare the last days with the ones before, and rank what fails.

    Four tables: strategies over time, error types, how far recoveries climbed, and what
    strategies do to the machine.

    Exit status: 0, 1 if a strategy got worse, 3 if there is no history or it cannot be read.
    """
    from pytest_resilience.store.trends import analyse

    with asking_history():
        found = analyse(days, recent_days=recent_days, bucket=bucket, db=db)
    if form == "json":
        show_json(found)
    else:
        _show(found)
    worse = [row for row in found["performance"] if row["state"] == "regression"]
    for row in worse:
        narrate(
            f"{row['strategy']} got worse at {row['error_type']}: {interval(row['recent'])}"
            f" in {plural(row['recent']['sessions'], 'session')}, before"
            f" {interval(row['baseline'])} in {plural(row['baseline']['sessions'], 'session')},"
            f" p={row['p']:.2g}"
        )
    if worse:
        raise SystemExit(ExitCode.FINDINGS)
    narrate("no strategy got worse as far as can be said")


def _show(found: dict[str, Any]) -> None:
    click.echo("Strategies over time")
    show_table(
        ["error type", "strategy", f"last {found['recent_days']} days", "before", "state"],
        [
            [r["error_type"], r["strategy"], interval(r["recent"]), interval(r["baseline"]),
             r["state"]]
            for r in found["performance"]
        ],
        styles=_STYLES,
    )  # fmt: skip
    click.echo("\nError types")
    show_table(
        ["error type", "errors", "tests", "recovered", "impact", "lost", "escalated"],
        [
            [r["error_type"], str(r["errors"]), str(r["tests"]), interval(r),
             number(r["impact_score"]), duration(r["lost_seconds"]), percent(r["escalation"])]
            for r in found["error_types"]
        ],
    )  # fmt: skip
    click.echo("\nLevels")
    show_table(
        ["level", "incidents", "resolved here", "of all", "success", "mean"],
        [
            [str(r["level"]), str(r["reached"]), str(r["resolved"]), percent(r["share"]),
             interval(r), duration(r["mean_seconds"])]
            for r in found["progression"]["levels"]
        ],
    )  # fmt: skip
    click.echo("\nImpact")
    show_table(
        ["strategy", "recoveries", "impact", "stability", "mean", "cpu", "memory"],
        [
            [r["strategy"], str(r["executions"]), number(r["impact_score"]),
             number(r["stability_score"]), duration(r["seconds"]),
             _points(r["resources"]["cpu_percent"]), _points(r["resources"]["memory_percent"])]
            for r in found["impact"]
        ],
    )  # fmt: skip


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"
