"""Which fixtures are set up anew between attempts, and which are left alone."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

SUITE = {
    "test_module_set_up.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session")
        def server():
            note("server+")
            yield
            note("server-")

        @pytest.fixture(scope="module")
        def page(server):
            if note("page+") == 1:
                lose_browser()
            yield
            note("page-")

        def test_with_module_fixture(page):
            note("one")

        def test_with_module_fixture_again(page):
            note("two")
    """,
    "test_class_set_up.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session")
        def server():
            note("server+")
            yield
            note("server-")

        @pytest.fixture(scope="class")
        def page(server):
            if note("page+") <= 2:
                lose_browser()
            yield
            note("page-")

        class TestClassFixture:
            def test_with_class_fixture(self, page):
                note("one")

            def test_with_class_fixture_again(self, page):
                note("two")
    """,
    "test_class_kept.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="class")
        def page():
            note("page+")
            yield
            note("page-")

        class TestKept:
            def test_uses_class_fixture(self, page):
                note("one")

            def test_uses_no_fixture(self):
                if note("two") == 1:
                    lose_browser()

            def test_uses_class_fixture_too(self, page):
                note("three")
    """,
    "test_then_product.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="class")
        def page():
            note("page+")
            yield
            note("page-")

        class TestThenProduct:
            def test_lost_then_wrong(self, page):
                if note("call") == 1:
                    lose_browser()
                assert 1 + 1 == 3

        def test_after_product_failure():
            note("after")
    """,
    "test_skipping.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session")
        def server():
            note("server+")
            yield
            note("server-")

        @pytest.fixture(scope="module")
        def page(server):
            note("page+")
            yield
            note("page-")

        @pytest.fixture
        def unsupported(page):
            note("asked")
            pytest.skip("not on this machine")

        @pytest.fixture
        def lost_and_unsupported(page):
            if note("lost") == 1:
                lose_browser()
            pytest.skip("not on this machine")

        def test_skipped_in_fixture(unsupported):
            note("never")

        def test_skipped_in_second_attempt(lost_and_unsupported):
            note("never")

        def test_skipped_at_last(unsupported):
            note("never")
    """,
    "test_instances.py": """
        import unittest
        from tests.plugin.breakage import lose_browser, note

        ids, kept = set(), []

        class TestInstance:
            def test_new_instance(self):
                note(f"plain {getattr(self, 'used', False)}")
                self.used = True
                if note("plain") == 1:
                    lose_browser()

        class TestUnit(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                note("class+")
                cls.addClassCleanup(lambda: note("class cleanup"))

            @classmethod
            def tearDownClass(cls):
                note("class-")

            def setUp(self):
                note("setUp")
                seen = id(self) in ids
                self.addCleanup(lambda: note(f"cleanup of {seen}"))
                ids.add(id(self))
                kept.append(self)

            def tearDown(self):
                note("tearDown")

            def test_new_test_case(self):
                note(f"unittest {getattr(self, 'used', False)}")
                self.used = True
                if note("unittest") == 1:
                    lose_browser()
    """,
    "test_xunit.py": """
        from tests.plugin.breakage import lose_browser, note

        def setup_module():
            note("module+")

        def teardown_module():
            note("module-")

        def setup_function():
            note("function+")

        def teardown_function():
            note("function-")

        def test_between_xunit():
            if note("call") == 1:
                lose_browser()
    """,
    "test_parameters.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session", params=["chrome", "firefox"])
        def browser(request):
            note(f"{request.param}+")
            yield request.param
            note(f"{request.param}-")

        def test_parameter(browser):
            if note(f"call {browser}") == 1:
                lose_browser()
    """,
    "test_zz_last.py": """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session")
        def server():
            note("server+")
            yield
            note("server-")

        def test_last_of_all(server):
            if note("call") == 1:
                lose_browser()
    """,
}


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """One run of all of the suite."""
    return run_inner(SUITE)


def test_only_the_product_failure_fails_the_run(run: SuiteRun) -> None:
    verdicts = run.verdicts
    assert run.status == 1, run.output
    assert [name for name, verdict in verdicts.items() if verdict == "failed"] == [
        "TestThenProduct::test_lost_then_wrong"
    ]
    assert run.counts == {
        "passed": 5, "recovered": 9, "failed": 1, "unrecovered": 1, "skipped": 2,
    }  # fmt: skip


def test_a_module_fixture_that_failed_to_set_up_is_set_up_once_more_and_then_kept(
    run: SuiteRun,
) -> None:
    assert run.log("test_module_set_up.txt") == [
        *("server+", "page+", "page+", "one", "two", "page-", "server-")
    ]


def test_a_class_fixture_that_fails_twice_is_set_up_three_times_on_one_session_fixture(
    run: SuiteRun,
) -> None:
    assert run.log("test_class_set_up.txt") == [
        *("server+", "page+", "page+", "page+", "one", "two", "page-", "server-")
    ]


def test_a_class_fixture_outlives_the_rerun_of_a_test_that_does_not_use_it(run: SuiteRun) -> None:
    assert run.log("test_class_kept.txt") == ["page+", "one", "two", "two", "three", "page-"]


def test_wider_fixtures_are_torn_down_once_when_a_rerun_ends_in_a_product_failure(
    run: SuiteRun,
) -> None:
    assert run.log("test_then_product.txt") == ["page+", "call", "call", "page-", "after"]


def test_a_skip_in_a_function_fixture_leaves_the_wider_fixtures_to_be_torn_down(
    run: SuiteRun,
) -> None:
    """Once, at their own time: also where the skip ends a rerun, and is the last of its module."""
    assert run.log("test_skipping.txt") == [
        *("server+", "page+", "asked", "lost", "lost", "asked", "page-", "server-")
    ]
    assert run.verdicts["test_skipped_in_fixture"] == "skipped"
    assert run.verdicts["test_skipped_in_second_attempt"] == "unrecovered"
    assert run.verdicts["test_skipped_at_last"] == "skipped"


def test_each_attempt_gets_a_new_instance_of_its_class(run: SuiteRun) -> None:
    assert run.log("test_instances.txt") == [
        *("plain False", "plain", "plain False", "plain"),
        "class+",
        *("setUp", "unittest False", "unittest", "tearDown", "cleanup of False"),
        *("setUp", "unittest False", "unittest", "tearDown", "cleanup of False"),
        *("class-", "class cleanup"),
    ]


def test_xunit_functions_run_per_attempt_and_module_setup_once(run: SuiteRun) -> None:
    assert run.log("test_xunit.txt") == [
        *("module+", "function+", "call", "function-", "function+", "call", "function-"),
        "module-",
    ]


def test_a_parametrized_session_fixture_is_set_up_once_per_parameter(run: SuiteRun) -> None:
    assert run.log("test_parameters.txt") == [
        *("chrome+", "call chrome", "call chrome", "chrome-"),
        *("firefox+", "call firefox", "call firefox", "firefox-"),
    ]


def test_the_last_test_of_the_session_keeps_its_session_fixture_between_attempts(
    run: SuiteRun,
) -> None:
    assert run.log("test_zz_last.txt") == ["server+", "call", "call", "server-"]


def test_a_fixture_that_always_fails_is_given_up_after_a_constant_number_of_set_ups(
    run_inner: RunInner,
) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="module")
        def page():
            note("page+")
            lose_browser()

        @pytest.mark.parametrize("number", range(8))
        def test_never(page, number):
            note("never")
        """
    )
    assert run.status == 1
    assert run.counts == {"unrecovered": 8}
    assert run.log("test_it.txt") == ["page+"] * 5
    assert "failed to set up 5 times in a row" in run.output
