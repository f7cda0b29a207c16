"""The same with Firefox, which dies in its own way."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser


def test_a_killed_firefox_is_recovered(run_browsers: Run) -> None:
    """A new one for the session, nothing left of the old one, and the product still judged."""
    run = run_browsers({"test_it.py": "@firefox"}, plan={"test_killed": ("call", "browser")})
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_killed": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_after": ("passed", "passed"),
        "test_product": ("failed", "failed in call product"),
    }, run.output
    assert run.log() == ["+driver", "-driver"] * 2
