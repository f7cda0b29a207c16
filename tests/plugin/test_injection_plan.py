"""The plan: the same for the same seed, in any order, on any number of workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_resilience.core.injection_plan import RANDOM
from tests.plugin.conftest import RunInner

SUITE = {
    "conftest.py": """
        import os, random

        def pytest_collection_modifyitems(items):
            if "SHUFFLE" in os.environ:
                random.Random(os.environ["SHUFFLE"]).shuffle(items)
    """,
    "test_it.py": """
        import pytest

        @pytest.mark.parametrize("n", range(40))
        @pytest.mark.inject_failure("internal_error", probability=0.3)
        def test_a(n):
            pass

        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("n", range(20))
        def test_b(n):
            pass
    """,
}
OPTIONS = ("--inject-rate", "0.4", "--inject-seed", "7")
Row = tuple[str, int, str, str]


def recorded(folder: Path) -> set[Row]:
    """Return what the history says was injected, or could not be."""
    import duckdb

    with duckdb.connect(str(folder / ".resilience" / "history.duckdb"), read_only=True) as history:
        rows = history.execute(
            "SELECT nodeid, attempt, failure_type, intensity FROM injections"
        ).fetchall()
    found = set(rows)
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def alone(run_inner: RunInner) -> set[Row]:
    run = run_inner(SUITE, *OPTIONS)
    return recorded(run.folder)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        pytest.param(("-n", "2"), {}, id="2-workers"),
        pytest.param(("-n", "4", "--dist", "loadgroup"), {"SHUFFLE": "b"}, id="4-workers-groups"),
        pytest.param((), {"SHUFFLE": "a"}, id="another-order"),
    ],
)
def test_the_same_seed_makes_the_same_plan(
    run_inner: RunInner, alone: set[Row], options: tuple[str, ...], env: dict[str, str]
) -> None:
    run = run_inner(SUITE, *OPTIONS, *options, plugins=("xdist.plugin",), env=env)
    assert recorded(run.folder) == alone


def test_the_plan_shown_is_the_one_that_is_carried_out(
    run_inner: RunInner, alone: set[Row]
) -> None:
    assert shown(run_inner, *OPTIONS) == alone


def test_another_seed_makes_another_plan(run_inner: RunInner, alone: set[Row]) -> None:
    assert shown(run_inner, "--inject-rate", "0.4", "--inject-seed", "8") != alone


def shown(run_inner: RunInner, *options: str) -> set[Row]:
    run = run_inner(SUITE, "--collect-only", "-q", *options, resilience=False)
    assert run.status == 0, run.output
    found = re.findall(r"^(test_it.py::\S+): (\w+):(\w+)@call$", run.output, re.M)
    assert f"{len(found)} of 60 tests, with seed {options[-1]}" in run.output
    return {(nodeid, 1, kind, intensity) for nodeid, kind, intensity in found}


def test_a_rate_strikes_its_share_of_the_tests(run_inner: RunInner) -> None:
    """Of 2,000, within five standard deviations; no type or intensity is left out."""
    suite = """
        import pytest

        @pytest.mark.parametrize("n", range(2000))
        def test_a(n):
            pass
    """
    run = run_inner(suite, "--collect-only", "-q", "--inject-rate", "0.1", resilience=False)
    struck = re.findall(r"^test_it.py::\S+: (\w+:\w+)@call$", run.output, re.M)
    deviation = (2000 * 0.1 * 0.9) ** 0.5
    assert abs(len(struck) - 200) < 5 * deviation
    possible = {f"{fault.type.value}:{fault.intensity.value}" for fault in RANDOM}
    assert set(struck) == possible
