"""``pytest-resilience report``, and what all commands have in common."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pytest_resilience.cli import ExitCode
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.exchange import write_json
from pytest_resilience.report.html import render
from pytest_resilience.report.summary import SessionInfo, Summary

Run = Callable[..., Result]


@pytest.fixture
def summary() -> Summary:
    tests = [TestResult("a.py::test_a", "passed", attempts=[Attempt(duration_s=1.0)])]
    return Summary(SessionInfo(rootdir="shop"), tests)


@pytest.fixture
def summary_file(tmp_path: Path, summary: Summary) -> Path:
    path = tmp_path / "summary.json"
    write_json(summary, path)
    return path


def test_page_is_rendered_from_the_summary(
    run: Run, summary: Summary, summary_file: Path, tmp_path: Path
) -> None:
    """The page is the one the run would have written; its path alone is on standard output."""
    target = tmp_path / "page.html"
    result = run("report", str(summary_file), "-o", str(target))
    assert (result.exit_code, result.stdout) == (ExitCode.OK, f"{target}\n")
    assert result.stderr == "1 test, 1 attempt\n"
    assert target.read_text(encoding="utf-8") == render(summary)


def test_dashes_are_standard_input_and_output(
    run: Run, summary: Summary, summary_file: Path
) -> None:
    """The command works in a pipe."""
    result = run("report", "-", "-o", "-", stdin=summary_file.read_text(encoding="utf-8"))
    assert (result.exit_code, result.stdout) == (ExitCode.OK, render(summary))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"{", "this is not JSON", id="not JSON"),
        pytest.param(b"[" * 100_000, "this is not JSON", id="bottomless"),
        pytest.param(b"\xff\xfe\x00", "this is not JSON", id="binary"),
        pytest.param(b"{}", "this is not a summary", id="other JSON"),
        pytest.param(b'{"schema": 9, "tests": []}', "schema 9", id="newer"),
    ],
)
def test_unreadable_summary(run: Run, tmp_path: Path, content: bytes, said: str) -> None:
    """A wrong file is named with its fault, ends with 3, and leaves the old page alone."""
    source, target = tmp_path / "in.json", tmp_path / "out.html"
    source.write_bytes(content)
    target.write_text("old")
    result = run("report", str(source), "-o", str(target))
    assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
    assert said in result.stderr
    assert str(source) in result.stderr
    assert target.read_text() == "old"


def test_missing_summary(run: Run, tmp_path: Path) -> None:
    """A missing file ends with 3 and is named."""
    result = run("report", str(tmp_path / "none.json"))
    assert result.exit_code == ExitCode.UNREADABLE
    assert "none.json" in result.stderr
    assert "No such file" in result.stderr


def test_unwritable_page(run: Run, summary_file: Path) -> None:
    """A page that cannot be written is a wrong use of --output."""
    result = run("report", str(summary_file), "-o", str(summary_file / "page.html"))
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "--output" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("report",), ("report", "a", "--nonsense"), ("doctor", "--format", "xml")],
    ids=" ".join,
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """A wrong command line ends with 2 and says so on standard error."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "Error" in result.stderr


def test_version_and_help(run: Run) -> None:
    """The version is one line; the help names the commands and the exit statuses."""
    assert run("--version").stdout.startswith("pytest-resilience ")
    text = run("-h").stdout
    for word in ("doctor", "report", "Exit status", "3 unreadable"):
        assert word in text


def test_command_runs_as_a_module_without_heavy_imports() -> None:
    """``python -m pytest_resilience.cli`` starts without Selenium, DuckDB, psutil and jinja2."""
    program = (
        "import sys; from pytest_resilience.cli import cli\n"
        "heavy = {'selenium', 'duckdb', 'psutil', 'jinja2', 'pytest'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    shown = subprocess.run(
        [sys.executable, "-m", "pytest_resilience.cli", "--version"],
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.startswith("pytest-resilience ")
