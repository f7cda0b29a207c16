"""``pytest-resilience circuits``: what circuits did, in all runs of the history.

Invariant: the JSON is what the function of the store returns, with no more transitions than
were asked for, and the tables say the same, shorter.
"""

from __future__ import annotations

from typing import Any

import click

from pytest_resilience.cli.history import asking_history, db_option, duration
from pytest_resilience.cli.output import format_option, narrate, show_json, show_table
from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.report.text import plural

_STYLES = {
    CircuitState.OPEN.value: "bold red",
    CircuitState.ISOLATED.value: "bold red",
    CircuitState.HALF_OPEN.value: "yellow",
    CircuitState.CLOSED.value: "green",
}


@click.command("circuits")
@click.option("--days", type=click.IntRange(1), help="Only the last so many days, today included.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True,
              help="How many of the newest transitions to show.")  # fmt: skip
@db_option
@format_option
def circuits_command(days: int | None, limit: int, db: str | None, form: str) -> None:
    """Say which circuits opened, how often and for how long.

    Two tables: circuits, those that were open longest first, with where they stood when last
    heard of; and the newest transitions.

    Exit status: 0, or 3 if there is no history or it cannot be read.
    """
    from pytest_resilience.store.outages import get_circuit_history

    with asking_history():
        found = get_circuit_history(days, db=db)
    total = len(found["transitions"])
    found["transitions"] = found["transitions"][:limit]
    if form == "json":
        show_json(found)
    else:
        _show(found)
    shown = f", the newest {limit} shown" if limit < total else ""
    circuits = plural(len(found["circuits"]), "circuit")
    narrate(f"{circuits}, {plural(total, 'transition')}{shown}")


def _show(found: dict[str, Any]) -> None:
    click.echo("Circuits")
    show_table(
        ["kind", "circuit", "state", "openings", "closed again", "failed trials", "open in all",
         "median", "longest", "last reason"],
        [
            [c["kind"] or "-", c["circuit"], c["state"], str(c["openings"]), str(c["closed"]),
             str(c["failed_trials"]), duration(c["open_seconds"]), duration(c["median_seconds"]),
             duration(c["longest_seconds"]), c["reason"] or "-"]
            for c in found["circuits"]
        ],
        styles=_STYLES,
    )  # fmt: skip
    click.echo("\nTransitions")
    show_table(
        ["when", "kind", "circuit", "from", "to", "failures in a row", "worker", "reason"],
        [
            [t["changed"] or "-", t["kind"] or "-", t["circuit"], t["from_state"] or "-",
             t["to_state"], _count(t["consecutive_failures"]), t["worker"] or "-",
             t["reason"] or "-"]
            for t in found["transitions"]
        ],
        styles=_STYLES,
    )  # fmt: skip


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
