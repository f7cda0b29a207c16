"""What was injected is undone, however the test that it was injected into ends."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.inner import processes_left, processes_of, remains, sources
from tests.acceptance.victims import is_stopped
from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

SUITE = """
    import os
    import signal

    import lab
    import pytest

    @pytest.fixture
    def driver():
        driver = lab.launch()
        lab.give_up_soon(driver, 9)
        yield driver
        driver.quit()

    @pytest.mark.inject_failure("hang", at="after:getTitle")
    def test_ended(driver):
        lab.visit(driver)
        browser = lab.main_process(driver)
        stopped = browser.status() == "stopped"
        lab.log(f"{browser.pid} {'stopped' if stopped else 'runs'}")
        if stopped:
            {end}

    def test_after(driver):
        lab.visit(driver)
"""


def stopped(temporary: Path, *, within_s: float = 60.0) -> list[psutil.Process]:
    """Return what is still stopped after a while."""
    deadline = time.monotonic() + within_s
    while True:
        found = [p for p in processes_of(temporary) if is_stopped(p)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_an_interrupt_leaves_nothing_stopped_and_no_browser(
    run_suite: RunSuite, temporary: Path
) -> None:
    suite = sources({"test_it.py": SUITE.replace("{end}", "raise KeyboardInterrupt")})
    run = run_suite(suite, resilience=False, env={"TMPDIR": str(temporary)})
    assert run.status == pytest.ExitCode.INTERRUPTED, run.output
    assert run.log()[0].endswith(" stopped")
    assert processes_left(temporary) == []


def test_a_worker_that_is_killed_leaves_nothing_stopped_and_its_test_is_recovered(
    run_suite: RunSuite, temporary: Path
) -> None:
    suite = sources({"test_it.py": SUITE.replace("{end}", "os.kill(os.getpid(), signal.SIGKILL)")})
    run = run_suite(suite, "-n", "1", plugins=("xdist.plugin",), env={"TMPDIR": str(temporary)})
    assert run.verdicts["test_ended"] == "recovered", run.output
    assert run.verdicts["test_after"] == "passed"
    assert run.log()[0].endswith(" stopped")
    assert stopped(temporary) == []
    # The worker that takes its place has a folder of pytest's own there.
    left = [text for text in remains(temporary) if not text.startswith("pytest-of-")]
    assert left == [], run.output
