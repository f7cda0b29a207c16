"""A suite full of genuine failures in a healthy browser: none is excused, none is run again."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.inner import Run, told

if TYPE_CHECKING:
    from tests.conftest import SuiteRun

pytestmark = pytest.mark.browser

SUITE = Path(__file__).parent / "suites" / "genuine_failures.py"
FILES = {"test_it.py": "@genuine_failures", "faulty_app.py": "@faulty_app"}
#: What a failure may be called that excuses nobody; a strict xfail that passed raised nothing.
NOBODYS_EXCUSE = ("product", "page", "test_code", "unknown", None, "")


def test_every_genuine_failure_is_final_on_its_first_attempt(run_browsers: Run) -> None:
    """Each fails once; no browser but the three that the tests start themselves is started."""
    run: SuiteRun = run_browsers(FILES)
    results = told(run)
    assert results.pop("test_all_is_well") == ("passed", "passed")
    assert len(results) >= 60
    wrong = {name: result for name, result in results.items() if not is_final(run, name)}
    assert wrong == {}, run.output
    assert run.counts == {"passed": 1, "failed": len(results)}
    assert run.status == 1
    assert len(run.log("profiles.txt")) == 3
    # Before any test is counted as one that failed, it has to be one that was written to fail.
    assert {name.partition("[")[0].rpartition("::")[2] for name in results} == written_tests()


def is_final(run: SuiteRun, name: str) -> bool:
    attempts = run.attempts(name)
    return (
        run.verdicts[name] == "failed"
        and len(attempts) == 1
        and attempts[0]["outcome"] == "failed"
        and not attempts[0]["strategy"]
        and attempts[0]["error_type"] in NOBODYS_EXCUSE
    )


def written_tests() -> set[str]:
    """Return the names of the tests in the suite, except the one that passes."""
    tree = ast.parse(SUITE.read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")} - {"test_all_is_well"}
