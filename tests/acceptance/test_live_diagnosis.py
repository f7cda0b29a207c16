"""Every real fault on a real browser is called what it is, and by its own evidence.

The faults are in `live_faults.py`; `python -m benchmarks.diagnosis` prints what is measured here
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
from tests.acceptance.inner import Run, told
from tests.acceptance.live import Fault, Lab, diagnose, starts
from tests.acceptance.live_faults import CHROMIUM, FIREFOX

if TYPE_CHECKING:
    from tests.conftest import SuiteRun

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Browsers that are shared by faults that leave them as they were."""
    # Chromium puts a socket in it, whose path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    registry = SessionRegistry(quit_limit_s=4.0)
    registry.watch()
    lab = Lab(registry, starts(), folder)
    yield lab
    lab.close()
    registry.unwatch()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    "fault", [*CHROMIUM, *FIREFOX], ids=lambda fault: f"{fault.browser}-{fault.name}"
)
def test_a_fault_is_called_what_it_is(lab: Lab, fault: Fault) -> None:
    """Its error type, whether it excuses the product, and whether it is run again."""
    found = diagnose(fault, lab)
    assert found.right, f"{found.exception} -> {found.diagnosis}; {found.told()}"
    assert len(found.evidence) or fault.name == "driver missing"


def test_names_of_faults_are_used_once() -> None:
    """A line of the table speaks of one fault."""
    names = [(fault.browser, fault.name) for fault in (*CHROMIUM, *FIREFOX)]
    assert len(names) == len(set(names))


VANISHING = """
    import faulty_app, lab, pytest

    @pytest.fixture(scope="session")
    def driver():
        driver = lab.launch()
        yield driver
        driver.quit()

    @pytest.fixture(scope="session")
    def port():
        server = faulty_app.Server().start()
        yield server
        server.stop()

    def test_reaches_it(driver, port):
        driver.get(port.url)
        assert driver.title == "Shop"

    def test_while_it_is_gone(driver, port):
        lab.log("attempt")
        attempt = lab.HERE.joinpath("log.txt").read_text().count("attempt")
        if attempt == 1:
            port.stop()
        if attempt == 3 and {back}:
            faulty_app.Server(port.server_port).start()
        driver.set_page_load_timeout(20)
        driver.get(port.url)
        assert driver.title == "Shop"
"""
FILES = {"faulty_app.py": "@faulty_app"}


def test_an_application_that_comes_back_is_waited_for(run_browsers: Run) -> None:
    """The tests that met it away are recovered; no browser is restarted for it."""
    run: SuiteRun = run_browsers({**FILES, "test_it.py": VANISHING.replace("{back}", "True")})
    assert told(run)["test_while_it_is_gone"] == (
        "recovered",
        *["rerun in call page delayed_retry"] * 2,
        "passed",
    ), run.output
    assert len(run.log("profiles.txt")) == 1


def test_an_application_that_stays_away_is_not_excused(run_browsers: Run) -> None:
    """It is waited for as often as allowed, and then has failed: nothing else is to blame."""
    run: SuiteRun = run_browsers({**FILES, "test_it.py": VANISHING.replace("{back}", "False")})
    assert told(run)["test_while_it_is_gone"] == (
        "failed",
        *["rerun in call page delayed_retry"] * 3,
        "failed in call page",
    ), run.output
    assert len(run.log("profiles.txt")) == 1
