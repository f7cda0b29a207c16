"""Tests of `unittest`, and tests with parts of their own."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, outcomes

UNITTEST = """
    import unittest
    from tests.plugin.breakage import Grid, lose_browser, note

    class TestClassSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.addClassCleanup(lambda: note("class cleanup"))
            if note("class+") == 1:
                lose_browser()

        @classmethod
        def tearDownClass(cls):
            note("class-")

        def setUp(self):
            note(f"new {not hasattr(self, 'used')}")
            self.used = True

        def test_set_up_failed(self):
            note("one")

        def test_set_up_is_kept(self):
            note("two")

    class TestSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            note("own class+")

        @classmethod
        def tearDownClass(cls):
            note("own class-")

        def setUp(self):
            self.addCleanup(lambda: note("cleanup"))
            if note("setUp") == 1:
                lose_browser()

        def tearDown(self):
            note("tearDown")

        def test_own_set_up_failed(self):
            if note("three") == 1:
                lose_browser()

    class TestDriver(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            note("driver+")
            cls.grid = Grid()
            cls.driver = cls.grid.driver()

        @classmethod
        def tearDownClass(cls):
            note("driver-")
            cls.driver.quit()
            cls.grid.close()

        def test_class_driver_dies(self):
            if note("driver dies") == 1:
                self.grid.lose(self.driver)
            self.assertEqual(self.driver.title, "a page")

        def test_class_driver_lives(self):
            self.assertEqual(self.driver.title, "a page")

    class TestOutcomes(unittest.TestCase):
        def test_product_is_wrong(self):
            note("wrong")
            self.assertEqual(1, 2)

        @unittest.expectedFailure
        def test_expected(self):
            note("expected")
            lose_browser()

        @unittest.skip("not today")
        def test_skipped(self):
            pass

        def test_fails_then_skips(self):
            if note("then skip") == 1:
                lose_browser()
            self.skipTest("no browser here")
"""


@pytest.fixture(scope="module")
def cases(run_inner: RunInner) -> SuiteRun:
    """One run of tests of `unittest`."""
    return run_inner(UNITTEST)


def test_unittest_tests_have_the_verdicts_of_any_other(cases: SuiteRun) -> None:
    assert cases.verdicts == {
        "TestClassSetUp::test_set_up_failed": "recovered",
        "TestClassSetUp::test_set_up_is_kept": "passed",
        "TestSetUp::test_own_set_up_failed": "recovered",
        "TestDriver::test_class_driver_dies": "recovered",
        "TestDriver::test_class_driver_lives": "passed",
        "TestOutcomes::test_product_is_wrong": "failed",
        "TestOutcomes::test_expected": "xfailed",
        "TestOutcomes::test_skipped": "skipped",
        "TestOutcomes::test_fails_then_skips": "unrecovered",
    }, cases.output
    last = cases.output.splitlines()[-1]
    assert "error" not in last
    for part in ("2 failed", "3 recovered", "2 passed", "1 skipped", "1 xfailed"):
        assert part in last, cases.output


def test_set_up_class_runs_again_only_if_it_failed_or_owns_the_lost_driver(
    cases: SuiteRun,
) -> None:
    """And `setUp`, `tearDown` and what is cleaned up belong to each attempt, as unittest has it."""
    log = cases.log("test_it.txt")
    end = log.index("expected")
    assert log[:end] == [
        *("class+", "class cleanup", "class+", "new True", "one", "new True", "two"),
        *("class-", "class cleanup"),
        "own class+",
        # Where `setUp` failed there is no `tearDown`.
        *("setUp", "cleanup"),
        *("setUp", "three", "tearDown", "cleanup"),
        *("setUp", "three", "tearDown", "cleanup"),
        "own class-",
        *("driver+", "driver dies", "driver-", "driver+", "driver dies", "driver-"),
    ]


def test_unittest_product_failures_and_expected_failures_run_once(cases: SuiteRun) -> None:
    assert cases.log("test_it.txt").count("wrong") == 1
    assert cases.log("test_it.txt").count("expected") == 1


SUBTESTS = """
    import unittest
    import pytest
    from tests.plugin.breakage import lose_browser, note

    def test_subtest_recovers(subtests):
        attempt = note("fixture")
        for number in range(3):
            with subtests.test("part", number=number):
                if attempt == 1 and number >= 1:
                    lose_browser()

    def test_subtest_is_wrong(subtests):
        note("wrong")
        for number in range(2):
            with subtests.test(number=number):
                assert number == 0

    def test_subtest_wrong_and_lost(subtests):
        note("both")
        with subtests.test("product"):
            assert "price" == "9.99"
        with subtests.test("infrastructure"):
            lose_browser()

    def test_subtest_never_recovers(subtests):
        note("never")
        with subtests.test("part"):
            lose_browser()

    def test_fails_after_good_subtest(subtests):
        with subtests.test("good"):
            pass
        if note("after") == 1:
            lose_browser()

    def test_good_subtests(subtests):
        with subtests.test("good"):
            pass

    class TestUnit(unittest.TestCase):
        def test_unit_recovers(self):
            attempt = note("unit")
            for number in range(3):
                with self.subTest(number=number):
                    if attempt == 1 and number == 1:
                        lose_browser()

        def test_unit_is_wrong(self):
            note("unit wrong")
            with self.subTest("part"):
                self.assertEqual(1, 2)
"""


@pytest.fixture(scope="module")
def parts(run_inner: RunInner) -> SuiteRun:
    """One run of tests with subtests."""
    return run_inner(
        SUBTESTS,
        *("--junitxml", "junit.xml", "--report-log", "log.jsonl"),
        plugins=REPORT_LOG,
    )


def test_a_test_with_subtests_has_one_verdict(parts: SuiteRun) -> None:
    assert parts.verdicts == {
        "test_subtest_recovers": "recovered",
        "test_subtest_is_wrong": "failed",
        "test_subtest_wrong_and_lost": "failed",
        "test_subtest_never_recovers": "unrecovered",
        "test_fails_after_good_subtest": "recovered",
        "test_good_subtests": "passed",
        "TestUnit::test_unit_recovers": "recovered",
        "TestUnit::test_unit_is_wrong": "failed",
    }, parts.output


def test_the_whole_test_is_run_again_for_a_lost_subtest(parts: SuiteRun) -> None:
    log = parts.log("test_it.txt")
    assert {name: log.count(name) for name in ("fixture", "after", "unit", "never")} == {
        "fixture": 2,
        "after": 2,
        "unit": 2,
        "never": 4,
    }


@pytest.mark.parametrize("name", ["wrong", "both", "unit wrong"])
def test_a_wrong_product_in_a_subtest_is_final(parts: SuiteRun, name: str) -> None:
    assert parts.log("test_it.txt").count(name) == 1


def test_failed_subtests_of_superseded_attempts_are_counted_nowhere(parts: SuiteRun) -> None:
    last = parts.output.splitlines()[-1]
    # Per lost test one for each part that failed in the end, and one more if pytest says so.
    assert "8 failed" in last, parts.output
    assert "3 recovered" in last
    junit = ET.parse(parts.folder / "junit.xml").getroot().find("testsuite")
    assert junit is not None
    recovered = [case for case in junit.iter("testcase") if "recovers" in str(case.get("name"))]
    failed = [case.get("name") for case in recovered if case.find("failure") is not None]
    assert set(failed) == {"test_subtest_never_recovers"}


def test_reports_of_superseded_subtests_are_reruns(parts: SuiteRun) -> None:
    found = outcomes(parts, "test_subtest_recovers")
    assert ("call", "failed") not in found
    assert found.count(("call", "rerun")) == 3
    assert found[-2:] == [("call", "passed"), ("teardown", "passed")]
