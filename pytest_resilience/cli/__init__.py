"""The ``pytest-resilience`` command.

Invariant: what a command found goes to standard output, as a table or as JSON; what it
has to say about its work goes to standard error; and its exit status is an `ExitCode`.
"""

from __future__ import annotations

import platform
from importlib import metadata

import click

from pytest_resilience.cli.certify import certify_command
from pytest_resilience.cli.circuits import circuits_command
from pytest_resilience.cli.diagnose import diagnose_command
from pytest_resilience.cli.doctor import doctor_command
from pytest_resilience.cli.metrics import metrics_command, recommend_command
from pytest_resilience.cli.output import ExitCode
from pytest_resilience.cli.report import report_command
from pytest_resilience.cli.trends import trends_command
from pytest_resilience.cli.tune import tune_command
from pytest_resilience.cli.upkeep import export_command, merge_command, prune_command

__all__ = ["ExitCode", "cli", "main"]


def _version() -> str:
    try:
        return metadata.version("pytest-resilience")
    except metadata.PackageNotFoundError:
        from pytest_resilience import __version__

        return __version__


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 all well, 1 something was found, 2 wrong usage, 3 unreadable input.",
)
@click.version_option(
    _version(),
    prog_name="pytest-resilience",
    message=f"%(prog)s %(version)s (Python {platform.python_version()})",
)
def cli() -> None:
    """Diagnoses, reports and checks for test runs made with pytest --resilience."""


for _command in (
    certify_command,
    circuits_command,
    diagnose_command,
    doctor_command,
    export_command,
    merge_command,
    metrics_command,
    prune_command,
    recommend_command,
    report_command,
    trends_command,
    tune_command,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command; the entry point of the installed script."""
    cli(prog_name="pytest-resilience")
