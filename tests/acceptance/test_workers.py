"""Real browsers on many workers that are killed, or on which nothing works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import worker_kills
from tests.acceptance.inner import Run
from tests.acceptance.worker_kills import Case
from tests.conftest import FULL

if TYPE_CHECKING:
    from tests.conftest import RunSuite

pytestmark = pytest.mark.browser

XDIST = ("xdist.plugin",)
# Elsewhere it would be taken for something that was left.
BASE = ("--basetemp", "base")
#: One that keeps scopes, and one that does not; the others with ACCEPTANCE=full.
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")[: None if FULL else 2]
#: A sample; `benchmarks/worker_kills.py` makes more of them.
SAMPLE = (
    Case("load", 4, 11),
    Case("loadscope", 2, 12),
    Case("loadfile", 4, 13),
    Case("loadgroup", 2, 14),
    Case("worksteal", 2, 15),
    Case("each", 2, 16, kills=2),
)[: None if FULL else 2]


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


@pytest.mark.parametrize("mode", ["load", "worksteal"][: None if FULL else 1])
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


NONE_STARTS = """
    import time

    import lab
    import pytest

    STARTED, BROKEN = lab.HERE / "started", lab.HERE / "broken"

    def is_broken(worker_id):
        try:
            with BROKEN.open("x") as file:
                file.write(worker_id)
        except FileExistsError:
            pass
        while not BROKEN.read_text():
            time.sleep(0.01)
        return BROKEN.read_text() == worker_id

    @pytest.fixture
    def driver(worker_id):
        # On the first worker that comes here no browser starts, while they do on the other one.
        if is_broken(worker_id):
            deadline = time.monotonic() + {wait}
            while not STARTED.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            lab.launch(binary="{binary}")
        with lab.browser() as driver:
            STARTED.touch()
            yield driver

    @pytest.mark.parametrize("number", range(6))
    def test_it(driver, number):
        lab.visit(driver)
"""


@pytest.mark.parametrize("binary", ["/bin/false", "/nonexistent/chromium"][: None if FULL else 1])
def test_where_no_browser_starts_at_all_tests_go_to_a_worker_on_which_they_do(
    run_browsers: Run, binary: str
) -> None:
    """No circuit of the browser opens: what fails on one worker alone is laid to that.

    What nobody can mend goes elsewhere although nothing is known of others yet.
    """
    wait = "120" if binary == "/bin/false" else "0"
    suite = NONE_STARTS.replace("{binary}", binary).replace("{wait}", wait)
    run = run_browsers({"test_it.py": suite}, "-n2", *BASE, plugins=XDIST)
    assert run.status == 0, run.output
    assert set(run.counts) == {"passed", "recovered"}, run.output
    broken = (run.folder / "broken").read_text("utf-8")
    for test in run.summary["tests"]:
        *failed, passed = test["attempts"]
        assert {attempt["worker"] for attempt in failed} <= {broken}
        assert passed["worker"] != broken
        assert not failed or failed[-1]["strategy"] == "worker_switch"
    circuits = {(c["kind"], c["name"]): c for c in run.summary["circuits"]}
    assert circuits["browser", "chrome"]["transitions"] == []
    assert circuits["worker", broken]["failures"] > 0


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
