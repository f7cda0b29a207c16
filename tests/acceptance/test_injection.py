"""Injected failures on real browsers: what fails by them, and what is recovered.

What is expected of each fault is what the catalogue, and so the reference page, says of it. That
each of them happens for real is proven by the tests of the browser room.

With ``ACCEPTANCE=full`` in the environment every fault strikes on every platform on which it is
possible; without, those of `SAMPLES`, in one run for all of them.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_resilience.core.injection import FOXES, Fault, Intensity, Need, Platform, faults
from pytest_resilience.core.injection import FailureType as Type
from tests.acceptance.grid import Grid
from tests.acceptance.inner import Run, processes_left, processes_of, remains, sources
from tests.conftest import RunSuite, SuiteRun

pytestmark = pytest.mark.browser

RunOf = Callable[[Platform, bool], SuiteRun]

FULL = os.environ.get("ACCEPTANCE") == "full"
#: Those that take longest first, so that no worker is left alone with them.
PLATFORMS = (
    Platform.GRID_FIREFOX,
    Platform.FIREFOX,
    Platform.GRID_CHROMIUM,
    Platform.CHROMIUM,
)
REMOTE = (Platform.GRID_CHROMIUM, Platform.GRID_FIREFOX)
#: What strikes in every run of the whole test suite: each type, and a few elsewhere, of those that
#: take least time.
SAMPLES = {
    Platform.CHROMIUM: (
        *("go_offline", "limit_memory", "crash_gpu_process", "answer_500", "stall_page_load"),
        *("kill_browser", "freeze_browser", "kill_driver", "kill_worker"),
        *("corrupt_history", "fail_application_database", "raise_error"),
    ),
    Platform.FIREFOX: ("go_offline",),
    Platform.GRID_CHROMIUM: ("crash_browser", "cut_driver_connection"),
    # It takes longest to start, and differs least from the others.
    Platform.GRID_FIREFOX: (),
}
#: Where a fault strikes, if not in the call.
POINTS: dict[tuple[Type, Intensity], dict[str, Any]] = {
    # Once the page draws.
    (Type.GPU_ERROR, Intensity.MILD): {"at": "after:executeScript"},
    (Type.GPU_ERROR, Intensity.MODERATE): {"at": "after:executeScript"},
    (Type.DRIVER_CRASH, Intensity.SEVERE): {"at": "during", "command": "get"},
    (Type.DRIVER_CRASH, Intensity.MODERATE): {"after_commands": 5},
    (Type.CRASH, Intensity.MODERATE): {"at": "after:getTitle"},
}
#: What a test waits for in vain: it may as well give up soon.
IN_VAIN = (
    *("stall_page_load", "stall_script", "open_hang_page"),
    *("freeze_browser", "freeze_driver"),
)
#: What breaks something that is there with --resilience alone.
OUR_OWN = ("lock_history", "corrupt_history", "raise_in_observer")
#: The test that nothing is injected into.
PEACE = "test_nothing_is_injected"
VERDICTS = {
    "survived": ("passed",),
    "recovered": ("recovered",),
    "lost": ("failed", "unrecovered"),
}
#: The database of the application, which it alone knows how to break.
ITS_OWN = """
    import sqlite3

    def pytest_resilience_faults(config):
        def break_database(item):
            usual, sqlite3.connect = sqlite3.connect, refuse

            def mend_database():
                sqlite3.connect = usual

            return mend_database

        return {"database_error:moderate": break_database}

    def refuse(*args, **kwargs):
        raise sqlite3.OperationalError("database is locked")
"""


def chosen(platform: Platform) -> list[Fault]:
    return [f for f in faults(platform) if FULL or f.name in SAMPLES[platform]]


def name_of(platform: Platform, fault: Fault) -> str:
    return f"{platform.name}-{fault.type.value}-{fault.intensity.value}".lower()


def each(of: Callable[[Fault], bool] = lambda _fault: True) -> pytest.MarkDecorator:
    """Parametrize a test by all that is tried."""
    return pytest.mark.parametrize(
        ("platform", "fault"),
        [
            pytest.param(platform, fault, id=name_of(platform, fault))
            for platform in PLATFORMS
            for fault in chosen(platform)
            if of(fault)
        ],
    )


def noticeable(fault: Fault) -> bool:
    return fault.name not in OUR_OWN


def outcomes(run: SuiteRun) -> dict[str, str]:
    """Return which tests of a run passed or failed, by JUnit's report."""
    found = {}
    for case in ET.parse(run.folder / "junit.xml").iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        found[str(case.get("name"))] = "failed" if bad else "passed"
    return found


