"""Product failures beside infrastructure failures: none of them vanishes, none is excused."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

HEAD = """
    import pytest
    from tests.plugin.breakage import Grid, lose_browser, note
"""
BOTH = """
    try:
        assert {first}, "the price is wrong"
    finally:
        lose_browser()
"""


def inner(text: str, depth: int) -> str:
    return textwrap.indent(textwrap.dedent(text).strip(), "    " * depth)


CASES = {
    "teardown": f"""
    @pytest.fixture
    def page():
        yield
{inner(BOTH.format(first=0), 2)}

    def test_it(page):
        note("ran")
""",
    "call": f"""
    def test_it():
{inner(BOTH.format(first='note("ran") > 1'), 2)}
""",
    "setup": f"""
    @pytest.fixture
    def page():
{inner(BOTH.format(first='note("ran") > 1'), 2)}

    def test_it(page):
        pass
""",
    "exit": """
    class Page:
        def __enter__(self):
            note("ran")

        def __exit__(self, *_):
            lose_browser()

    def test_it():
        with Page():
            assert 0, "the price is wrong"
""",
    "screenshot": """
    def test_it():
        note("ran")
        try:
            assert 0, "the price is wrong"
        except AssertionError:
            lose_browser()  # it was to take a screenshot
            raise
""",
}


@pytest.mark.parametrize("case", CASES)
def test_a_failed_assertion_is_not_excused_by_a_browser_lost_after_it(
    case: str, run_inner: RunInner
) -> None:
    run = run_inner(HEAD + CASES[case])
    assert run.verdicts == {"test_it": "failed"}, run.output
    assert run.log("test_it.txt") == ["ran"]
    assert run.status == 1
    assert "the price is wrong" in run.output


WIDER = """
    @pytest.fixture(scope="module")
    def driver():
        grid = Grid()
        driver = grid.driver()
        driver.grid = grid
        yield driver
        driver.quit()
        grid.close()

    @pytest.fixture(scope="module")
    def basket(driver):
        yield
        assert note("basket") > 1, "the basket is not empty"

    def test_it(basket, driver):
        if note("ran") < 2:
            driver.grid.lose(driver)
            driver.title
"""
OWN = """
    @pytest.fixture
    def basket():
        yield
        assert note("basket") > 1, "the basket is not empty"

    def test_it(basket):
        if note("ran") < 2:
            lose_browser()
"""


@pytest.fixture(scope="module", params=[WIDER, OWN], ids=["wider", "own"])
def unfinished(request: pytest.FixtureRequest, run_inner: RunInner) -> SuiteRun:
    """A recovered test; a teardown between its attempts found something."""
    run = run_inner(HEAD + request.param)
    assert run.verdicts == {"test_it": "recovered"}, run.output
    return run


def noted(run: SuiteRun) -> list[dict[str, Any]]:
    first = run.attempts("test_it")[0]
    return [probe for probe in first["evidence"] if probe["probe"] == "teardown"]


def test_what_a_teardown_between_two_attempts_demands_is_kept(unfinished: SuiteRun) -> None:
    """It fails no test: what was broken off may well be found unfinished."""
    (probe,) = noted(unfinished)
    assert probe["answer"] == "asserted"
    assert "AssertionError: the basket is not empty" in probe["detail"]


def test_people_read_it_beside_the_recovered_test(unfinished: SuiteRun) -> None:
    (line,) = [line for line in unfinished.output.splitlines() if "a teardown failed" in line]
    assert "the basket is not empty" in line


def test_what_a_teardown_loses_with_its_browser_is_no_demand(run_inner: RunInner) -> None:
    """It is kept all the same, and not shown beside the test."""
    lost = OWN.replace('assert note("basket") > 1, "the basket is not empty"', "lose_browser()")
    run = run_inner(HEAD + lost.replace("        lose_browser()\n\n", "        pass\n\n", 0))
    assert {probe["answer"] for probe in noted(run)} == {"error"}
    assert "a teardown failed" not in run.output


def test_three_errors_of_a_unittest_attempt_do_not_fail_the_next(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import unittest
        from tests.plugin.breakage import lose_browser, note

        class T(unittest.TestCase):
            def test_it(self):
                if note("ran") < 2:
                    self.addCleanup(lose_browser)
                    self.addCleanup(lose_browser)
                    lose_browser()
    """,
        "--resilience-max-attempts",
        "2",
    )
    assert run.verdicts == {"T::test_it": "recovered"}, run.output
    assert run.log("test_it.txt") == ["ran", "ran"]


def test_strict_fails_a_run_whose_expected_failure_had_to_be_recovered(
    run_inner: RunInner,
) -> None:
    suite = """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.xfail(raises=ZeroDivisionError)
        def test_it():
            if note("ran") < 2:
                lose_browser()
            1 / 0
    """
    run = run_inner(suite, "--resilience-strict")
    assert run.verdicts == {"test_it": "xfailed"}, run.output
    assert run.status == 1
    assert run_inner(suite).status == 0
