"""What is reported of attempts and verdicts: to pytest, its plugins, and the exit status."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, outcomes, reports

SUITE = {
    "conftest.py": """
        from tests.plugin.breakage import note

        def pytest_runtest_logstart(nodeid):
            note(f"start {nodeid}")

        def pytest_runtest_logfinish(nodeid):
            note(f"finish {nodeid}")

        def pytest_runtest_logreport(report):
            note(f"{report.when} {report.outcome} {report.nodeid}")
    """,
    "test_it.py": """
        import time
        import pytest
        from tests.plugin.breakage import crash_tab, lose_browser, note

        def test_passes():
            pass

        def test_recovers(request, record_property):
            attempt = note("recovers")
            note(f"execution {getattr(request.node, 'execution_count', 1)}")
            record_property("attempt", attempt)
            time.sleep(0.02 * attempt)
            if attempt <= 2:
                lose_browser()

        def test_never_recovers():
            crash_tab()

        def test_product_is_wrong():
            note("product")
            assert "price" == "9.99"

        @pytest.fixture
        def fragile():
            yield
            if note("teardown") == 1:
                lose_browser()

        def test_call_and_teardown_fail(fragile):
            if note("both") == 1:
                lose_browser()

        @pytest.fixture
        def ends_badly():
            yield
            lose_browser()

        def test_teardown_loses_browser(ends_badly):
            note("ends badly")

        @pytest.fixture
        def ends_wrong():
            yield
            assert "left" == "clean"

        def test_teardown_finds_product_wrong(ends_wrong):
            note("ends wrong")

        @pytest.mark.xfail
        def test_expected_to_fail():
            note("xfail")
            lose_browser()

        @pytest.mark.xfail(strict=True)
        def test_strictly_expected_to_fail():
            note("strict xfail")

        @pytest.mark.xfail
        def test_unexpectedly_passes():
            note("xpass")

        def test_skips():
            note("skip")
            pytest.skip("not today")

        def test_fails_then_skips():
            if note("then skip") == 1:
                lose_browser()
            pytest.skip("no browser here")
    """,
}

FINAL = ["passed", "passed", "passed"]


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """One verbose run with every report that pytest can write."""
    return run_inner(
        SUITE,
        *("-v", "--durations=0", "-vv", "-o", "junit_family=xunit1"),
        *("--junitxml", "junit.xml", "--report-log", "log.jsonl"),
        plugins=REPORT_LOG,
    )


@pytest.fixture(scope="module")
def junit(run: SuiteRun) -> ET.Element:
    """The test suite element of the JUnit report."""
    suite = ET.parse(run.folder / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    return suite


def test_every_item_has_one_verdict(run: SuiteRun) -> None:
    assert run.verdicts == {
        "test_passes": "passed",
        "test_recovers": "recovered",
        "test_never_recovers": "unrecovered",
        "test_product_is_wrong": "failed",
        "test_call_and_teardown_fail": "recovered",
        "test_teardown_loses_browser": "recovered",
        "test_teardown_finds_product_wrong": "failed",
        "test_expected_to_fail": "xfailed",
        "test_strictly_expected_to_fail": "failed",
        "test_unexpectedly_passes": "xpassed",
        "test_skips": "skipped",
        "test_fails_then_skips": "unrecovered",
    }, run.output
    assert run.status == 1


def test_the_terminal_counts_reruns_and_recovered_tests(run: SuiteRun) -> None:
    last = run.output.splitlines()[-1]
    for part in ("4 failed", "3 recovered", "2 passed", "7 rerun", "1 error", "1 skipped"):
        assert part in last, run.output
    assert run.output.count("test_recovers RERUN") == 2
    assert run.output.count("test_recovers RECOVERED") == 1
    assert run.output.count("test_never_recovers FAILED") == 1


def test_an_attempt_is_published_as_one_report_with_an_outcome_the_ecosystem_knows(
    run: SuiteRun,
) -> None:
    assert outcomes(run, "test_recovers") == [
        *(("call", "rerun"), ("call", "rerun")),
        *(("setup", "passed"), ("call", "passed"), ("teardown", "passed")),
    ]
    assert {r["outcome"] for r in reports(run)} == {"passed", "failed", "skipped", "rerun"}


def test_call_and_teardown_failing_in_one_attempt_cause_one_rerun(run: SuiteRun) -> None:
    assert outcomes(run, "test_call_and_teardown_fail") == [
        ("call", "rerun"),
        *(("setup", "passed"), ("call", "passed"), ("teardown", "passed")),
    ]
    assert run.log("test_it.txt").count("both") == 2
    rerun = next(r for r in reports(run) if r["nodeid"].endswith("test_call_and_teardown_fail"))
    assert [name for name, _text in rerun["sections"]] == ["Teardown of this attempt"]


def test_logstart_and_logfinish_frame_each_item_once(run: SuiteRun) -> None:
    """Whatever is reported of it comes between the two, its attempts that are repeated too."""
    told = [line.rpartition(" ") for line in run.log("conftest.txt")]
    items = list(dict.fromkeys(nodeid for _what, _, nodeid in told))
    assert len(items) == 12
    for item in items:
        where = [index for index, (_what, _, nodeid) in enumerate(told) if nodeid == item]
        assert where == list(range(where[0], where[-1] + 1)), f"{item} is interrupted"
        what = [told[index][0] for index in where]
        assert (what[0], what[-1]) == ("start", "finish"), item
        assert (what.count("start"), what.count("finish")) == (1, 1), item
    assert [what for what, _, nodeid in told if nodeid.endswith("test_recovers")] == [
        *("start", "call rerun", "call rerun"),
        *("setup passed", "call passed", "teardown passed", "finish"),
    ]


def test_reports_and_items_carry_the_attempt_number(run: SuiteRun) -> None:
    numbers = [
        (r["outcome"], r.get("rerun"))
        for r in reports(run)
        if r["nodeid"].endswith("test_recovers") and r["when"] == "call"
    ]
    assert numbers == [("rerun", 0), ("rerun", 1), ("passed", 2)]
    executions = [line for line in run.log("test_it.txt") if line.startswith("execution")]
    assert executions == ["execution 1", "execution 2", "execution 3"]


def test_a_teardown_that_loses_the_browser_is_no_error_of_a_passed_test(run: SuiteRun) -> None:
    assert [o for _when, o in outcomes(run, "test_teardown_loses_browser")] == FINAL
    assert run.log("test_it.txt").count("ends badly") == 1


def test_a_teardown_that_finds_the_product_wrong_stays_an_error(run: SuiteRun) -> None:
    assert outcomes(run, "test_teardown_finds_product_wrong")[-1] == ("teardown", "failed")
    assert run.log("test_it.txt").count("ends wrong") == 1


@pytest.mark.parametrize("name", ["product", "xfail", "strict xfail", "xpass", "skip"])
def test_what_is_no_infrastructure_failure_runs_once(run: SuiteRun, name: str) -> None:
    assert run.log("test_it.txt").count(name) == 1


def test_a_test_that_fails_and_then_skips_itself_is_not_green(run: SuiteRun) -> None:
    assert outcomes(run, "test_fails_then_skips")[:3] == [
        ("call", "rerun"),
        ("setup", "passed"),
        ("call", "failed"),
    ]
    assert "no browser here in attempt 2, after attempt 1 had failed" in run.output


def test_durations_list_every_attempt(run: SuiteRun) -> None:
    listed = [
        float(line.split("s ")[0])
        for line in run.output.splitlines()
        if line.endswith("call     test_it.py::test_recovers")
    ]
    assert len(listed) == 3
    assert sum(listed) >= 0.02 + 0.04 + 0.06


def test_junit_has_one_case_per_item_and_no_failure_for_a_recovered_one(
    junit: ET.Element,
) -> None:
    names = [case.get("name") for case in junit.iter("testcase")]
    assert len(names) == len(set(names)) == 12
    assert (junit.get("failures"), junit.get("errors")) == ("4", "1")
    case = next(c for c in junit.iter("testcase") if c.get("name") == "test_recovers")
    assert not [child.tag for child in case if child.tag in ("failure", "error")]


def test_properties_of_an_attempt_are_not_repeated_in_the_next(junit: ET.Element) -> None:
    case = next(c for c in junit.iter("testcase") if c.get("name") == "test_recovers")
    properties = [(p.get("name"), p.get("value")) for p in case.iter("property")]
    assert properties == [("attempt", "3")]


def test_tracebacks_of_superseded_attempts_are_kept(run: SuiteRun) -> None:
    assert [a["outcome"] for a in run.attempts("test_recovers")] == ["rerun", "rerun", "passed"]
    reruns = [
        r for r in reports(run) if r["nodeid"].endswith("test_recovers") and r["outcome"] == "rerun"
    ]
    for rerun in reruns:
        assert "lose_browser()" in rerun["resilience"]["traceback"]
        assert rerun["longrepr"]["reprcrash"]["message"].startswith("selenium.common")


def test_strict_fails_a_run_in_which_a_test_was_recovered(run_inner: RunInner) -> None:
    suite = """
        from tests.plugin.breakage import lose_browser, note

        def test_recovers():
            if note("call") == 1:
                lose_browser()
    """
    assert run_inner(suite).status == 0
    assert run_inner(suite, "--resilience-strict").status == 1


def test_strict_passes_a_run_in_which_nothing_was_recovered(run_inner: RunInner) -> None:
    assert run_inner("def test_passes(): pass", "--resilience-strict").status == 0


def test_retrying_everything_does_not_hide_a_product_failure_behind_a_later_lost_browser(
    run_inner: RunInner,
) -> None:
    run = run_inner(
        """
        from tests.plugin.breakage import lose_browser, note

        def test_product_then_infrastructure():
            if note("call") == 1:
                assert "the price" == "9.99"
            lose_browser()
        """,
        *("--resilience-retry=all", "--resilience-max-attempts=2"),
    )
    assert run.verdicts == {"test_product_then_infrastructure": "failed"}
    assert "Failure of attempt 1" in run.output
    assert "assert 'the price' == '9.99'" in run.output
    assert "InvalidSessionIdException" in run.output


@pytest.mark.parametrize(
    ("statement", "status"),
    [("pytest.exit('enough', returncode=3)", 3), ("raise KeyboardInterrupt", 2)],
    ids=["exit", "interrupt"],
)
def test_leaving_the_session_ends_it_at_once_with_its_own_status(
    run_inner: RunInner, statement: str, status: int
) -> None:
    run = run_inner(
        f"""
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="session", autouse=True)
        def server():
            yield
            note("server-")

        def test_leaves():
            if note("call") == 1:
                lose_browser()
            {statement}

        def test_not_reached():
            note("reached")
        """
    )
    assert run.status == status, run.output
    assert run.log("test_it.txt") == ["call", "call", "server-"]
    assert "passed" not in run.verdicts.values()


def test_an_interrupt_during_a_recovery_ends_the_session(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import Grid, note

        @pytest.fixture(scope="session")
        def grid():
            grid = Grid()
            yield grid
            note("grid-")
            grid.close()

        @pytest.fixture(scope="session")
        def driver(grid):
            yield grid.driver()
            if note("driver-") == 1:
                raise KeyboardInterrupt

        def test_driver_dies(driver, grid):
            note("call")
            grid.lose(driver)
            driver.title

        def test_not_reached():
            note("reached")
        """
    )
    assert run.status == 2, run.output
    assert run.log("test_it.txt") == ["call", "driver-", "grid-"]


@pytest.mark.parametrize("attempts", ["1", "2"])
def test_no_more_attempts_are_made_than_allowed(run_inner: RunInner, attempts: str) -> None:
    run = run_inner(
        """
        from tests.plugin.breakage import lose_browser, note

        def test_lost():
            note("call")
            lose_browser()
        """,
        f"--resilience-max-attempts={attempts}",
    )
    assert run.log("test_it.txt") == ["call"] * int(attempts)
    assert run.verdicts == {"test_lost": "unrecovered"}
    assert run.status == 1


def test_hooks_of_others_that_fail_in_our_service_change_no_verdict(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": """
                def pytest_resilience_event(kind, payload):
                    raise RuntimeError("listener is broken")

                def pytest_resilience_classify(config):
                    raise RuntimeError("rules are broken")
            """,
            "test_it.py": """
                from tests.plugin.breakage import lose_browser, note

                def test_passes():
                    pass

                def test_recovers():
                    if note("call") == 1:
                        lose_browser()
            """,
        }
    )
    assert run.status == 0, run.output
    assert run.verdicts == {"test_passes": "passed", "test_recovers": "recovered"}
    assert "listener is broken" in run.output
    assert "rules are broken" in run.output
