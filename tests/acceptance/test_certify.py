"""A small suite with real browsers under real faults: what its scorecard says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.acceptance.inner import remains, sources

pytestmark = pytest.mark.browser

SUITE = """
    import lab
    import pytest

    @pytest.fixture
    def driver():
        driver = lab.{launch}()
        yield driver
        driver.quit()

    def test_recovers(driver):
        lab.visit(driver)

    @pytest.mark.no_resilience
    def test_does_not(driver):
        lab.visit(driver)

    def test_without_a_browser():
        pass
"""
ROOT = Path(__file__).parents[2]


# A slow network costs nothing but time; a command that is lost costs the test that is not run
# again.
BROWSERS = [pytest.param("launch", "survived", "ok", 75.0, id="chromium")]
if os.environ.get("ACCEPTANCE") == "full":
    BROWSERS.append(pytest.param("launch_firefox", "recovered", "lost", 50.0, id="firefox"))


@pytest.mark.parametrize(("launch", "expected", "grade", "score"), BROWSERS)
def test_what_is_recovered_and_what_is_lost(
    tmp_path: Path, launch: str, expected: str, grade: str, score: float
) -> None:
    """The exit status tells that a test was lost to a failure that others recover from.

    What is expected of the others is what the fault of that browser should come to.
    """
    import textwrap

    for name, text in sources({"test_it.py": SUITE.replace("{launch}", launch)}).items():
        (tmp_path / name).write_text(textwrap.dedent(text), "utf-8")
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest_resilience.cli", "certify", "--format", "json"),
                *("--fault", "crash:severe", "--fault", "connection_failure:mild", "test_it.py"),
            ],
            cwd=tmp_path,
            env={**env, "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        left = remains(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert left == []
    told = json.loads(done.stdout)
    assert (told["certified"], told["tests"]) == (False, 3)
    crash, other = told["faults"]
    assert (crash["struck"], crash["recovered"], crash["lost"]) == (2, 1, 1)
    assert crash["tests"] == ["test_it.py::test_does_not"]
    assert crash["recovery_s"] > 0
    assert crash["grade"] == "lost"
    assert (other["struck"], other["expected"]) == (2, expected)
    assert other["survived"] + other["recovered"] == (2 if grade == "ok" else 1)
    assert other["grade"] == grade
    assert told["score"] == score
