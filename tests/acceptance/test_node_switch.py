"""A real Grid of two nodes, one of which is bad: new sessions avoid it where that is possible."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.grid import Grid
from tests.acceptance.inner import sources, told

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

SUITE = """
    import os, shutil

    import lab
    import psutil
    import pytest
    from selenium import webdriver

    def connect():
        options = webdriver.ChromeOptions()
        for argument in lab.ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium")
        driver = webdriver.Remote(os.environ["GRID"], options=options)
        lab.log(str(driver_of(driver).ppid()))
        return driver

    def driver_of(driver):
        return psutil.Process(driver.capabilities["goog:processID"]).parent()

    @pytest.fixture(scope="session")
    def driver():
        driver = connect()
        yield driver
        driver.quit()

    def test_before(driver):
        lab.visit(driver)

    @pytest.mark.resilience(strategies=["node_switch"])
    def test_lost(driver):
        if lab.due("call"):
            victim = driver_of(driver)
            victim.kill()
            psutil.wait_procs([victim], 10)
        lab.visit(driver)

    @pytest.mark.parametrize("number", range(3))
    def test_after(driver, number):
        another = connect()
        lab.visit(another)
        another.quit()
"""


@pytest.fixture
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A hub without nodes."""
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    grid = Grid(tmp_path_factory.mktemp("grid"), temporary)
    yield grid
    grid.close()
    shutil.rmtree(temporary, ignore_errors=True)


def test_a_bad_node_is_avoided_by_what_tells_the_nodes_apart(
    grid: Grid, run_suite: RunSuite
) -> None:
    """A leaked slot makes it the fuller one, so it is not the grid that avoids it: see below."""
    nodes = {str(grid.add_node(mark=mark).pid) for mark in ("a", "b")}
    environment = {"GRID": grid.url, "PLAN": '{"test_lost": ["call", "driver"]}'}
    run = run_suite(sources({"test_it.py": SUITE}), env=environment)
    assert told(run)["test_lost"] == (
        "recovered",
        "rerun in call driver node_switch",
        "passed",
    ), run.output
    assert {run.verdicts[f"test_after[{n}]"] for n in range(3)} == {"passed"}, run.output
    bad, *others = run.log()
    assert nodes - {bad} == set(others)
    assert len(others) == 4


def test_where_nothing_tells_nodes_apart_none_can_be_avoided(
    grid: Grid, run_suite: RunSuite
) -> None:
    """So that is not tried: no attempt is spent on what would change nothing."""
    grid.add_node()
    grid.add_node()
    environment = {"GRID": grid.url, "PLAN": '{"test_lost": ["call", "driver"]}'}
    run = run_suite(sources({"test_it.py": SUITE}), env=environment)
    assert told(run)["test_lost"] == ("unrecovered", "failed in call driver"), run.output
