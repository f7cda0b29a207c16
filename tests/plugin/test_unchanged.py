"""A suite in which no infrastructure fails is what it is without the plugin."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, reports

SUITE = {
    "conftest.py": """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="session", autouse=True)
        def everywhere():
            note("everywhere+")
            yield
            note("everywhere-")

        @pytest.fixture(scope="package")
        def package():
            note("package+")
            yield
            note("package-")
    """,
    "test_scopes.py": """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="session", params=["small", "large"])
        def size(request):
            note(f"{request.param}+")
            yield request.param
            note(f"{request.param}-")

        @pytest.fixture(scope="module")
        def page(package, size):
            note("page+")
            yield size
            note("page-")

        @pytest.fixture(scope="class")
        def form(page):
            note("form+")
            yield page
            note("form-")

        @pytest.fixture
        def field(form, request):
            note("field+")
            request.addfinalizer(lambda: note("field finalizer"))
            yield request.getfixturevalue("form")
            note("field-")

        class TestForm:
            def test_field(self, field):
                note(f"test {field}")

            @pytest.mark.parametrize("value", ["", "ä", "x" * 40])
            def test_value(self, field, value):
                note(f"test {field} {len(value)}")
                assert len(value) < 40

        def test_page(page, tmp_path, capsys, caplog, monkeypatch, record_property):
            record_property("size", page)
            print("seen")
            assert capsys.readouterr().out == "seen\\n"

        def test_dynamic(request):
            assert request.getfixturevalue("package") is None
    """,
    "test_xunit.py": """
        import unittest
        from tests.plugin.breakage import note

        def setup_module(module):
            note("module+")

        def teardown_module(module):
            note("module-")

        def setup_function(function):
            note("function+")

        def teardown_function(function):
            note("function-")

        def test_function():
            pass

        class TestClass:
            def setup_class(cls):
                note("class+")

            def teardown_class(cls):
                note("class-")

            def setup_method(self):
                note("method+")

            def teardown_method(self):
                note("method-")

            def test_one(self):
                pass

            def test_two(self):
                assert "price" == "9.99"

        class TestUnit(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                note("unit class+")

            @classmethod
            def tearDownClass(cls):
                note("unit class-")

            def setUp(self):
                self.addCleanup(note, "cleanup")

            def test_passes(self):
                pass

            def test_fails(self):
                self.fail("the product is wrong")

            @unittest.expectedFailure
            def test_expected(self):
                self.fail("known")

            @unittest.expectedFailure
            def test_unexpected(self):
                pass

            @unittest.skip("not today")
            def test_skipped(self):
                pass

            def test_skips(self):
                raise unittest.SkipTest("not here")
    """,
    "test_outcomes.py": """
        import warnings
        import pytest

        @pytest.fixture
        def broken_set_up():
            raise ValueError("fixture is wrong")

        @pytest.fixture
        def broken_teardown():
            yield
            raise ValueError("fixture ends wrong")

        @pytest.fixture
        def skipping():
            pytest.skip("no such device")

        def test_set_up_error(broken_set_up):
            pass

        def test_teardown_error(broken_teardown):
            pass

        def test_both_errors(broken_teardown):
            assert "price" == "9.99"

        def test_skipped_by_fixture(skipping):
            pass

        @pytest.mark.skipif(True, reason="never")
        def test_skipped():
            pass

        @pytest.mark.xfail(reason="known")
        def test_expected():
            assert False

        @pytest.mark.xfail(raises=KeyError)
        def test_expected_other():
            raise ValueError

        @pytest.mark.xfail
        def test_unexpected():
            pass

        @pytest.mark.xfail(strict=True)
        def test_strict():
            pass

        @pytest.mark.xfail(run=False)
        def test_not_run():
            raise RuntimeError

        def test_imperative():
            pytest.xfail("known")

        def test_warns():
            warnings.warn("careful")

        def test_failing_prints():
            print("some output")
            pytest.fail("on purpose", pytrace=False)
    """,
    "test_parts.py": """
        import unittest

        def test_parts(subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1

        class TestParts(unittest.TestCase):
            def test_unit_parts(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
    """,
}

LOGS = ("conftest", "test_scopes", "test_xunit")


@pytest.fixture(scope="module")
def runs(run_inner: RunInner) -> tuple[SuiteRun, SuiteRun]:
    """The same suite without and with ``--resilience``."""
    arguments = ("-rA", "--report-log", "log.jsonl")
    plain, ours = (
        run_inner(SUITE, *arguments, plugins=REPORT_LOG, resilience=enabled)
        for enabled in (False, True)
    )
    return plain, ours


def test_the_exit_status_is_the_same(runs: tuple[SuiteRun, SuiteRun]) -> None:
    plain, ours = runs
    assert plain.status == ours.status == 1


def test_outcomes_and_their_order_are_the_same(runs: tuple[SuiteRun, SuiteRun]) -> None:
    plain, ours = (_reported(run) for run in runs)
    assert len(plain) > 80
    assert ours == plain


def _reported(run: SuiteRun) -> list[Any]:
    """Return what reports say; of a test with parts, the report of its set-up moves to the front.

    The plugin publishes that one when it knows that the attempt is final.
    """
    found: list[Any] = []
    for report in reports(run):
        entry = (
            report["nodeid"],
            report["when"],
            report["outcome"],
            report.get("wasxfail"),
            report["user_properties"],
            [name for name, _text in report["sections"]],
            str(report.get("_subtest.context")),
        )
        first = next((i for i, e in enumerate(found) if e[0] == entry[0]), len(found))
        found.insert(first if report["when"] == "setup" else len(found), entry)
    return found


@pytest.mark.parametrize("module", LOGS)
def test_fixtures_are_set_up_and_torn_down_at_the_same_moments(
    runs: tuple[SuiteRun, SuiteRun], module: str
) -> None:
    plain, ours = (run.log(f"{module}.txt") for run in runs)
    assert plain
    assert ours == plain


def test_progress_letters_and_short_summary_are_the_same(runs: tuple[SuiteRun, SuiteRun]) -> None:
    plain, ours = (_shown(run) for run in runs)
    assert len(plain) > 40
    assert ours == plain


def _shown(run: SuiteRun) -> list[str]:
    lines = run.output.splitlines()
    progress = [line for line in lines if re.match(r"test_\w+\.py [.FEsxXu,-]+", line)]
    summary = lines[next(i for i, line in enumerate(lines) if "short test summary" in line) :]
    return progress + [re.sub(r" in \d+\.\d+s", "", line).strip("=") for line in summary]


def test_the_verdicts_agree_with_the_outcomes(runs: tuple[SuiteRun, SuiteRun]) -> None:
    _plain, ours = runs
    assert ours.counts == {
        "passed": 13,
        "failed": 13,
        "skipped": 4,
        "xfailed": 4,
        "xpassed": 1,
    }, ours.verdicts
    assert ours.summary["events_lost"] == 0
