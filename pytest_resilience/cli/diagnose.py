"""``pytest-resilience diagnose``: recorded failures, one JSON line each, diagnosed.

Invariant: every input row yields exactly one output line, in order, whatever it holds;
labels are compared with the diagnoses and never used to make them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import click

from pytest_resilience.cli.output import ExitCode, fail, narrate
from pytest_resilience.core.triage import Confusion, triage


@click.command("diagnose")
@click.argument("rows", metavar="FILE.jsonl", type=click.Path())
def diagnose_command(rows: str) -> None:
    """Say of recorded failures whether the infrastructure or the product failed.

    FILE.jsonl holds one JSON object a line, - is standard input. Fields: message, and where
    known id, exc_type, exc_mro, command, browser, probes. For each row one JSON line goes to
    standard output: id, error_type, layer, infrastructure, confidence, rule, recovery. Where
    rows carry labels (layer or true_layer, infrastructure), how they compare goes to standard
    error.

    Exit status: 0 all rows read, 1 some lines were not JSON objects (diagnosed as unknown),
    3 the file could not be read.
    """
    confusion, broken = Confusion(), 0
    try:
        with click.open_file(rows, "r", encoding="utf-8", errors="replace") as file:
            for row in _rows(file):
                diagnosis = triage(row)
                click.echo(json.dumps(diagnosis, ensure_ascii=False))
                confusion.add(row, diagnosis)
                broken += row is None
    except OSError as error:
        fail(f"cannot read {rows!r} ({error.strerror or error})", ExitCode.UNREADABLE)
    if confusion:
        narrate(confusion.render())
    if broken:
        fail(f"{broken} lines of {rows!r} are not JSON objects", ExitCode.FINDINGS)


def _rows(file: IO[str]) -> Iterator[dict[str, Any] | None]:
    """Yield the object on each line that is not blank; None for a line that holds none."""
    for line in file:
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, dict) else None
