"""What the commands about the history have in common.

Invariant: a history that cannot be used ends the command with `ExitCode.UNREADABLE` and one
line on standard error that names the file and says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from pytest_resilience.cli.output import ExitCode, fail
from pytest_resilience.exceptions import StoreError
from pytest_resilience.report.text import seconds

F = TypeVar("F", bound=Callable[..., Any])


def db_option(command: F) -> F:
    """Add ``--db`` to `command`, the path of the history; None for the usual one."""
    return click.option(
        "--db",
        type=click.Path(dir_okay=False),
        help="The history. [default: .resilience/history.duckdb]",
    )(command)


@contextmanager
def asking_history() -> Iterator[None]:
    """End the command with a message if the history or the question is not right."""
    try:
        yield
    except StoreError as error:
        fail(error.message, ExitCode.UNREADABLE)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def percent(share: float | None) -> str:
    """Return `share` in percent, "-" if it is not known."""
    return "-" if share is None else f"{100 * share:.0f} %"


def interval(figures: dict[str, Any]) -> str:
    """Return the success rate with its 95 % interval and its count."""
    if not figures["executions"]:
        return "-"
    low, high = (round(100 * figures[f"success_{end}"]) for end in ("low", "high"))
    return f"{percent(figures['success_rate'])} ({low}-{high}, n={figures['executions']})"


def duration(value: float | None) -> str:
    """Return seconds as people read them, "-" if they are not known."""
    return "-" if value is None else seconds(value)


def number(value: float | None) -> str:
    """Return `value` with two decimals, "-" if it is not known."""
    return "-" if value is None else f"{value:.2f}"
