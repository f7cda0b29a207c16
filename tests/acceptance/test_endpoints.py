"""Two real Grids that stand in for each other, and one that comes back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.grid import Grid
from tests.acceptance.inner import sources, told

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

MakeGrid = Callable[[], Grid]


@pytest.fixture
def make_grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeGrid]:
    """Return a function that starts a Grid of its own."""
    made: list[tuple[Grid, Path]] = []

    def make() -> Grid:
        temporary = Path(tempfile.mkdtemp(prefix="pr-"))
        grid = Grid(tmp_path_factory.mktemp("grid"), temporary, slots=3)
        made.append((grid, temporary))
        return grid

    yield make
    for grid, temporary in made:
        grid.close()
        shutil.rmtree(temporary, ignore_errors=True)


CONFTEST = """
    import os
    import shutil

    import lab
    import pytest
    from selenium import webdriver

    def connect():
        options = webdriver.ChromeOptions()
        for argument in lab.ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium")
        driver = webdriver.Remote(os.environ["GRID"], options=options)
        lab.log(driver.command_executor._client_config.remote_server_addr)
        return driver

    @pytest.fixture(scope="session")
    def driver():
        driver = connect()
        yield driver
        driver.quit()

    @pytest.fixture(scope="session")
    def catalogue():
        with lab.logged("catalogue"):
            yield

    @pytest.fixture
    def another():
        driver = connect()
        yield driver
        driver.quit()
"""
FAILING_OVER = """
    import os
    import signal

    import lab
    import pytest

    def test_before(driver, catalogue):
        lab.visit(driver)

    @pytest.mark.resilience(strategies=["{strategy}"])
    def test_lost(driver, catalogue):
        if lab.due("call"):
            os.kill(int(os.environ["HUB"]), signal.SIGKILL)
        lab.visit(driver)

    def test_after(driver, another):
        lab.visit(driver)
        lab.visit(another)
"""


@pytest.mark.parametrize("strategy", ["node_switch", "coordinator_recovery"])
def test_a_grid_that_dies_is_replaced_by_the_next_one(
    strategy: str, make_grid: MakeGrid, run_suite: RunSuite
) -> None:
    """New sessions start at the other Grid, those of later tests too; nothing else is rebuilt."""
    dying, spare = make_grid(), make_grid()
    run = run_suite(
        sources({"conftest.py": CONFTEST, "test_it.py": FAILING_OVER.format(strategy=strategy)}),
        f"--resilience-endpoints={dying.url},{spare.url}",
        env={
            "GRID": dying.url,
            "HUB": str(dying.hub.pid),
            "PLAN": '{"test_lost": ["call", "hub"]}',
        },
    )
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_lost": ("recovered", f"rerun in call coordinator {strategy}", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    assert run.log() == [dying.url, "+catalogue", spare.url, spare.url, "-catalogue"]
    assert run.status == 0


COMING_BACK = """
    import os
    import signal
    import threading

    import lab
    import pytest

    def test_before(driver):
        lab.visit(driver)
        # The watchdog must have come to know what it will miss.
        import time
        time.sleep(4)

    @pytest.mark.resilience(strategies=["coordinator_recovery"])
    def test_silent(driver):
        if lab.due("call"):
            hub = int(os.environ["HUB"])
            os.kill(hub, signal.SIGSTOP)
            threading.Timer(12, os.kill, (hub, signal.SIGCONT)).start()
        lab.visit(driver)
"""


def test_a_grid_that_comes_back_is_waited_for(make_grid: MakeGrid, run_suite: RunSuite) -> None:
    """It answers nothing for twelve seconds: one attempt is lost, not four."""
    grid = make_grid()
    run = run_suite(
        sources({"conftest.py": CONFTEST, "test_it.py": COMING_BACK}),
        "--resilience-hang-timeout=2",
        env={
            "GRID": grid.url,
            "HUB": str(grid.hub.pid),
            "PLAN": '{"test_silent": ["call", "hub"]}',
        },
    )
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_silent": ("recovered", "rerun in call coordinator coordinator_recovery", "passed"),
    }, run.output
    assert set(run.log()) <= {grid.url, "+catalogue", "-catalogue"}
