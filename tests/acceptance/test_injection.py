"""Injected failures on real browsers: what fails by them, and what is recovered.

What is expected of each fault is what the catalogue, and so the reference page, says of it. That
each of them happens for real is proven by the tests of the browser room.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_resilience.core.injection import FailureType as Type
from pytest_resilience.core.injection import Fault, Intensity, Need, Platform, faults
from tests.acceptance.grid import Grid
from tests.acceptance.inner import Run, processes_of, remains, sources
from tests.conftest import RunSuite, SuiteRun

pytestmark = pytest.mark.browser

#: Where a fault strikes, if not in the call.
POINTS: dict[tuple[Type, Intensity], dict[str, Any]] = {
    # Once the page draws.
    (Type.GPU_ERROR, Intensity.MILD): {"at": "after:executeScript"},
    (Type.GPU_ERROR, Intensity.MODERATE): {"at": "after:executeScript"},
    (Type.DRIVER_CRASH, Intensity.SEVERE): {"at": "during", "command": "get"},
    (Type.DRIVER_CRASH, Intensity.MODERATE): {"after_commands": 5},
    (Type.CRASH, Intensity.MODERATE): {"at": "after:getTitle"},
}
#: What others are for: a hook of the user's, and what pages, tests or history do not notice.
ELSEWHERE = (Need.HOOK, Need.BIDI)
FIREFOX = ("kill_browser", "kill_driver", "go_offline")
ON_A_GRID = ("crash_browser", "cut_driver_connection")
VERDICTS = {
    "survived": ("passed",),
    "recovered": ("recovered",),
    "lost": ("failed", "unrecovered"),
}


def chosen(platform: Platform, names: Iterable[str] = ()) -> list[Fault]:
    found = [f for f in faults(platform) if f.type is not Type.INTERNAL_ERROR]
    if names:
        return [fault for fault in found if fault.name in names]
    return [fault for fault in found if fault.need not in ELSEWHERE]


def name_of(fault: Fault) -> str:
    return f"{fault.type.value}-{fault.intensity.value}"


def cases(tried: Iterable[Fault]) -> str:
    """Return what the inner suite is told to inject."""
    return json.dumps(
        [
            (name_of(f), f.type.value, f.intensity.value, POINTS.get((f.type, f.intensity), {}))
            for f in tried
        ]
    )


def outcomes(run: SuiteRun) -> dict[str, str]:
    """Return which tests of a run passed or failed, by JUnit's report."""
    found = {}
    for case in ET.parse(run.folder / "junit.xml").iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        found[str(case.get("name"))] = "failed" if bad else "passed"
    return found


def errors(run: SuiteRun, test: str) -> list[str | None]:
    return [attempt["error_type"] for attempt in run.attempts(test) if attempt["injected"]]


CHROMIUM = chosen(Platform.CHROMIUM)
XDIST = ("xdist.plugin",)
JUNIT = ("--junitxml", "junit.xml", "-n", "2", "--tb", "short")


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
            sources({"test_it.py": "@injected"}),
            *(*JUNIT, *options),
            resilience=resilience,
            plugins=XDIST,
            env=env,
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


def _noticeable(tried: list[Fault]) -> list[Fault]:
    """Leave out what breaks what is not there without --resilience."""
    return [fault for fault in tried if fault.type is not Type.DATABASE_ERROR]


@pytest.fixture(scope="module")
def without(run_here: Run) -> SuiteRun:
    return run_here("chrome", _noticeable(CHROMIUM), resilience=False)


@pytest.fixture(scope="module")
def with_it(run_here: Run) -> SuiteRun:
    return run_here("chrome", CHROMIUM, "--resilience-hang-timeout", "3", resilience=True)


@pytest.mark.parametrize("fault", _noticeable(CHROMIUM), ids=name_of)
def test_without_resilience_a_test_fails_by_it(without: SuiteRun, fault: Fault) -> None:
    """Unless it is one of those that take nothing but time."""
    expected = "failed" if fault.errors else "passed"
    found = outcomes(without)
    assert found.get(f"test_shop[{name_of(fault)}]", "failed") == expected, without.output
    assert found["test_nothing_is_injected"] == "passed"


@pytest.mark.parametrize("fault", CHROMIUM, ids=name_of)
def test_with_resilience_it_is_recovered_or_rightly_diagnosed(
    with_it: SuiteRun, fault: Fault
) -> None:
    test = f"test_shop[{name_of(fault)}]"
    assert with_it.verdicts[test] in VERDICTS[fault.outcome], with_it.attempts(test)
    told = errors(with_it, test)
    assert told, with_it.output
    labels = {error.label for error in fault.errors} if fault.errors else {None}
    assert set(told) <= labels, with_it.attempts(test)
    assert with_it.verdicts["test_nothing_is_injected"] == "passed"


@pytest.mark.parametrize(
    ("browser", "platform", "names"),
    [
        pytest.param("firefox", Platform.FIREFOX, FIREFOX, id="firefox"),
        pytest.param("grid", Platform.GRID_CHROMIUM, ON_A_GRID, id="grid"),
    ],
)
def test_on_other_browsers(
    run_here: Run,
    tmp_path: Path,
    browser: str,
    platform: Platform,
    names: tuple[str, ...],
) -> None:
    tried = chosen(platform, names)
    assert {fault.name for fault in tried} == set(names)
    if browser == "firefox":
        _check_both(run_here, browser, tried)
        return
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    grid = Grid(tmp_path, temporary, slots=4)
    try:
        _check_both(run_here, grid.url, tried)
    finally:
        grid.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _check_both(run_here: Run, browser: str, tried: list[Fault]) -> None:
    bare = run_here(browser, tried, resilience=False)
    found = outcomes(bare)
    expected = {f"test_shop[{name_of(f)}]": "failed" if f.errors else "passed" for f in tried} | {
        "test_nothing_is_injected": "passed"
    }
    assert found == expected, bare.output
    run = run_here(browser, tried, "--resilience-hang-timeout", "3", resilience=True)
    for fault in tried:
        test = f"test_shop[{name_of(fault)}]"
        assert run.verdicts[test] in VERDICTS[fault.outcome], run.output
        labels = {error.label for error in fault.errors} if fault.errors else {None}
        assert set(errors(run, test)) <= labels, run.output
