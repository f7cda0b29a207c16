"""Commands that hang behind a real Selenium Grid, whatever part of it is stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from selenium import webdriver

from pytest_resilience.browser import hangs, latch, probes
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.classifier import classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorType, Failure
from tests.acceptance.grid import Grid, acquaint, stopped
from tests.acceptance.inner import told
from tests.acceptance.lab import ARGUMENTS, PAGE

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

HANG_TIMEOUT_S = 3.0
#: Selenium alone has no limit at all on a grid.
FAR_TOO_LONG_S = 60.0


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A hub with two nodes, of which one may be stopped or lost."""
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    grid = Grid(tmp_path_factory.mktemp("grid"), temporary)
    try:
        grid.add_node()
        grid.add_node()
        yield grid
    finally:
        grid.close()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def registry() -> Iterator[SessionRegistry]:
    registry = SessionRegistry(hang_timeout_s=HANG_TIMEOUT_S)
    registry.watch()
    yield registry
    registry.reap_all()
    registry.unwatch()


Connect = Callable[[], "tuple[webdriver.Remote, DriverSession]"]


@pytest.fixture
def connect(grid: Grid, registry: SessionRegistry) -> Connect:
    """Return a function that starts a session which the watchdog has come to know."""

    def start() -> tuple[webdriver.Remote, DriverSession]:
        driver = webdriver.Remote(grid.url, options=options())
        driver.get(PAGE)
        session = registry.session_of(driver)
        assert session is not None
        acquaint(registry, session)
        return driver, session

    return start


def options() -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or "chromium"
    return options


def pid_of(part: str, grid: Grid, driver: webdriver.Remote) -> int:
    browser = int(driver.capabilities["goog:processID"])
    if part == "browser":
        return browser
    if part == "driver":
        return psutil.Process(browser).ppid()
    return grid.hub.pid if part == "hub" else grid.node_of(browser).pid


def hung(command: Callable[[], object]) -> hangs.CommandHung:
    begun = time.monotonic()
    with pytest.raises(hangs.CommandHung) as caught:
        command()
    assert time.monotonic() - begun < FAR_TOO_LONG_S
    return caught.value


STOPPED = {
    "browser": (ErrorType.BROWSER, "devtools"),
    "driver": (ErrorType.DRIVER, "driver_status"),
    "node": (ErrorType.WORKER, "node"),
    "hub": (ErrorType.COORDINATOR, "grid"),
}


@pytest.mark.parametrize("part", STOPPED)
def test_what_is_stopped_ends_the_command(part: str, grid: Grid, connect: Connect) -> None:
    """And is named by the error, the evidence and the diagnosis; its quit is bounded."""
    expected, probe = STOPPED[part]
    driver, session = connect()
    with stopped(pid_of(part, grid, driver)):
        error = hung(lambda: driver.get(PAGE))
        evidence = Evidence(probes.probe(session))
        hung(lambda: driver.title)
        begun = time.monotonic()
        driver.quit()
        assert time.monotonic() - begun < FAR_TOO_LONG_S
    assert Evidence(session.hang_evidence).answer(probe) == "silent"
    fact = latch.fact_of(error)
    found = classify(Failure("t", "call", (fact,), command="get", remote=True), evidence)
    assert (found.error_type, found.rule[:5]) == (expected, "hung-")
    assert probes.broken(evidence) == (part != "hub")
    again, _session = connect()
    again.quit()


def test_a_session_survives_a_hub_that_was_stopped(grid: Grid, connect: Connect) -> None:
    """Its command was ended, nothing else; what was thought of it is forgotten."""
    driver, session = connect()
    with stopped(grid.hub.pid):
        hung(lambda: driver.get(PAGE))
    driver.get(PAGE)
    assert driver.title == "shop"
    assert (session.hang_evidence, session.first_failure) == ((), None)
    driver.quit()


def test_a_new_session_does_not_wait_for_a_stopped_hub(
    grid: Grid, connect: Connect, registry: SessionRegistry
) -> None:
    driver, _session = connect()
    mark = registry.mark()
    with stopped(grid.hub.pid):
        error = hung(lambda: webdriver.Remote(grid.url, options=options()))
    assert "newSession: ended after" in str(error.msg)
    assert [failed.error.type_name for failed in registry.failed_starts_since(mark - 1)] == [
        "CommandHung"
    ]
    driver.quit()


