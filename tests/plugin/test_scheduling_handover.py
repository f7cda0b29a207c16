"""With pytest-xdist: a test that fails on one worker is handed over to another."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, reports, rows

XDIST = ("xdist.plugin",)

#: A worker on which nothing works, and others on which all does.
SUITE = """
    import os
    import time
    import pytest
    from tests.plugin.breakage import lose_browser, note

    WORKER = os.environ["PYTEST_XDIST_WORKER"]

    @pytest.fixture(scope="module")
    def wide():
        note(f"{WORKER} wide+")
        yield
        note(f"{WORKER} wide-")

    @pytest.mark.parametrize("number", range(4))
    def test_it(wide, number):
        note(f"{WORKER} {number}")
        if WORKER == "gw0":
            lose_browser()
        time.sleep(0.05)
"""


def moved(run: SuiteRun) -> dict[str, list[tuple[str, str]]]:
    """Return worker and strategy of each attempt of the tests that left a worker."""
    return {
        test["nodeid"]: [(a["worker"], a["strategy"]) for a in test["attempts"]]
        for test in run.summary["tests"]
        if len({a["worker"] for a in test["attempts"]}) > 1
    }


class TestHandOver:
    """A test that fails only on one worker passes on another."""

    @pytest.fixture(scope="class", params=["load", "worksteal"])
    @classmethod
    def run(cls, request: pytest.FixtureRequest, run_inner: RunInner) -> SuiteRun:
        options = ("-n2", "--dist", request.param, "--report-log", "log.jsonl")
        return run_inner(SUITE, *options, plugins=(*XDIST, *REPORT_LOG))

    def test_all_pass_in_the_end(self, run: SuiteRun) -> None:
        assert run.status == 0, run.output
        assert set(run.counts) == {"passed", "recovered"}
        assert sum(run.counts.values()) == 4

    def test_attempts_on_both_workers_are_one_row(self, run: SuiteRun) -> None:
        assert moved(run)
        for attempts in moved(run).values():
            assert attempts == [
                ("gw0", "browser_restart"),
                ("gw0", "driver_restart"),
                ("gw0", "worker_switch"),
                ("gw1", None),
            ]
        for test in run.summary["tests"]:
            assert [a["number"] for a in test["attempts"]] == [*range(1, len(test["attempts"]) + 1)]

    def test_the_report_of_the_last_attempt_on_a_worker_says_that_the_test_leaves(
        self, run: SuiteRun
    ) -> None:
        leaving = [r for r in reports(run) if "resilience_handover" in r]
        assert {r["outcome"] for r in leaving} == {"rerun"}
        assert {r["worker_id"] for r in leaving} == {"gw0"}
        assert sorted(r["nodeid"] for r in leaving) == sorted(moved(run))

    def test_no_other_worker_is_started(self, run: SuiteRun) -> None:
        workers = {line.split()[0] for line in run.log("test_it.txt")}
        assert workers == {"gw0", "gw1"}

    def test_fixtures_of_a_worker_that_waits_are_torn_down(self, run: SuiteRun) -> None:
        lines = run.log("test_it.txt")
        for worker in ("gw0", "gw1"):
            assert lines.count(f"{worker} wide+") == lines.count(f"{worker} wide-")

    def test_the_history_knows_that_the_switch_cured(self, run: SuiteRun) -> None:
        told = rows(
            run,
            "select strategy_id, success, count(*) from recovery_performance"
            " where strategy_id = 'worker_switch' group by all",
        )
        workers = rows(run, "select distinct worker from test_results")
        twice = rows(run, "select nodeid, number from attempts group by all having count(*) > 1")
        assert told == [("worker_switch", True, len(moved(run)))]
        assert workers == [("gw1",)]
        assert twice == []


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "loadgroup"])
def test_where_tests_of_a_scope_stay_together_none_is_handed_over(
    run_inner: RunInner, mode: str
) -> None:
    run = run_inner(SUITE, "-n2", "--dist", mode, plugins=XDIST)
    assert moved(run) == {}, run.output
    strategies = {a["strategy"] for t in run.summary["tests"] for a in t["attempts"]}
    assert strategies.isdisjoint({"worker_switch", "worker_restart"})


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "loadgroup"])
def test_a_test_may_say_that_it_can_leave_its_scope(run_inner: RunInner, mode: str) -> None:
    """By naming the change of workers among its recoveries; the rest of the scope stays."""
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.xdist_group("shop")
        class TestShop:
            def test_before(self, worker_id):
                note(f"{worker_id} before")

            @pytest.mark.resilience(strategies=["worker_switch", "worker_restart"])
            def test_moves(self, worker_id):
                if note("moves") == 1:
                    lose_browser()

            def test_behind(self, worker_id):
                note(f"{worker_id} behind")

        def test_other():
            pass
    """
    run = run_inner(suite, "-n2", "--dist", mode, plugins=XDIST)
    assert run.counts == {"passed": 3, "recovered": 1}, run.output
    assert len(moved(run)) == 1
    if mode != "loadgroup":
        workers = {line.split()[0] for line in run.log("test_it.txt") if " " in line}
        assert len(workers) == 1


