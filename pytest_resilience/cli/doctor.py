"""``pytest-resilience doctor``: can browsers be tested on this machine?

Invariant: exactly one line for each check, and exit status 1 if and only if one failed.
"""

from __future__ import annotations

from pathlib import Path

import click

from pytest_resilience.cli.checks import Check, Status, all_checks
from pytest_resilience.cli.output import (
    ExitCode,
    format_option,
    narrate,
    show_json,
    show_table,
)

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command("doctor")
@click.argument("directory", type=click.Path(exists=True, file_okay=False), default=".")
@format_option
def doctor_command(directory: str, form: str) -> None:
    """Check this machine: packages, browsers, drivers, memory, limits, places to write.

    DIRECTORY is where pytest is run. A failed check makes the exit status 1; warnings do not.
    """
    checks = all_checks(Path(directory).resolve())
    if form == "json":
        show_json([check.to_dict() for check in checks])
    else:
        rows = [(check.status.value, check.name, _said(check)) for check in checks]
        show_table(["", "check", "found"], rows, styles=_STYLES)
    count = {status: sum(check.status is status for check in checks) for status in Status}
    narrate(f"{count[Status.OK]} ok, {count[Status.WARN]} warn, {count[Status.FAIL]} fail")
    if count[Status.FAIL]:
        raise SystemExit(ExitCode.FINDINGS)


def _said(check: Check) -> str:
    found = check.found or "not found"
    return f"{found}: {check.advice}" if check.advice else found
