"""Running the command in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from pytest_resilience.cli import cli


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run ``pytest-resilience`` with arguments, and `stdin` as its input."""

    def run_command(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="pytest-resilience")

    return run_command
