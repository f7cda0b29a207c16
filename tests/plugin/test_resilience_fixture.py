"""The fixture `resilience`: what a test can ask about the attempt that runs."""

from __future__ import annotations

import dataclasses

import pytest

import pytest_resilience
from pytest_resilience.core.events import Attempt
from pytest_resilience.plugin.handle import PastDiagnosis
from tests.docs.pages import DOCS, sections, tables
from tests.plugin.conftest import RunInner

RECOVERS = """
    from tests.plugin.breakage import lose_browser, note

    def test_it(resilience):
        note(f"attempt {resilience.attempt}")
        past = resilience.diagnosis
        if past is None:
            lose_browser()
        note(f"{past.attempt} {past.error_type} {past.infrastructure} {past.exception}")
        assert "invalid session id" in past.message
        assert past.rule and past.strategy and past.level and past.reason
        assert (past.phase, past.worker) == ("call", __import__("os").environ.get(
            "PYTEST_XDIST_WORKER", "main"))
        assert isinstance(past.evidence, tuple)
"""
RECOVERED = ["attempt 1", "attempt 2", "1 browser True InvalidSessionIdException"]


@pytest.mark.parametrize(
    ("arguments", "plugins"),
    [
        pytest.param((), (), id="alone"),
        pytest.param(("-n", "2"), ("xdist",), id="xdist"),
    ],
)
def test_the_second_attempt_knows_why_the_first_one_failed(
    arguments: tuple[str, ...], plugins: tuple[str, ...], run_inner: RunInner
) -> None:
    run = run_inner(RECOVERS, *arguments, plugins=plugins)
    assert run.verdicts == {"test_it": "recovered"}, run.output
    assert run.log("test_it.txt") == RECOVERED


def test_what_was_diagnosed_goes_along_to_another_worker(run_inner: RunInner) -> None:
    """Also where the worker was lost and could say nothing itself."""
    source = """
        import os
        from tests.plugin.breakage import note

        def test_it(resilience):
            note(f"attempt {resilience.attempt}")
            if resilience.attempt == 1:
                os._exit(3)
            past = resilience.diagnosis
            note(f"{past.error_type} {past.worker != os.environ['PYTEST_XDIST_WORKER']}")

        def test_other():
            pass
    """
    run = run_inner(source, "-n", "2", plugins=("xdist",))
    assert run.verdicts == {"test_it": "recovered", "test_other": "passed"}, run.output
    assert run.log("test_it.txt") == ["attempt 1", "attempt 2", "worker True"]


def test_every_test_begins_anew(run_inner: RunInner) -> None:
    """The attempts of one test say nothing about the next one."""
    source = (
        RECOVERS
        + """
    def test_next(resilience):
        assert (resilience.attempt, resilience.diagnosis) == (1, None)
    """
    )
    assert run_inner(source).verdicts == {"test_it": "recovered", "test_next": "passed"}


def test_without_the_plugin_switched_on_every_attempt_is_the_first(run_inner: RunInner) -> None:
    source = """
        def test_it(resilience):
            assert (resilience.attempt, resilience.diagnosis) == (1, None)
            assert repr(resilience) == "<Resilience of test_it.py::test_it, attempt 1>"
    """
    run = run_inner(source, resilience=False)
    assert run.status == 0, run.output


@pytest.mark.parametrize("resilience", [True, False], ids=["switched-on", "switched-off"])
def test_attempts_of_rerunfailures_count(resilience: bool, run_inner: RunInner) -> None:
    source = """
        def test_it(resilience):
            past = resilience.diagnosis
            print("past", past and past.error_type)
            assert resilience.attempt == 3
    """
    run = run_inner(
        source, "--reruns", "3", plugins=("pytest_rerunfailures",), resilience=resilience
    )
    assert run.status == 0, run.output
    assert "1 passed, 2 rerun" in run.output


def test_a_class_of_unittest_can_take_it(run_inner: RunInner) -> None:
    source = """
        import unittest, pytest
        from tests.plugin.breakage import lose_browser, note

        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _take(self, resilience):
                self.resilience = resilience

            def test_it(self):
                note(f"attempt {self.resilience.attempt}")
                if self.resilience.diagnosis is None:
                    lose_browser()
    """
    run = run_inner(source)
    assert run.counts == {"recovered": 1}, run.output
    assert run.log("test_it.txt") == ["attempt 1", "attempt 2"]


def test_what_is_told_cannot_be_changed_and_is_documented() -> None:
    (rows,) = tables(sections(DOCS / "reference" / "fixtures.md", level=3)["PastDiagnosis"])
    fields = [field.name for field in dataclasses.fields(PastDiagnosis)]
    assert [row["attribute"] for row in rows] == fields
    past = PastDiagnosis.of(Attempt(error_type="browser"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        past.message = "other"  # type: ignore[misc]
    assert pytest_resilience.PastDiagnosis is PastDiagnosis
