"""Every real fault on a real Selenium Grid is called what it is, and by its own evidence.

The faults are in `grid_faults.py`; `python -m benchmarks.diagnosis` prints what is measured here
only by being right or wrong.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.browser.sessions import SessionRegistry
from tests.acceptance.grid_faults import GRID, GridLab
from tests.acceptance.inner import processes_left, sources, told
from tests.acceptance.live import Fault, diagnose

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

HANG_TIMEOUT_S = 3.0
#: Selenium alone waits for ever, a hub that answers says it at once.
FAR_TOO_LONG_S = 60.0


@pytest.fixture(scope="module")
def lab() -> Iterator[GridLab]:
    """Grids that are shared by faults; of all that was started for them nothing is left."""
    # Chromium puts a socket in it, whose path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    registry = SessionRegistry(quit_limit_s=4.0, hang_timeout_s=HANG_TIMEOUT_S)
    registry.watch()
    lab = GridLab(registry, folder)
    yield lab
    lab.close()
    registry.unwatch()
    left = processes_left(folder)
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.mark.parametrize("fault", GRID, ids=lambda fault: f"{fault.browser}-{fault.name}")
def test_a_fault_of_a_grid_is_called_what_it_is(lab: GridLab, fault: Fault) -> None:
    """Error type, layer, whether it is excused, by what evidence, and what has to be replaced."""
    found = diagnose(fault, lab)
    assert found.right, (
        f"{found.exception} -> {found.diagnosis}; {found.told()}; {found.evidence.to_dicts()}"
    )
    assert found.latency_s < FAR_TOO_LONG_S


def test_names_of_faults_are_used_once() -> None:
    """A line of the table speaks of one fault."""
    names = [(fault.browser, fault.name) for fault in GRID]
    assert len(names) == len(set(names))


INNER = """
    import os, shutil

    import lab
    import psutil
    import pytest
    from selenium import webdriver

    @pytest.fixture(scope="session")
    def driver():
        options = webdriver.ChromeOptions()
        for argument in lab.ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium")
        driver = webdriver.Remote(os.environ["GRID"], options=options)
        lab.log(driver.session_id)
        yield driver
        driver.quit()

    def test_before(driver):
        lab.visit(driver)

    def test_lost(driver):
        if lab.due("call"):
            victim = psutil.Process(driver.capabilities["goog:processID"]).parent()
            victim.kill()
            psutil.wait_procs([victim], 10)
        lab.visit(driver)

    def test_after(driver):
        lab.visit(driver)
"""


def test_a_suite_gets_another_session_from_the_grid(lab: GridLab, run_suite: RunSuite) -> None:
    """The driver that served it dies on the node: one new session, and one test run again."""
    environment = {"GRID": lab.grid().url, "PLAN": '{"test_lost": ["call", "driver"]}'}
    run = run_suite(sources({"test_it.py": INNER}), env=environment)
    results = told(run)
    assert results["test_before"] == ("passed", "passed"), run.output
    assert results["test_after"] == ("passed", "passed"), run.output
    verdict, first, *_others, last = results["test_lost"]
    assert (verdict, last) == ("recovered", "passed"), run.output
    assert first.startswith("rerun in call driver "), run.output
    assert len(run.log()) == 2


def test_a_node_that_drains_lets_its_session_finish(lab: GridLab) -> None:
    """A long script there is no hang, and what then fails in the page is the product's."""
    fault = Fault(
        "missing element", work_while_draining, ("product",), False, browser="standalone",
        spends=True, evidence={"grid": "ok", "session": "ok"}, broken=False,
    )  # fmt: skip
    found = diagnose(fault, lab)
    assert found.right, f"{found.exception} -> {found.diagnosis}; {found.told()}"


def work_while_draining(lab: GridLab) -> object:
    driver = lab.browser("standalone")
    lab.standalone().drain()
    driver.set_script_timeout(60)
    lab.registry.session_of(driver).timeouts.clear()
    script = f"setTimeout(() => arguments[0]('done'), {2_000 * HANG_TIMEOUT_S:.0f})"
    assert driver.execute_async_script(script) == "done"
    return driver.find_element("id", "basket")
