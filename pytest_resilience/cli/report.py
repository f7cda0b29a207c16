"""``pytest-resilience report``: the HTML report again, from a JSON summary.

Invariant: the page is the one the run itself would have written, and an unreadable
summary leaves an existing page alone.
"""

from __future__ import annotations

import json
from typing import IO, Any

import click

from pytest_resilience.cli.output import ExitCode, fail, narrate
from pytest_resilience.exceptions import ReportError
from pytest_resilience.report.exchange import from_json
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import plural


@click.command("report")
@click.argument("summary_file", metavar="SUMMARY.json", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="report.html",
    show_default=True,
    help="Where to write the page; - is standard output.",
)
def report_command(summary_file: str, output: str) -> None:
    """Write the HTML report of a run from the file --resilience-json wrote.

    SUMMARY.json may be - for standard input. The path of the page goes to standard output.
    """
    from pytest_resilience.report.html import render, write_html

    summary = _summary(summary_file)
    if output == "-":
        click.echo(render(summary), nl=False)
    else:
        try:
            write_html(summary, output, option="--output")
        except ReportError as error:
            fail(error.message, ExitCode.USAGE)
        click.echo(output)
    narrate(f"{plural(len(summary.tests), 'test')}, {plural(summary.attempts, 'attempt')}")


def _summary(name: str) -> Summary:
    try:
        with click.open_file(name, "rb") as file:
            return from_json(_json(file))
    except OSError as error:
        fail(f"cannot read {name!r} ({error.strerror or error})", ExitCode.UNREADABLE)
    except ReportError as error:
        fail(f"{name}: {error.message}", ExitCode.UNREADABLE)


def _json(file: IO[Any]) -> Any:
    try:
        return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"this is not JSON ({error}); give the file that --resilience-json wrote"
        ) from error
