"""Nothing hangs for longer than the suite itself allows its commands to take."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser


def test_stopped_browsers_and_drivers_are_ended_within_bounds(run_browsers: Run) -> None:
    """The command is given up when the suite's own limit ends it; a quit needs no limit.

    On two stopped ones, selenium's `quit` would outlast the time this run may take.
    """
    plan = {
        "test_browser_stops_in_call": ("call", "stop"),
        "test_driver_stops_in_call": ("call", "stop"),
    }
    run = run_browsers({"test_it.py": "@hanging"}, plan=plan, timeout=280)
    assert told(run) == {
        "test_browser_stops_in_call": (
            "recovered",
            "rerun in call browser browser_restart",
            "passed",
        ),
        "test_driver_stops_in_call": ("recovered", "rerun in call driver driver_restart", "passed"),
        "test_browser_stops_at_the_end": ("passed", "passed"),
        "test_driver_stops_at_the_end": ("passed", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    assert run.log() == ["quit returned"] * 7
