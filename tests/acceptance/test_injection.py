"""Injected failures on real browsers: what fails by them, and what is recovered.

What is expected of each fault is what the catalogue, and so the reference page, says of it. That
each of them happens for real is proven by the tests of the browser room.

With ``ACCEPTANCE=full`` in the environment every fault strikes on every platform on which it is
possible; without, those of `SAMPLES`.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_resilience.core.injection import FailureType as Type
from pytest_resilience.core.injection import Fault, Intensity, Platform, faults
from tests.acceptance.grid import Grid
from tests.acceptance.inner import Run, processes_of, remains, sources
from tests.conftest import RunSuite, SuiteRun

pytestmark = pytest.mark.browser

FULL = os.environ.get("ACCEPTANCE") == "full"
KINDS = {
    Platform.CHROMIUM: "chrome",
    Platform.FIREFOX: "firefox",
    Platform.GRID_CHROMIUM: "chrome",
    Platform.GRID_FIREFOX: "firefox",
}
REMOTE = (Platform.GRID_CHROMIUM, Platform.GRID_FIREFOX)
#: What strikes in every run of the whole test suite.
SAMPLES = {
    Platform.CHROMIUM: ("kill_browser",),
    Platform.FIREFOX: ("kill_browser",),
    Platform.GRID_CHROMIUM: ("crash_browser",),
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
        raise sqlite3.OperationalError("unable to open database file")
"""


def chosen(platform: Platform) -> list[Fault]:
    return [f for f in faults(platform) if FULL or f.name in SAMPLES[platform]]


def name_of(fault: Fault) -> str:
    return f"{fault.type.value}-{fault.intensity.value}"


def cases(tried: Iterable[Fault]) -> str:
    """Return what the inner suite is told to inject."""
    told = [
        (
            *(name_of(f), f.type.value, f.intensity.value),
            *(POINTS.get((f.type, f.intensity), {}), f.name in IN_VAIN),
        )
        for f in tried
    ]
    return json.dumps(told)


def each(of: Callable[[Fault], bool] = lambda _fault: True) -> pytest.MarkDecorator:
    """Parametrize a test by all that is tried."""
    return pytest.mark.parametrize(
        ("platform", "fault"),
        [
            pytest.param(platform, fault, id=f"{platform.name}-{name_of(fault)}".lower())
            for platform in KINDS
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

    def run(browser: str, tried: Iterable[Fault], *options: str, resilience: bool) -> SuiteRun:
        # Chromium puts a socket in it, whose path must be short.
        temporary = Path(tempfile.mkdtemp(prefix="pr-"))
        folders.append(temporary)
        here: RunSuite = in_folder(tmp_path_factory.mktemp("injected"))
        env = {"TMPDIR": str(temporary), "BROWSER": browser, "CASES": cases(tried)}
        run = here(
            sources({"conftest.py": ITS_OWN, "test_it.py": "@injected"}),
            *("--junitxml", "junit.xml", "-n", "2", "--tb", "short", *options),
            resilience=resilience,
            plugins=("xdist.plugin",),
            env=env if resilience else {**env, "ALONE": "1"},
            timeout=900,
        )
        left = remains(temporary) if resilience else list(map(str, processes_of(temporary)))
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
            started.append(Grid(tmp_path_factory.mktemp("grid"), temporary, slots=8))
        return started[0]

    yield get
    for grid in started:
        grid.close()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def run_of(run_here: Run, grid: Callable[[], Grid]) -> Callable[[Platform, bool], SuiteRun]:
    """Return the run on a platform, with or without --resilience, that all tests of it share."""

    @functools.cache
    def run(platform: Platform, resilience: bool) -> SuiteRun:
        at = f"@{grid().url}" if platform in REMOTE else ""
        tried = [fault for fault in chosen(platform) if resilience or noticeable(fault)]
        options = ("--resilience-hang-timeout", "2") if resilience else ()
        return run_here(KINDS[platform] + at, tried, *options, resilience=resilience)

    return run


@each(noticeable)
def test_without_resilience_a_test_fails_by_it(
    run_of: Callable[[Platform, bool], SuiteRun], platform: Platform, fault: Fault
) -> None:
    """Unless it is one of those that take nothing but time."""
    run = run_of(platform, False)
    expected = "failed" if fault.errors else "passed"
    found = outcomes(run)
    assert found.get(f"test_shop[{name_of(fault)}]", "failed") == expected, run.output
    assert found["test_nothing_is_injected"] == "passed"


@each()
def test_with_resilience_it_is_recovered_or_rightly_diagnosed(
    run_of: Callable[[Platform, bool], SuiteRun], platform: Platform, fault: Fault
) -> None:
    run, test = run_of(platform, True), f"test_shop[{name_of(fault)}]"
    assert run.verdicts[test] in VERDICTS[fault.outcome], run.attempts(test)
    told = errors(run, test)
    assert told, run.output
    labels = {error.label for error in fault.errors} if fault.errors else {None}
    assert set(told) <= labels, run.attempts(test)
    assert run.verdicts["test_nothing_is_injected"] == "passed"
