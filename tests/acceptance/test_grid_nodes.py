"""A real Grid with two nodes, four workers, and one node that goes away while they are at it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.grid import Grid
from tests.acceptance.inner import sources

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

#: Seconds a node may take to end, and sessions to be given back.
END_LIMIT_S = 60.0
SUITE = """
    import os
    import shutil
    import time

    import lab
    import pytest
    from selenium import webdriver

    def connect():
        options = webdriver.ChromeOptions()
        for argument in lab.ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium")
        return webdriver.Remote(os.environ["GRID"], options=options)

    @pytest.fixture(scope="session")
    def driver():
        driver = connect()
        yield driver
        driver.quit()

    @pytest.fixture
    def another():
        driver = connect()
        yield driver
        driver.quit()

    @pytest.mark.parametrize("number", range(12))
    def test_it(driver, number):
        lab.log(f"test {number}")
        for _ in range(3):
            lab.visit(driver)
            time.sleep(0.3)

    @pytest.mark.parametrize("number", range(4))
    def test_with_another_browser(driver, another, number):
        lab.visit(driver)
        lab.visit(another)
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A hub whose nodes each have room for all workers."""
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    # By default a hub goes on offering a node that is gone for up to two minutes.
    grid = Grid(tmp_path_factory.mktemp("grid"), temporary, "--healthcheck-interval", "5")
    grid.add_node()
    yield grid
    grid.close()
    shutil.rmtree(temporary, ignore_errors=True)


def drain(grid: Grid) -> None:
    """Let the first node end when it has no session any more."""
    grid.drain(grid.nodes_up()[0]["id"])


def kill(grid: Grid) -> None:
    """SIGKILL a node; its browsers are left, and nobody can reach them any more."""
    os.killpg(next(node for node in grid.nodes if node.poll() is None).pid, signal.SIGKILL)


@pytest.mark.parametrize("strike", [drain, kill])
def test_all_tests_pass_though_a_node_is_lost(
    strike: Callable[[Grid], None], grid: Grid, run_suite: RunSuite, tmp_path: Path
) -> None:
    """New sessions start at the other node, which gets all of them back."""
    grid.add_node()
    log = tmp_path / "log.txt"
    over = threading.Event()

    def wait_and_strike() -> None:
        while not over.wait(0.05):
            if log.exists() and len(log.read_text("utf-8").splitlines()) >= 6:
                strike(grid)
                return

    thread = threading.Thread(target=wait_and_strike)
    thread.start()
    try:
        run = run_suite(
            sources({"test_it.py": SUITE}),
            *("-n", "4", "--resilience-hang-timeout=5"),
            plugins=("xdist.plugin",),
            env={"GRID": grid.url},
        )
    finally:
        over.set()
        thread.join()
    assert run.status == 0, run.output
    assert set(run.counts) <= {"passed", "recovered"}, run.output
    assert sum(run.counts.values()) == 16
    assert run.summary["events_lost"] == 0
    # That people are alerted when the grid's health falls is no fault of ours.
    warnings = run.summary["details"]["warnings"]
    assert [w for w in warnings if not w.startswith("the health of")] == []
    deadline = time.monotonic() + END_LIMIT_S
    while (len(grid.nodes_up()), grid.sessions()) != (1, 0) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (len(grid.nodes_up()), grid.sessions()) == (1, 0)
