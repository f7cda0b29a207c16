"""The example, as `scripts/demo` runs it: real faults, one true bug, one report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.acceptance import lab
from tests.acceptance.inner import counted_everywhere, remains
from tests.conftest import SuiteRun

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_shop_survives_its_faults_and_shows_its_bug(tmp_path: Path, temporary: Path) -> None:
    """46 passed, 8 recovered, 1 failed, counted alike everywhere; the report opens cleanly."""
    out = tmp_path / ".resilience"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "examples/shop"),
            *("-c", "examples/shop/pytest.ini", "--rootdir", "examples/shop"),
            *("-p", "no:cacheprovider", "-p", "pytest_resilience.plugin.main"),
            *("--resilience", "--with-faults"),
            *("--resilience-db", str(out / "history.duckdb")),
            *("--resilience-report", str(out / "report.html")),
            *("--resilience-json", str(out / "summary.json")),
        ],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(temporary),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    run = SuiteRun(done.returncode, done.stdout, tmp_path, summary)
    assert counted_everywhere(run) == [{"passed": 46, "recovered": 8, "failed": 1}] * 4, run.output
    assert run.status == 1
    assert remains(temporary) == []
    assert console_of(out / "report.html") == []


def console_of(page: Path) -> list[str]:
    """Return what the browser's console says of `page`, once it is ready."""
    options = webdriver.ChromeOptions()
    for argument in lab.ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options)
    try:
        driver.get(page.as_uri())
        ready = "return document.documentElement.dataset.ready"
        WebDriverWait(driver, 120).until(lambda d: d.execute_script(ready))
        return [entry["message"] for entry in driver.get_log("browser")]
    finally:
        driver.quit()
