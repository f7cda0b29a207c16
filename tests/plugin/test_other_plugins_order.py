"""Plugins that choose which tests run, and in which order: their choice stands."""

from __future__ import annotations

import json
from itertools import groupby

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

# By the name of its entry point, which pytest-randomly asks for.
XDIST, SPLIT = "xdist", "pytest_split.plugin"
RANDOMLY, ORDER = "pytest_randomly", "pytest_order.plugin"

SUITE = {
    "conftest.py": """
        import os
        import pytest

        @pytest.fixture(autouse=True)
        def logged(request):
            worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
            with open("order.txt", "a") as file:
                file.write(f"{worker} {request.node.nodeid}\\n")
    """,
    "test_cart.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.parametrize("number", range(6))
        def test_add(number):
            if number % 2 and note(f"add {number}") <= 2:
                lose_browser()

        @pytest.mark.order(1)
        def test_first():
            if note("first") == 1:
                lose_browser()

        @pytest.mark.order(after="test_shop.py::TestShop::test_lost")
        def test_behind_lost():
            if note("behind") == 1:
                lose_browser()
    """,
    "test_shop.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        class TestShop:
            @pytest.mark.order(-1)
            def test_last(self):
                if note("last") == 1:
                    lose_browser()

            def test_wrong(self):
                assert "price" == "9.99"

            def test_lost(self):
                lose_browser()

            @pytest.mark.order(2)
            def test_second(self):
                pass

        class TestStart:
            def test_page(self):
                if note("page") == 1:
                    lose_browser()
    """,
}
#: Attempts of the tests that need more than one.
ATTEMPTS = {
    **{f"test_cart.py::test_add[{n}]": 3 for n in (1, 3, 5)},
    **{f"test_cart.py::{name}": 2 for name in ("test_first", "test_behind_lost")},
    **{f"test_shop.py::{name}": 2 for name in ("TestShop::test_last", "TestStart::test_page")},
    "test_shop.py::TestShop::test_lost": 4,
}
#: The order of tests is nothing that a history would know.
NO_HISTORY = "--no-resilience-db"
#: Plugins and options of each way to choose.
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "random": ((RANDOMLY,), ("--randomly-seed=1",)),
    "first half": ((SPLIT,), ("--splits=2", "--group=1")),
    "second half": ((SPLIT,), ("--splits=2", "--group=2")),
    "marked": ((ORDER,), ()),
    "marked halves": ((ORDER, SPLIT), ("--splits=2", "--group=2")),
    "random halves": ((RANDOMLY, SPLIT), ("--randomly-seed=1", "--splits=2", "--group=1")),
}

Choices = dict[str, tuple[SuiteRun, SuiteRun]]


@pytest.fixture(scope="module")
def choices(run_inner: RunInner) -> Choices:
    """Runs without and with --resilience, for each way to choose."""
    return {
        way: (
            run_inner(SUITE, *options, plugins=plugins, resilience=False),
            run_inner(SUITE, *options, NO_HISTORY, plugins=plugins),
        )
        for way, (plugins, options) in WAYS.items()
    }


def _order(run: SuiteRun) -> list[str]:
    return [line.partition(" ")[2] for line in run.log("order.txt")]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_tests_run_in_the_same_order_as_without_the_plugin(
    choices: Choices, way: str
) -> None:
    plain, run = choices[way]
    assert [nodeid for nodeid, _ in groupby(_order(run))] == _order(plain), run.output


@pytest.mark.parametrize("way", WAYS)
def test_all_attempts_of_a_test_follow_one_another(choices: Choices, way: str) -> None:
    plain, run = choices[way]
    runs = {nodeid: ATTEMPTS.get(nodeid, 1) for nodeid in _order(plain)}
    assert [(n, len(list(all_))) for n, all_ in groupby(_order(run))] == list(runs.items())
    assert len(run.summary["tests"]) == len(runs)


def test_the_choices_differ(choices: Choices, run_inner: RunInner) -> None:
    """Otherwise these tests prove nothing: no plugin would have been at work."""
    orders = {way: tuple(_order(plain)) for way, (plain, _) in choices.items()}
    other = run_inner(SUITE, "--randomly-seed=20", plugins=(RANDOMLY,), resilience=False)
    assert len({*orders.values(), tuple(_order(other))}) == len(WAYS) + 1
    halves = [*orders["first half"], *orders["second half"]]
    assert sorted(halves) == sorted(orders["random"])
    assert len(set(halves)) == len(halves) == 13
    marked = orders["marked"]
    assert marked[0] == "test_cart.py::test_first"
    assert marked[1] == "test_shop.py::TestShop::test_second"
    assert marked[-1] == "test_shop.py::TestShop::test_last"
    behind = marked.index("test_cart.py::test_behind_lost")
    assert behind > marked.index("test_shop.py::TestShop::test_lost")


def test_a_recovered_test_has_a_stored_duration_too(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "--store-durations", NO_HISTORY, plugins=(SPLIT,))
    stored = json.loads((run.folder / ".test_durations").read_text("utf-8"))
    assert set(stored) == {test["nodeid"] for test in run.summary["tests"]}, run.output
    assert len(stored) == 13


def test_on_workers_all_attempts_of_a_test_follow_one_another_on_one_of_them(
    run_inner: RunInner,
) -> None:
    """Unless it goes to another one for good, which is a recovery of level 4."""
    options = ("-n2", "--randomly-seed=1", "--resilience-max-level=3", NO_HISTORY)
    run = run_inner(SUITE, *options, plugins=(XDIST, RANDOMLY))
    by_worker: dict[str, list[str]] = {}
    for line in run.log("order.txt"):
        worker, _, nodeid = line.partition(" ")
        by_worker.setdefault(worker, []).append(nodeid)
    runs = {
        nodeid: len(list(all_)) for order in by_worker.values() for nodeid, all_ in groupby(order)
    }
    assert len(run.log("order.txt")) == sum(runs.values()), run.output
    assert runs == {test["nodeid"]: len(test["attempts"]) for test in run.summary["tests"]}
    assert len(runs) == 13


def test_random_numbers_are_the_same_in_every_attempt(run_inner: RunInner) -> None:
    """pytest-randomly seeds before each phase, so that a test can be repeated."""
    run = run_inner(
        """
        import random
        from tests.plugin.breakage import lose_browser, note

        def test_recovers():
            with open("numbers.txt", "a") as file:
                file.write(f"{random.random()}\\n")
            if note("call") <= 2:
                lose_browser()
        """,
        "--randomly-seed=1",
        plugins=(RANDOMLY,),
    )
    assert run.verdicts == {"test_recovers": "recovered"}, run.output
    assert len(run.log("numbers.txt")) == 3
    assert len(set(run.log("numbers.txt"))) == 1
