"""A browser that can never start costs a bounded number of tries, and no test is lost."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, counted_everywhere, told

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "binary", ["/nonexistent/chromium", "/bin/false"], ids=["missing", "exits"]
)
def test_few_set_ups_for_many_tests(binary: str, run_browsers: Run) -> None:
    """At most 5 set-ups for ten tests, all of them red as infrastructure, the other one green."""
    run = run_browsers(
        {"test_it.py": "@never_starts"}, "--resilience-max-wait", "5", env={"BINARY": binary}
    )
    verdicts = run.verdicts
    assert verdicts.pop("test_without_browser") == "passed", run.output
    tried = [v for v in verdicts.values() if v == "unrecovered"]
    assert list(verdicts.values()).count("blocked") == len(verdicts) - len(tried), run.output
    assert len(tried) <= 5
    assert run.status == 1
    assert 1 <= run.log().count("set-up") <= 5
    expected = {"passed": 1, "unrecovered": len(tried), "blocked": 10 - len(tried)}
    assert counted_everywhere(run) == [expected] * 4


def test_a_browser_that_starts_at_the_second_try_is_waited_for(run_browsers: Run) -> None:
    """Nothing keeps the first failure, although no test names the fixture it happened in."""
    plan = {"test_fixture_asks": ("start", "exit"), "test_asks": ("start", "exit")}
    run = run_browsers({"test_it.py": "@late"}, plan=plan)
    assert told(run) == {
        "test_fixture_asks": ("recovered", "rerun in setup resource immediate_retry", "passed"),
        "test_asks": ("recovered", "rerun in call resource immediate_retry", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    assert run.log() == ["+driver", "+account", "+other", "-account", "-other", "-driver"]
