"""With pytest-xdist: verdicts of all workers arrive once, everywhere."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

XDIST = ("xdist.plugin",)

SUITE = """
    import pytest
    from tests.plugin.breakage import lose_browser, note

    @pytest.mark.parametrize("number", range(4))
    def test_passes(number):
        pass

    @pytest.mark.parametrize("number", range(3))
    def test_recovers(number):
        if note(f"recovers {number}") <= number:
            lose_browser()

    def test_wrong():
        note("wrong")
        assert "price" == "9.99"

    def test_lost():
        note("lost")
        lose_browser()

    def test_parts(subtests):
        attempt = note("parts")
        with subtests.test("part"):
            if attempt == 1:
                lose_browser()

    def test_wrong_part(subtests):
        with subtests.test("part"):
            assert "price" == "9.99"

    @pytest.fixture
    def ends_badly():
        yield
        lose_browser()

    def test_teardown_loses_browser(ends_badly):
        pass

    def test_skipped():
        pytest.skip("not today")
"""
COUNTS = {"passed": 5, "recovered": 4, "failed": 2, "unrecovered": 1, "skipped": 1}


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """One run on two workers."""
    return run_inner(SUITE, "-n2", plugins=XDIST)


def test_verdicts_of_the_workers_arrive_in_the_controller(run: SuiteRun) -> None:
    assert run.status == 1, run.output
    assert run.counts == COUNTS
    assert len(run.summary["tests"]) == sum(COUNTS.values())
    assert {test["worker"] for test in run.summary["tests"]} == {"gw0", "gw1"}
    assert "verdicts: 5 passed, 4 recovered, 2 failed, 1 unrecovered" in run.output


def test_attempts_of_the_workers_arrive_in_the_controller(run: SuiteRun) -> None:
    assert [a["outcome"] for a in run.attempts("test_recovers[2]")] == ["rerun", "rerun", "passed"]
    assert [a["number"] for a in run.attempts("test_lost")] == [1, 2, 3, 4]
    assert [a["error_type"] for a in run.attempts("test_lost")] == ["browser"] * 4


def test_the_history_counts_what_the_summary_counts(run: SuiteRun) -> None:
    import duckdb

    with duckdb.connect(str(run.folder / ".resilience" / "history.duckdb"), read_only=True) as db:
        verdicts = db.sql("select verdict, count(*) from test_results group by all").fetchall()
        attempts = db.sql("select count(*) from attempts").fetchall()
        sessions = db.sql("select count(*) from sessions").fetchall()
    assert dict(verdicts) == COUNTS
    assert attempts == [(sum(len(test["attempts"]) for test in run.summary["tests"]),)]
    assert sessions == [(1,)]


def test_strict_fails_the_controller(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "-n2", "--resilience-strict", "-k", "recovers", plugins=XDIST)
    assert run.status == 1
    assert run.counts == {"recovered": 2, "passed": 1}


STOPPED = {
    "conftest.py": """
        import os
        from pathlib import Path
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if "PYTEST_XDIST_WORKER" not in os.environ and report.outcome in ("rerun", "failed"):
                Path(report.outcome).touch()
    """,
    "test_it.py": """
        import time
        from pathlib import Path
        import pytest
        from tests.plugin.breakage import lose_browser, note

        def until(outcome):
            end = time.monotonic() + 60
            while not Path(outcome).exists():
                assert time.monotonic() < end, f"nothing was reported as {outcome}"
                time.sleep(0.01)

        def test_recovers():
            attempt = note("recovers")
            if attempt == 2:
                until("failed")
            if attempt <= 2:
                lose_browser()

        def test_next_to_it():
            pass

        # The other worker begins here, and is given the rest little by little.
        @pytest.mark.parametrize("number", range(10))
        def test_before(number):
            until("rerun")

        def test_wrong():
            assert "price" == "9.99"

        @pytest.mark.parametrize("number", range(30))
        def test_after(number):
            note("after")
    """,
}


def test_only_final_failures_stop_a_distributed_session(run_inner: RunInner) -> None:
    """Not those that a rerun follows; and what another worker is in the middle of ends."""
    run = run_inner(STOPPED, "-n2", "-x", plugins=XDIST)
    assert run.status == 2, run.output
    assert "stopping after 1 failures" in run.output
    assert run.verdicts["test_wrong"] == "failed"
    assert run.verdicts["test_recovers"] == "recovered"
    assert [a["outcome"] for a in run.attempts("test_recovers")] == ["rerun", "rerun", "passed"]
    assert {run.verdicts[f"test_before[{number}]"] for number in range(10)} == {"passed"}
    assert run.log("test_it.txt").count("after") < 30


def test_a_wrong_marker_is_refused_before_any_test_runs(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import note

        def test_first():
            note("ran")

        @pytest.mark.resilience(retry="some")
        def test_marked():
            note("ran")
        """,
        "-n2",
        plugins=XDIST,
    )
    assert run.status == 4, run.output
    assert run.log("test_it.txt") == []
    assert "infrastructure, ambiguous, all" in run.output
    assert "INTERNALERROR" not in run.output
