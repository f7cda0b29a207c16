"""A run with real browsers is killed at some moment, and resumed: nothing is lost, doubled or left.

Tests write down that they run, so that it is counted for real.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.inner import processes_of, remains, sources
from tests.conftest import FULL

if TYPE_CHECKING:
    from tests.conftest import RunSuite, SuiteRun

RESUME = "--resilience-resume"
SUITE = {
    "conftest.py": """
        import os, signal, threading

        import pytest

        from lab import PAGE, browser, log

        class Killer:
            \"\"\"Kills the process that ends the run, some time after a test has begun.\"\"\"

            def __init__(self, test, delay_s):
                self.left, self.delay_s = test, delay_s

            def pytest_runtest_logstart(self):
                self.left -= 1
                if self.left == 0:
                    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
                    threading.Timer(self.delay_s, kill).start()

        def pytest_configure(config):
            moment = os.environ.get("KILL")
            if moment and not hasattr(config, "workerinput"):
                test, delay_s = moment.split()
                config.pluginmanager.register(Killer(int(test), float(delay_s)))

        def pytest_runtest_call(item):
            log(item.name, "ran.txt")

        @pytest.fixture(scope="module")
        def shared():
            with browser() as driver:
                yield driver

        @pytest.fixture
        def own():
            with browser() as driver:
                yield driver
    """,
    "test_own.py": """
        import pytest
        from lab import PAGE

        @pytest.mark.parametrize("number", range(4))
        def test_own(own, number):
            own.get(PAGE)
            assert own.title == "shop"
    """,
    "test_shared.py": """
        import time
        import pytest
        from lab import PAGE

        @pytest.mark.parametrize("number", range(6))
        def test_shared(shared, number):
            shared.get(PAGE)
            time.sleep(0.2)
            assert shared.title == "shop"

        def test_broken(shared):
            shared.get(PAGE)
            assert shared.title == "another shop"
    """,
}
PASSING = [*(f"test_own[{n}]" for n in range(4)), *(f"test_shared[{n}]" for n in range(6))]
VERDICTS = {**dict.fromkeys(PASSING, "passed"), "test_broken": "failed"}

CASES: list[tuple[tuple[str, ...], int]] = [
    ((), 1),
    (("-n", "2"), 10),
]
if FULL:
    CASES += [
        *(((), seed) for seed in range(2, 4)),
        (("-n", "2"), 11),
        *(
            (("-n", "2", "--dist", mode), 20)
            for mode in ("loadscope", "loadfile", "loadgroup", "worksteal")
        ),
    ]


def moment(seed: int) -> str:
    """Return which test is running when the run is killed, and for how many seconds."""
    chance = random.Random(seed)
    return f"{chance.randint(1, len(VERDICTS) - 2)} {chance.uniform(0.0, 1.0):.3f}"


def run_once(run_suite: RunSuite, temporary: Path, *arguments: str, kill: str = "") -> SuiteRun:
    """Run the suite in a world of its own."""
    surroundings = {"TMPDIR": str(temporary), "PLAN": "{}", "KILL": kill}
    plugins = ("xdist",) if "-n" in arguments else ()
    return run_suite(sources(SUITE), *arguments, plugins=plugins, env=surroundings)


def browsers_left(temporary: Path) -> list[str]:
    """Return processes and profiles; of its own files, pytest has left some when it was killed."""
    return [name for name in remains(temporary) if not name.startswith("pytest-")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "seed"),
    [pytest.param(a, seed, id=f"{'-'.join(a).strip('-') or 'alone'}-{seed}") for a, seed in CASES],
)
def test_the_two_runs_together_run_everything_once(
    arguments: tuple[str, ...], seed: int, run_suite: RunSuite, temporary: Path
) -> None:
    """But for what had begun and had no verdict; and no browser of either is left."""
    killed = run_once(run_suite, temporary, *arguments, kill=moment(seed))
    assert killed.status == -9, killed.output
    before = Counter(killed.log("ran.txt"))
    run = run_once(run_suite, temporary, RESUME, *arguments)
    verdicts = {name.rpartition("::")[2]: verdict for name, verdict in run.verdicts.items()}
    assert verdicts == VERDICTS, run.output
    assert run.status == 1
    kept = [t["nodeid"].rpartition("::")[2] for t in run.summary["tests"] if t.get("kept")]
    again = Counter(run.log("ran.txt")) - before
    assert set(again) == set(VERDICTS) - set(kept)
    assert set(again.values()) <= {1}
    assert all(before[name] == 1 for name in kept)
    assert run.summary["events_lost"] == 0
    assert browsers_left(temporary) == [], run.output


def test_browsers_that_the_killed_run_has_left_are_ended_first(
    run_suite: RunSuite, temporary: Path
) -> None:
    """There are some: nobody was there to end them."""
    killed = run_once(run_suite, temporary, kill=f"{len(VERDICTS) - 3} 0.1")
    assert killed.status == -9, killed.output
    assert any("chromedriver" in str(process) for process in processes_of(temporary))
    run = run_once(run_suite, temporary, RESUME)
    assert run.counts == {"passed": len(PASSING), "failed": 1}, run.output
    assert "had left" in run.summary["session"]["facts"]["ended"]
    assert browsers_left(temporary) == [], run.output
