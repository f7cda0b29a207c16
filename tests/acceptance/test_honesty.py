"""What is the product's or the test's own fault stays a failure, whatever broke around it."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, counted_everywhere, told

pytestmark = pytest.mark.browser


def test_failures_in_a_healthy_browser_are_final_at_once(run_browsers: Run) -> None:
    """One attempt each, also after a crash; a failure behind a crash comes out in the end."""
    plan = {"test_crash": ("call", "browser"), "test_second_crash": ("call", "renderer")}
    run = run_browsers({"test_it.py": "@product"}, plan=plan)
    assert told(run) == {
        "test_crash": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_assertion": ("failed", "failed in call product"),
        "test_title": ("failed", "failed in call product"),
        "test_element": ("failed", "failed in call product"),
        "test_wait": ("failed", "failed in call product"),
        "test_script": ("failed", "failed in call product"),
        "test_alert": ("failed", "failed in call page"),
        "test_stale": ("failed", "failed in call page"),
        "test_selector": ("failed", "failed in call test_code"),
        "test_mistake": ("failed", "failed in call test_code"),
        "test_second_crash": (
            "failed",
            "rerun in call browser browser_restart",
            "failed in call product",
        ),
        "test_after": ("passed", "passed"),
    }, run.output
    assert run.status == 1
    assert counted_everywhere(run) == [{"passed": 1, "recovered": 1, "failed": 10}] * 4


def test_a_browser_that_the_test_ended_is_not_broken(run_browsers: Run) -> None:
    """After its own `quit` or last window a test fails for itself, unless the browser died before."""
    plan = {"test_quit_of_a_dead_browser_then_assertion": ("call", "browser")}
    run = run_browsers({"test_it.py": "@own_end"}, plan=plan)
    assert told(run) == {
        "test_quit_then_assertion": ("failed", "failed in call product"),
        "test_quit_then_command": ("failed", "failed in call test_code"),
        "test_last_window_then_assertion": ("failed", "failed in call product"),
        "test_last_window_then_command": ("failed", "failed in call test_code"),
        "test_quit": ("passed", "passed"),
        "test_quit_of_a_dead_browser_then_assertion": ("failed", "failed in call product"),
    }, run.output


def test_only_the_broken_one_of_several_browsers_counts(run_browsers: Run) -> None:
    """It alone is replaced, and tests that do not use it are not excused by it."""
    plan = {
        "test_both": ("call", "browser"),
        "test_break_left_when_done": ("call", "driver"),
        "test_leak": ("call", "browser"),
    }
    run = run_browsers({"test_it.py": "@several"}, plan=plan)
    results = told(run)
    # Found dead before the test began or in its first attempt: both are told.
    assert results.pop("test_left_again")[0] == "recovered", run.output
    assert results == {
        "test_both": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_break_left_when_done": ("passed", "passed"),
        "test_right_fails": ("failed", "failed in call product"),
        "test_leak": ("passed", "passed"),
        "test_after_leak": ("failed", "failed in call product"),
    }, run.output
    log = run.log()
    assert (log.count("+left"), log.count("+right")) == (3, 1)
