"""Inner suites on real browsers, of which nothing may be left when they have ended."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.inner import Run, kill_all, remains, sources

if TYPE_CHECKING:
    from tests.conftest import RunSuite, SuiteRun


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes a minute or more")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory that only the inner suite and its browsers know of.

    All their profiles are in it, and its path is in their environment or arguments: that is
    how they are told from all other browsers on the machine.
    """
    # Chromium puts a socket in it, whose path must be short.
    path = Path(tempfile.mkdtemp(prefix="pr-"))
    yield path
    kill_all(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def run_browsers(run_suite: RunSuite, temporary: Path) -> Run:
    """Run files of `suites`, or given texts, and check that no browser is left.

    `plan` names, for each test that is to suffer a fault, the moment and the fault.
    """

    def run(
        files: dict[str, str],
        *args: str,
        plan: dict[str, tuple[str, str]] | None = None,
        env: dict[str, str] | None = None,
        **keywords: Any,
    ) -> SuiteRun:
        surroundings = {"TMPDIR": str(temporary), "PLAN": json.dumps(plan or {}), **(env or {})}
        run = run_suite({**sources(files)}, *args, env=surroundings, **keywords)
        assert run.summary, run.output
        left = [path for path in run.log("profiles.txt") if Path(path).exists()]
        assert (remains(temporary), left) == ([], []), run.output
        return run

    return run