def test_without_another_worker_a_fresh_one_takes_its_place(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "-n1", plugins=XDIST)
    assert run.status == 0, run.output
    assert {worker for (*_, (worker, _)) in moved(run).values()} == {"gw1"}
    assert all(("gw0", "worker_restart") in attempts for attempts in moved(run).values())
    assert "starting another worker beside gw0" in run.output


def test_a_test_that_fails_everywhere_is_handed_over_twice_at_most(run_inner: RunInner) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.resilience(max_attempts=9, strategies=["worker_switch", "worker_restart"])
        def test_lost():
            note(os.environ["PYTEST_XDIST_WORKER"])
            lose_browser()

        @pytest.mark.parametrize("number", range(3))
        def test_passes(number):
            pass
    """
    run = run_inner(suite, "-n2", plugins=XDIST)
    assert run.verdicts["test_lost"] == "unrecovered", run.output
    assert len(run.log("test_it.txt")) == 3
    first, second, third = run.log("test_it.txt")
    assert first != second != third
    assert [a["outcome"] for a in run.attempts("test_lost")] == ["rerun", "rerun", "failed"]


def test_who_forbids_the_level_stays_where_it_is(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "-n2", "--resilience-max-level=3", plugins=XDIST)
    assert moved(run) == {}, run.output


def test_a_session_that_stops_leaves_no_test_without_the_failure_it_left_with(
    run_inner: RunInner,
) -> None:
    suite = """
        import pathlib
        import time
        import pytest
        from tests.plugin.breakage import lose_browser

        @pytest.mark.resilience(strategies=["worker_switch"])
        def test_leaves():
            lose_browser()

        @pytest.mark.parametrize("number", range(3))
        def test_wrong(number):
            deadline = time.monotonic() + 120
            while not pathlib.Path("left").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert False
    """
    controller = """
        import pathlib

        def pytest_runtest_logreport(report):
            # Only once the controller knows that it has left: until then it could stay.
            if report.outcome == "rerun" and hasattr(report, "node"):
                pathlib.Path("left").touch()
    """
    run = run_inner({"test_it.py": suite, "conftest.py": controller}, "-n2", "-x", plugins=XDIST)
    assert run.status != 0
    assert run.verdicts["test_leaves"] == "unrecovered", run.output
    attempts = run.attempts("test_leaves")
    assert [a["outcome"] for a in attempts] == ["rerun", "failed"]
    assert "the session ended before one could" in run.output


def test_a_test_that_is_handed_over_and_then_costs_its_worker_has_one_row(
    run_inner: RunInner,
) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.resilience(strategies=["worker_switch", "worker_restart"])
        def test_troubled():
            times = note("ran")
            if times == 1:
                lose_browser()
            if times == 2:
                os._exit(1)

        @pytest.mark.parametrize("number", range(3))
        def test_passes(number):
            pass
    """
    run = run_inner(suite, "-n2", plugins=XDIST)
    assert run.verdicts["test_troubled"] == "recovered", run.output
    told = [(a["number"], a["error_type"]) for a in run.attempts("test_troubled")]
    assert told == [(1, "browser"), (2, "worker"), (3, None)]
