"""A browser that can never start costs a bounded number of tries, and no test is lost."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, counted_everywhere

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("binary", ["/nonexistent/chromium", "/bin/false"], ids=["missing", "exits"])
def test_few_set_ups_for_many_tests(binary: str, run_browsers: Run) -> None:
    """At most 8 set-ups for ten tests, all of them red as infrastructure, the other one green."""
    run = run_browsers({"test_it.py": "@never_starts"}, env={"BINARY": binary})
    verdicts = run.verdicts
    assert verdicts.pop("test_without_browser") == "passed", run.output
    assert verdicts == {f"test_shop[{n}]": "unrecovered" for n in range(10)}, run.output
    assert run.status == 1
    assert 1 <= run.log().count("set-up") <= 8
    assert counted_everywhere(run) == [{"passed": 1, "unrecovered": 10}] * 4
