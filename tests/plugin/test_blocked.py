"""What becomes of the fixtures that a blocked test shares with others."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

SUITE = """
    import pytest
    from tests.plugin.breakage import lose_browser

    pytestmark = pytest.mark.resilience(test_type="checkout", max_attempts=1)

    @pytest.fixture(scope="module")
    def cart():
        yield
        {ending}

    def test_before(cart):
        pass

    @pytest.mark.parametrize("n", [1, 2])
    def test_lost(cart, n):
        lose_browser()

    def test_turned_away(cart):
        pass
"""
SETTINGS = ("--circuit-breaker-threshold", "2", "--circuit-open-action", "block")


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """The shared fixture has lost its browser too."""
    return run_inner(SUITE.format(ending="lose_browser()"), *SETTINGS)


def test_a_shared_fixture_without_its_browser_is_no_error_beside_blocked(run: SuiteRun) -> None:
    assert run.verdicts["test_turned_away"] == "blocked", run.output
    assert "1 blocked" in run.output
    assert " error" not in run.output.splitlines()[-1]


def test_a_shared_fixture_that_is_wrong_itself_is_an_error_all_the_same(
    run_inner: RunInner,
) -> None:
    run = run_inner(SUITE.format(ending="assert 'total' == '9.99'"), *SETTINGS)
    assert run.verdicts["test_turned_away"] == "blocked", run.output
    assert "1 error" in run.output.splitlines()[-1]
    assert "assert 'total' == '9.99'" in run.output
