"""Ctrl-C, and a SIGTERM, end the run, and with it every browser."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run

pytestmark = pytest.mark.browser

#: A failure whose recovery is interrupted is final.
VERDICTS = {
    "call": {"test_before": "passed"},
    "start": {"test_before": "passed"},
    "recovery": {"test_before": "passed", "test_interrupted": "unrecovered"},
}


@pytest.mark.parametrize("moment", VERDICTS)
def test_no_browser_outlives_an_interrupted_run(moment: str, run_browsers: Run) -> None:
    """In the middle of a command, of a browser's start, of a recovery; nothing runs afterwards."""
    run = run_browsers({"test_it.py": "@interrupted"}, env={"MOMENT": moment})
    assert run.status == 2, run.output
    assert run.verdicts == VERDICTS[moment]
    assert run.log() == ["+driver", "-driver"]


@pytest.mark.parametrize("moment", VERDICTS)
def test_no_browser_outlives_a_run_that_is_told_to_end(moment: str, run_browsers: Run) -> None:
    """SIGTERM does what Ctrl-C does: fixtures are torn down, and the reports are written."""
    environment = {"MOMENT": moment, "SIGNAL": "SIGTERM"}
    run = run_browsers({"test_it.py": "@interrupted"}, env=environment)
    assert run.status == 2, run.output
    assert run.verdicts == VERDICTS[moment]
    assert run.log() == ["+driver", "-driver"]