@pytest.mark.parametrize("part", ["browser", "driver", "node", "hub"])
def test_a_short_pause_is_not_a_hang(part: str, grid: Grid, connect: Connect) -> None:
    driver, session = connect()
    pid = pid_of(part, grid, driver)
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(2.0, lambda: os.kill(pid, signal.SIGCONT)).start()
    driver.get(PAGE)
    assert driver.title == "shop"
    assert session.care.hang is None
    driver.quit()


def test_what_takes_long_is_not_a_hang(connect: Connect) -> None:
    driver, session = connect()
    script = f"setTimeout(() => arguments[0]('done'), {4_000 * HANG_TIMEOUT_S:.0f})"
    driver.set_script_timeout(60)
    session.timeouts.clear()
    assert driver.execute_async_script(script) == "done"
    assert session.care.hang is None
    driver.quit()


def test_a_client_without_a_limit_gets_one(connect: Connect) -> None:
    """Beyond the driver's longest, with its repetitions switched off; both are told."""
    driver, session = connect()
    assert session.adjustments == [
        "urllib3's repetition of GET and DELETE switched off",
        "client time-out set to 600 s, there was none",
        "client time-out set to 310 s, there was none",
    ]
    driver.quit()


INNER = """
    import os, shutil, signal, threading, time

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
        lab.visit(driver)
        time.sleep(4)
        yield driver
        driver.quit()

    def test_before(driver):
        lab.visit(driver)

    def test_hung(driver):
        if lab.due("call"):
            browser = driver.capabilities["goog:processID"]
            part = os.environ["PART"]
            pid = {
                "browser": lambda: browser,
                "driver": lambda: psutil.Process(browser).ppid(),
                "node": lambda: psutil.Process(psutil.Process(browser).ppid()).ppid(),
            }[part]()
            with open("stopped.txt", "w") as file:
                file.write(str(pid))
            os.kill(pid, signal.SIGSTOP)
            if part == "node":
                # As long as the hub does not know, it sends new sessions there, too.
                threading.Timer(15, lambda: os.kill(pid, signal.SIGCONT)).start()
        lab.visit(driver)

    def test_after(driver):
        lab.visit(driver)
"""


@pytest.mark.parametrize(
    ("part", "expected"), [("browser", "browser"), ("driver", "driver"), ("node", "worker")]
)
def test_a_suite_recovers_from_a_hang_behind_a_grid(
    part: str, expected: str, grid: Grid, run_suite: RunSuite
) -> None:
    """A driver for the whole session hangs in the middle; only that test is run again."""
    lab = (Path(__file__).parent / "lab.py").read_text("utf-8")
    environment = {"GRID": grid.url, "PART": part, "PLAN": '{"test_hung": ["call", "browser"]}'}
    run = run_suite(
        {"test_it.py": INNER, "lab.py": lab},
        "--resilience-hang-timeout=3",
        env=environment,
    )
    # A driver kills a stopped browser whose session it is to end.
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((run.folder / "stopped.txt").read_text()), signal.SIGCONT)
    results = told(run)
    assert results["test_before"] == ("passed", "passed"), run.output
    assert results["test_after"] == ("passed", "passed"), run.output
    verdict, first, last = results["test_hung"]
    assert (verdict, last) == ("recovered", "passed"), run.output
    assert first.startswith(f"rerun in call {expected} "), run.output


def test_a_killed_node_ends_the_command_at_once(grid: Grid, connect: Connect) -> None:
    """That is no hang: the hub says so itself."""
    driver, session = connect()
    node = grid.node_of(int(driver.capabilities["goog:processID"]))
    script = "setTimeout(() => arguments[0]('done'), 20000)"
    driver.set_script_timeout(60)
    threading.Timer(1.0, node.kill).start()
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)connection|execute request|session") as caught:
        driver.execute_async_script(script)
    assert time.monotonic() - begun < FAR_TOO_LONG_S
    found = classify(
        Failure("t", "call", (latch.fact_of(caught.value),), remote=True),
        Evidence(probes.probe(session)),
    )
    assert found.error_type in (ErrorType.WORKER, ErrorType.COORDINATOR)
