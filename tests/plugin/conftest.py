"""Runs of inner suites that several tests read, and what is asked of them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SuiteRun, run_suite

RunInner = Callable[..., SuiteRun]

REPOSITORY = Path(__file__).parents[2]
REPORT_LOG = ("pytest_reportlog.plugin",)


@pytest.fixture(scope="module")
def run_inner(tmp_path_factory: pytest.TempPathFactory) -> RunInner:
    """As `run_suite`, in a new folder for each run unless one is named."""
    in_folder: Callable[[Path], RunInner] = inspect.unwrap(run_suite)

    def run(*args: Any, folder: Path | None = None, **keywords: Any) -> SuiteRun:
        # Where the inner suites find `tests.plugin.breakage`.
        env = {"PYTHONPATH": str(REPOSITORY), **(keywords.pop("env", None) or {})}
        folder = folder or tmp_path_factory.mktemp("inner")
        return in_folder(folder)(*args, env=env, **keywords)

    return run


def reports(run: SuiteRun) -> list[dict[str, Any]]:
    """Return the test reports of a run with ``--report-log log.jsonl``, in their order."""
    lines = (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry["$report_type"].lower() in _TEST_REPORTS]


def rows(run: SuiteRun, query: str) -> list[tuple[Any, ...]]:
    """Return what the history of a run answers."""
    import duckdb

    path = run.folder / ".resilience" / "history.duckdb"
    with duckdb.connect(str(path), read_only=True) as history:
        return history.sql(query).fetchall()


_TEST_REPORTS = ("testreport", "subtestreport")


def outcomes(run: SuiteRun, name: str = "") -> list[tuple[str, str]]:
    """Return phase and outcome of each report of the test called `name`, or of all."""
    return [
        (report["when"], report["outcome"])
        for report in reports(run)
        if report["nodeid"].endswith(name)
    ]
