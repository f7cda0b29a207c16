"""``pytest-resilience tune``: settings of circuits that fit what happened in earlier runs.

Invariant: without ``--write`` nothing is changed; with it, nothing but the keys of settings
that are proposed to change, in the one file that pytest reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_resilience.cli.configuration import Configuration, load, locate
from pytest_resilience.cli.history import asking_history, db_option
from pytest_resilience.cli.output import (
    ExitCode,
    fail,
    format_option,
    narrate,
    show_json,
    show_table,
)
from pytest_resilience.config import check
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.options import OPTIONS, Option

if TYPE_CHECKING:
    from pytest_resilience.store.tuning import CircuitSettings, Proposal

_STYLES = {"change": "bold", "insufficient data": "yellow"}


@click.command("tune")
@click.option("--days", type=click.IntRange(1), default=90, show_default=True,
              help="How far to look back, today included.")  # fmt: skip
@click.option("--write", is_flag=True, help="Write what is proposed to the configuration file.")
@click.option("--config", "config_file", type=click.Path(dir_okay=False),
              help="The configuration file. [default: the one pytest uses here]")  # fmt: skip
@db_option
@format_option
def tune_command(
    days: int, write: bool, config_file: str | None, db: str | None, form: str
) -> None:
    """Propose when circuits should open, and when to try again.

    Plays the failures and outages of the history again with other values of
    --circuit-breaker-threshold and --circuit-breaker-half-open-after, and proposes the ones
    that would have cost least. Nothing is written without --write.

    Exit status: 0, 1 if the history holds too little to say anything, 2 if there is no
    configuration file to write to or it cannot be edited, 3 if there is no history or
    something cannot be read.
    """
    from pytest_resilience.store.tuning import tune

    try:
        configuration = load(Path(config_file)) if config_file else locate(Path.cwd())
        current = _current(configuration)
    except ConfigurationError as error:
        fail(error.message, ExitCode.UNREADABLE)
    with asking_history():
        proposals = tune(current, days=days, db=db)
    changes = [proposal for proposal in proposals if proposal.state == "change"]
    if write and changes:
        _write(configuration, changes)
    path = str(configuration.path) if configuration else None
    if form == "json":
        show_json(
            {
                "config": path,
                "written": write and bool(changes),
                "settings": [{"ini": _option(p.setting).ini, **p.to_dict()} for p in proposals],
            }
        )
    else:
        _show(proposals)
    if all(proposal.state == "insufficient data" for proposal in proposals):
        narrate("insufficient data: nothing is proposed" + (" or written" if write else ""))
        raise SystemExit(ExitCode.FINDINGS)
    narrate(_summary(changes, write, path))


def _current(configuration: Configuration | None) -> CircuitSettings:
    """Return the settings that hold: those of the file, else the defaults."""
    from pytest_resilience.store.tuning import CircuitSettings

    def value(name: str) -> Any:
        option = _option(name)
        text = configuration.text_of(option.ini) if configuration else None
        if text is None or configuration is None:
            return option.default
        return check(name, text, f"{configuration.path}: {option.ini}")

    return CircuitSettings(
        value("circuit_threshold"),
        value("circuit_half_open_after"),
        value("circuit_recovery_timeout"),
    )


def _option(name: str) -> Option:
    return next(option for option in OPTIONS if option.name == name)


def _write(configuration: Configuration | None, changes: Sequence[Proposal]) -> None:
    values = {_option(change.setting).ini: _plain(change.proposed) for change in changes}
    if configuration is None:
        lines = "; ".join(f"{key} = {value}" for key, value in values.items())
        fail(
            f"no configuration of pytest in {Path.cwd()} or above it; make a pytest.ini with a"
            f" section [pytest], or name a file with --config. To be written: {lines}",
            ExitCode.USAGE,
        )
    try:
        configuration.set(values)
    except ConfigurationError as error:
        fail(error.message, ExitCode.USAGE)


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _show(proposals: Sequence[Proposal]) -> None:
    show_table(
        ["setting", "now", "proposed", "state", "reason"],
        [
            [_option(p.setting).ini, f"{p.current:g}", f"{p.proposed:g}", p.state, p.reason]
            for p in proposals
        ],
        styles=_STYLES,
    )


def _summary(changes: Sequence[Proposal], write: bool, path: str | None) -> str:
    if not changes:
        return "nothing to change"
    if write:
        return f"written to {path}"
    return f"nothing was written; --write puts this into {path or 'a configuration file'}"