def errors(run: SuiteRun, test: str) -> list[str | None]:
    return [attempt["error_type"] for attempt in run.attempts(test) if attempt["injected"]]


@pytest.fixture(scope="module")
def run_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the suite on a browser, and check that nothing is left of it."""
    import inspect

    from tests.conftest import run_suite

    in_folder: Any = inspect.unwrap(run_suite)
    folders: list[Path] = []

    def run(env: dict[str, str], *options: str, resilience: bool) -> SuiteRun:
        # Chromium puts a socket in it, whose path must be short.
        temporary = Path(tempfile.mkdtemp(prefix="pr-"))
        folders.append(temporary)
        here: RunSuite = in_folder(tmp_path_factory.mktemp("injected"))
        run = here(
            sources({"conftest.py": ITS_OWN, "test_it.py": "@injected"}),
            *("--junitxml", "junit.xml", "-n", "2", "--maxschedchunk", "1", "--tb", "short"),
            *options,
            resilience=resilience,
            plugins=("xdist.plugin",),
            env={**env, "TMPDIR": str(temporary)},
            timeout=900,
        )
        left = remains(temporary) if resilience else list(map(str, processes_left(temporary)))
        # A worker that takes another's place has a folder of pytest's own there.
        left = [text for text in left if not text.startswith("pytest-of-")]
        assert left == [], run.output
        return run

    yield run
    for folder in folders:
        for process in processes_of(folder):
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Grid]]:
    """Return the grid, which is started when somebody asks for it."""
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    started: list[Grid] = []

    def get() -> Grid:
        if not started:
            # A session whose worker was killed keeps its slot for minutes.
            started.append(Grid(tmp_path_factory.mktemp("grid"), temporary, slots=32))
        return started[0]

    yield get
    for grid in started:
        grid.close()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def run_of(run_here: Run, grid: Callable[[], Grid]) -> RunOf:
    """Return the run on a platform that all tests of it share; a few faults share one run."""

    def browser(platform: Platform) -> str:
        kind = "firefox" if platform & FOXES else "chrome"
        return f"{kind}@{grid().url}" if platform in REMOTE else kind

    def case(platform: Platform, fault: Fault) -> list[Any]:
        point = POINTS.get((fault.type, fault.intensity), {})
        marker = {"type": fault.type.value, "intensity": fault.intensity.value, **point}
        return [name_of(platform, fault), browser(platform), marker, fault.name in IN_VAIN]

    @functools.cache
    def run(platforms: tuple[Platform, ...], resilience: bool) -> SuiteRun:
        cases = [
            case(platform, fault)
            for platform in platforms
            for fault in chosen(platform)
            if resilience or noticeable(fault)
        ]
        env = {"CASES": json.dumps(cases)}
        try:
            if resilience:
                return run_here(env, "--resilience-hang-timeout", "2", resilience=True)
            return run_here({**env, "ALONE": "1"}, resilience=False)
        finally:
            # Those of workers that were killed, and those that compute without end.
            if any(platform in REMOTE for platform in platforms):
                grid().end_browsers()

    return lambda platform, resilience: run((platform,) if FULL else PLATFORMS, resilience)


@each(noticeable)
def test_without_resilience_a_test_fails_by_it(
    run_of: RunOf, platform: Platform, fault: Fault
) -> None:
    """Unless it is one of those that take nothing but time."""
    run = run_of(platform, False)
    found = outcomes(run)
    name = f"test_shop[{name_of(platform, fault)}]"
    # Of a test whose worker was lost, xdist itself tells.
    lost = f"crashed while running 'test_it.py::{name}'" in run.output
    assert found.get(name, "failed" if lost else "missing") == (
        "failed" if fault.errors else "passed"
    ), run.output
    assert lost == (fault.need is Need.XDIST and bool(fault.errors)), run.output
    assert found[PEACE] == "passed", run.output


@each()
def test_with_resilience_it_is_recovered_or_rightly_diagnosed(
    run_of: RunOf, platform: Platform, fault: Fault
) -> None:
    run, test = run_of(platform, True), f"test_shop[{name_of(platform, fault)}]"
    assert run.verdicts[test] in VERDICTS[fault.outcome], run.attempts(test)
    told = errors(run, test)
    assert told, run.output
    labels = {error.label for error in fault.errors} if fault.errors else {None}
    assert set(told) <= labels, run.attempts(test)
    assert run.verdicts[PEACE] == "passed", run.output
