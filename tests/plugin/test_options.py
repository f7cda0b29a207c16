"""Options from every source: bad ones are refused, bad paths spoil nothing but themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPOSITORY, RunInner

# Runs pytest once per case in one process, and tells status and output of each.
DRIVER = """
import contextlib, io, json, os, sys
import pytest

answers = []
for case in json.load(sys.stdin):
    os.environ.update(case.get("env", {}))
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = pytest.main(["-p", "pytest_resilience.plugin.main", "--resilience", *case["args"]])
    answers.append([int(status), output.getvalue()])
    for name in case.get("env", {}):
        del os.environ[name]
print(json.dumps(answers))
"""


def run_cases(folder: Path, cases: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return exit status and output of pytest for each of `cases`, run in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=folder,
        input=json.dumps(cases),
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(REPOSITORY),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "COLUMNS": "300",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return [(status, output) for status, output in json.loads(done.stdout)]


NUMBER = "a number of seconds, 0 or more"
# Arguments or environment, and what the message must say.
BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown choice": (
        {"args": ["--resilience-retry=infrastucture"]},
        (
            *("--resilience-retry", "'infrastucture'", "infrastructure, ambiguous, all"),
            "Did you mean 'infrastructure'?",
        ),
    ),
    "no number": (
        {"args": ["--resilience-max-attempts=many"]},
        ("--resilience-max-attempts", "'many'", "a whole number from 1 to 100"),
    ),
    "no attempt at all": (
        {"args": ["--resilience-max-attempts=0"]},
        ("--resilience-max-attempts", "'0'", "from 1 to 100"),
    ),
    "negative attempts": (
        {"args": ["--resilience-max-attempts=-1"]},
        ("--resilience-max-attempts", "'-1'", "from 1 to 100"),
    ),
    "half an attempt": (
        {"args": ["--resilience-max-attempts=1.5"]},
        ("--resilience-max-attempts", "'1.5'", "a whole number"),
    ),
    "level too high": (
        {"args": ["--resilience-max-level=6"]},
        ("--resilience-max-level", "'6'", "from 1 to 5"),
    ),
    "not a number": (
        {"args": ["--resilience-budget=nan"]},
        ("--resilience-budget", "'nan'", NUMBER),
    ),
    "infinity": (
        {"args": ["--resilience-budget=inf"]},
        ("--resilience-budget", "'inf'", NUMBER),
    ),
    "negative seconds": (
        {"args": ["--resilience-budget=-3"]},
        ("--resilience-budget", "'-3'", NUMBER),
    ),
    "empty path": (
        {"args": ["--resilience-report="]},
        ("--resilience-report", "''", "a path to a file"),
    ),
    "choice in the ini file": (
        {"args": ["-o", "resilience_retry=some"]},
        ("ini key resilience_retry", "'some'", "infrastructure, ambiguous, all"),
    ),
    "number in the ini file": (
        {"args": ["-o", "resilience_max_attempts=nan"]},
        ("ini key resilience_max_attempts", "'nan'", "a whole number from 1 to 100"),
    ),
    "flag in the ini file": (
        {"args": ["-o", "resilience_strict=perhaps"]},
        ("ini key resilience_strict", "'perhaps'", "true or false"),
    ),
    "choice in the environment": (
        {"args": [], "env": {"PYTEST_RESILIENCE_RETRY": "some"}},
        ("PYTEST_RESILIENCE_RETRY", "'some'", "infrastructure, ambiguous, all"),
    ),
    "number in the environment": (
        {"args": [], "env": {"PYTEST_RESILIENCE_MAX_LEVEL": "-1"}},
        ("PYTEST_RESILIENCE_MAX_LEVEL", "'-1'", "from 1 to 5"),
    ),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What pytest answers to each bad value, in a folder with a test in it."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "test_it.py").write_text(
        "from tests.plugin.breakage import note\ndef test_runs(): note('ran')\n"
    )
    answers = run_cases(folder, [case for case, _expected in BAD.values()])
    assert not (folder / "test_it.txt").exists(), "a test ran in spite of a bad value"
    assert not (folder / ".resilience").exists()
    return dict(zip(BAD, answers, strict=True))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_a_usage_error_that_names_option_value_and_valid_values(
    refusals: dict[str, tuple[int, str]], name: str
) -> None:
    status, output = refusals[name]
    assert status == 4, output
    message = next(line for line in output.splitlines() if line.startswith("ERROR: "))
    for part in BAD[name][1]:
        assert part in message
    assert "Traceback" not in output


PATHS = """
    from tests.plugin.breakage import lose_browser, note

    def test_passes():
        pass

    def test_recovers():
        if note("call") == 1:
            lose_browser()

    def test_wrong():
        assert "price" == "9.99"
"""
VERDICTS = {"test_passes": "passed", "test_recovers": "recovered", "test_wrong": "failed"}


def _warnings(run: SuiteRun) -> str:
    return "\n".join(line for line in run.output.splitlines() if line.startswith("warning:"))


@pytest.mark.parametrize("option", ["--resilience-report", "--resilience-db"])
@pytest.mark.parametrize("path", [".", "test_it.py/below", "/proc/nowhere/file"])
def test_a_path_that_cannot_be_written_is_a_warning_and_costs_no_verdict(
    run_inner: RunInner, option: str, path: str
) -> None:
    run = run_inner(PATHS, f"{option}={path}")
    assert run.verdicts == VERDICTS, run.output
    assert run.status == 1
    warnings = _warnings(run)
    assert path.strip("./") in warnings, run.output
    assert f"{option}: " in warnings, run.output
    assert "INTERNALERROR" not in run.output
    assert "pytest-resilience itself failed" not in run.output
    assert "1 failed, 1 passed, 1 rerun, 1 recovered" in run.output.splitlines()[-1]


def test_a_json_path_that_is_a_folder_is_a_warning_too(run_inner: RunInner) -> None:
    run = run_inner(PATHS, "--resilience-json=.")
    assert run.status == 1
    assert "json" in _warnings(run).lower(), run.output
    assert "verdicts: 1 passed, 1 recovered, 1 failed" in run.output


def test_the_command_line_wins_over_the_environment_and_that_over_the_ini_file(
    run_inner: RunInner,
) -> None:
    suite = """
        from tests.plugin.breakage import lose_browser, note

        def test_lost():
            note("call")
            lose_browser()
    """
    ini = {"pytest.ini": "[pytest]\nresilience_max_attempts = 1\n", "test_it.py": suite}
    env = {"PYTEST_RESILIENCE_MAX_ATTEMPTS": "2"}
    calls = [
        len(run.log("test_it.txt"))
        for run in (
            run_inner(ini),
            run_inner(ini, env=env),
            run_inner(ini, "--resilience-max-attempts=3", env=env),
        )
    ]
    assert calls == [1, 2, 3]


def test_the_ini_file_alone_can_switch_the_plugin_on(run_inner: RunInner) -> None:
    run = run_inner(
        {"pytest.ini": "[pytest]\nresilience = true\n", "test_it.py": "def test_passes(): pass"},
        resilience=False,
    )
    assert "verdicts: 1 passed" in run.output
    assert (run.folder / ".resilience" / "report.html").exists()
