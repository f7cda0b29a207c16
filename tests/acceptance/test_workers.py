"""Real browsers on many workers that are killed, or on which nothing works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import worker_kills
from tests.acceptance.inner import Run
from tests.acceptance.worker_kills import Case

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

XDIST = ("xdist.plugin",)
# Elsewhere it would be taken for something that was left.
BASE = ("--basetemp", "base")
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
#: A sample; `benchmarks/worker_kills.py` makes more of them.
SAMPLE = (
    Case("load", 4, 11),
    Case("loadscope", 2, 12),
    Case("loadfile", 4, 13),
    Case("loadgroup", 2, 14),
    Case("worksteal", 2, 15),
    Case("each", 2, 16, kills=2),
)


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_every_test_has_its_one_verdict_though_workers_are_killed_at_random(
    case: Case, run_suite: RunSuite, temporary: Path
) -> None:
    """Nothing hangs, is lost, excused, told twice or left behind."""
    run = worker_kills.run(case, run_suite, temporary)
    assert run.log("kills.txt"), run.output
    assert worker_kills.broken_promises(case, run, temporary) == [], run.output


BROKEN = """
    import time

    import lab
    import pytest

    @pytest.fixture
    def driver(worker_id):
        with lab.browser() as driver:
            # On the first worker that comes here every browser dies.
            place = lab.HERE / "broken"
            if not place.exists():
                place.write_text(worker_id)
            if place.read_text() == worker_id:
                lab.kill_browser(driver)
            yield driver

    def test_it(driver, worker_id):
        lab.log(worker_id)
        lab.visit(driver)

    @pytest.mark.parametrize("number", range(3))
    def test_others(number):
        time.sleep(0.2)
"""


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_what_fails_on_one_worker_alone_passes_on_another(run_browsers: Run, mode: str) -> None:
    """The report tells of all attempts, and of their workers."""
    run = run_browsers({"test_it.py": BROKEN}, "-n2", "--dist", mode, *BASE, plugins=XDIST)
    assert run.counts == {"passed": 3, "recovered": 1}, run.output
    assert run.status == 0
    broken = (run.folder / "broken").read_text("utf-8")
    *failed, passed = run.attempts("test_it")
    assert {(a["worker"], a["outcome"]) for a in failed} == {(broken, "rerun")}
    assert failed[-1]["strategy"] == "worker_switch"
    assert passed["worker"] != broken
    assert passed["outcome"] == "passed"


KILLER = """
    import os
    import lab
    import pytest

    @pytest.fixture(scope="module")
    def driver():
        with lab.browser() as driver:
            yield driver

    def test_before(driver):
        lab.visit(driver)

    def test_kills_every_worker(driver):
        lab.visit(driver)
        lab.log("killer")
        os._exit(1)

    @pytest.mark.parametrize("number", range(2))
    def test_behind(driver, number):
        lab.visit(driver)
"""


@pytest.mark.parametrize("mode", MODES)
def test_one_that_kills_every_worker_is_alone_with_the_last_ones(
    run_browsers: Run, mode: str
) -> None:
    """It costs three workers and their browsers, and no other test its verdict."""
    run = run_browsers({"test_it.py": KILLER}, "-n2", "--dist", mode, *BASE, plugins=XDIST)
    assert run.counts == {"passed": 3, "unrecovered": 1}, run.output
    attempts = run.attempts("test_kills_every_worker")
    assert [a["outcome"] for a in attempts] == ["rerun", "rerun", "failed"]
    assert {a["error_type"] for a in attempts} == {"worker"}
    assert len({a["worker"] for a in attempts}) == 3
    assert run.log().count("killer") == 3
    assert run.status == 1
