"""How commands speak: tables, JSON, narration and exit codes.

Invariant: text from elsewhere is shown as it is, never read as markup, and JSON on
standard output is all that is on standard output.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_resilience.report.text import clean

#: Columns assumed where output is no terminal.
_PIPE_WIDTH = 10_000

F = TypeVar("F", bound=Callable[..., Any])


class ExitCode(enum.IntEnum):
    """Exit status of every command."""

    #: All is well.
    OK = 0
    #: The command worked, and found something that wants attention.
    FINDINGS = 1
    #: The command line was wrong, or an output could not be written.
    USAGE = 2
    #: An input could not be read, or is not what it should be.
    UNREADABLE = 3


def format_option(command: F) -> F:
    """Add ``--format table|json`` to `command`, as its parameter ``form``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to write to standard output.",
    )(command)


def narrate(message: str) -> None:
    """Say `message` on standard error."""
    click.echo(clean(message), err=True)


def fail(message: str, code: ExitCode) -> NoReturn:
    """Say what went wrong on standard error, and end with `code`."""
    narrate(f"pytest-resilience: {message}")
    raise SystemExit(code)


def show_json(value: Any) -> None:
    """Write `value` as JSON to standard output."""
    click.echo(json.dumps(value, indent=2))


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Write `rows` as a table to standard output.

    :param styles: Cell text to rich style, for words such as ``fail``.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = [clean(cell) for cell in row]
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        # A line of the table is a line of the output, so that it can be searched and cut.
        console.width = _PIPE_WIDTH
    console.print(table)
