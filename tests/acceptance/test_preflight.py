"""A browser that an earlier test left dead is replaced before the next test needs it."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser


def test_a_browser_found_dead_is_replaced_without_spending_an_attempt(run_browsers: Run) -> None:
    """The next test runs once, in a new browser, and is told as recovered with the evidence."""
    run = run_browsers({"test_it.py": "@shared"})
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_leaves_a_dead_browser_behind": ("passed", "passed"),
        "test_next": ("recovered", "passed in setup browser browser_restart"),
        "test_needs_no_browser": ("passed", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    evidence = run.attempts("test_next")[0]["evidence"]
    assert _of(evidence)["answer"] in ("gone", "zombie")
    assert run.log().count("ran") == 1
    assert (run.log().count("+driver"), run.log().count("+database")) == (2, 1)
    assert "1 recovered" in run.output
    assert run.status == 0


def test_without_the_check_the_next_test_spends_an_attempt(run_browsers: Run) -> None:
    """Switched off, the dead browser is noticed by the test that needs it."""
    run = run_browsers({"test_it.py": "@shared"}, "--no-resilience-preflight")
    assert told(run)["test_next"] == (
        "recovered",
        "rerun in call browser browser_restart",
        "passed",
    ), run.output


def test_a_recovery_before_the_test_never_hides_its_product_failure(run_browsers: Run) -> None:
    """Found dead, replaced, and then the assertion fails: the product failed."""
    suite = {"test_it.py": "@shared"}
    broken = """
        import pytest

        @pytest.fixture(autouse=True)
        def wrong(request):
            yield
            if request.node.name == "test_next":
                assert "price" == "right"
    """
    run = run_browsers({**suite, "conftest.py": broken})
    assert run.verdicts["test_next"] == "failed", run.output
    assert len(run.attempts("test_next")) == 1
    assert run.status == 1


def _of(evidence: list[dict[str, object]]) -> dict[str, object]:
    return next(entry for entry in evidence if entry["probe"] == "browser_process")
