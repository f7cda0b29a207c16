"""pytest-forked: its tests are left to it, and their failures are told for what they are."""

from __future__ import annotations

import json

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

FORKED = ("pytest_forked",)
XDIST = ("xdist.plugin",)

#: Up to 1.7 its children cannot send home the reports of pytest 9.1 and later.
SENDS_REPORTS = """
    import pytest_forked

    serialize_report = pytest_forked.serialize_report

    def serialize(report):
        data = serialize_report(report)
        data.pop("_id", None)
        return {**data, "nodeid": report.nodeid}

    pytest_forked.serialize_report = serialize
"""

SUITE = """
    import os
    import unittest
    import pytest
    from tests.plugin.breakage import lose_browser, note

    def test_passes():
        note("passes")

    def test_lost():
        note("lost")
        lose_browser()

    def test_wrong():
        note("wrong")
        assert "price" == "9.99"

    def test_killed():
        note("killed")
        os.kill(os.getpid(), 9)

    def test_exits():
        os._exit(7)

    def test_skipped():
        pytest.skip("not today")

    @pytest.mark.xfail
    def test_known():
        lose_browser()

    @pytest.fixture
    def ends_badly():
        yield
        lose_browser()

    def test_teardown_lost(ends_badly):
        pass

    def test_lost_part(subtests):
        note("lost part")
        with subtests.test("part"):
            lose_browser()

    def test_wrong_parts(subtests):
        with subtests.test("first"):
            assert "price" == "9.99"
        with subtests.test("second"):
            lose_browser()

    class TestParts(unittest.TestCase):
        def test_wrong_case(self):
            with self.subTest("part"):
                self.assertEqual("price", "9.99")
"""
VERDICTS = {
    "test_passes": "passed",
    "test_lost": "unrecovered",
    "test_wrong": "failed",
    "test_killed": "failed",
    "test_exits": "failed",
    "test_skipped": "skipped",
    "test_known": "xfailed",
    "test_teardown_lost": "unrecovered",
    "test_lost_part": "unrecovered",
    "test_wrong_parts": "failed",
    "TestParts::test_wrong_case": "failed",
}
NOTICE = (
    "11 tests left to pytest-forked: failures are diagnosed, but nothing is run again "
    "[forked-tests]"
)


@pytest.fixture(scope="module", params=[(), ("-n2",)], ids=["in one process", "on workers"])
def run(run_inner: RunInner, request: pytest.FixtureRequest) -> SuiteRun:
    """A run of which every test is forked."""
    files = {"conftest.py": SENDS_REPORTS, "test_it.py": SUITE}
    return run_inner(files, "--forked", *request.param, plugins=(*FORKED, *XDIST))


def test_every_forked_test_has_its_verdict_once(run: SuiteRun) -> None:
    assert run.verdicts == VERDICTS, run.output
    assert len(run.summary["tests"]) == len(VERDICTS)
    assert run.status == 1
    assert "INTERNALERROR" not in run.output


def test_no_forked_test_is_run_again(run: SuiteRun) -> None:
    expected = ["killed", "lost", "lost part", "passes", "wrong"]
    assert sorted(run.log("test_it.txt")) == expected, run.output
    assert all(len(test["attempts"]) == 1 for test in run.summary["tests"])


def test_failures_are_diagnosed_in_the_child(run: SuiteRun) -> None:
    lost, wrong = run.attempts("test_lost")[0], run.attempts("test_wrong")[0]
    assert (lost["error_type"], wrong["error_type"]) == ("browser", "product")
    reason = "pytest-forked runs it in a process of its own, once"
    assert run.output.count(f"reason: {reason}") == 3


def test_what_is_not_done_is_said_once(run: SuiteRun) -> None:
    assert run.output.count(NOTICE) == 1, run.output


def test_a_child_that_died_is_told_by_pytest_forked(run: SuiteRun) -> None:
    assert "running the test CRASHED with signal 9 (SIGKILL)" in run.output
    assert "running the test EXITED with status 7" in run.output


def test_forked_tests_run_in_processes_of_their_own(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": SENDS_REPORTS,
            "test_it.py": """
                import os
                import pytest

                def log(name):
                    with open("pids.txt", "a") as file:
                        file.write(f"{name} {os.getpid()}\\n")

                def test_at_home():
                    log("home")

                @pytest.mark.forked
                def test_marked():
                    log("marked")

                def test_at_home_again():
                    log("home")
            """,
        },
        plugins=FORKED,
    )
    assert run.status == 0, run.output
    pids = [line.split()[1] for line in run.log("pids.txt")]
    assert pids[0] == pids[2] != pids[1]
    assert "warning: 1 test left to pytest-forked" in run.output


def test_tests_that_are_not_forked_are_retried_beside_forked_ones(run_inner: RunInner) -> None:
    """A child takes the browser of its parent down; the next test gets a new one."""
    run = run_inner(
        {
            "conftest.py": SENDS_REPORTS,
            "test_it.py": """
                import contextlib
                import pytest
                from tests.plugin.breakage import Grid, lose_browser, note

                @pytest.fixture(scope="session")
                def driver():
                    driver = Grid().driver()
                    yield driver
                    # Every child does this too.
                    with contextlib.suppress(Exception):
                        driver.quit()

                def test_before(driver):
                    assert driver.title == "a page"

                @pytest.mark.forked
                def test_marked(driver):
                    note("marked")
                    assert driver.title == "a page"

                def test_after(driver):
                    assert driver.title == "a page"

                @pytest.mark.forked
                def test_lost():
                    note("lost")
                    lose_browser()

                def test_recovers():
                    if note("recovers") == 1:
                        lose_browser()

                def test_wrong_part(subtests):
                    with subtests.test("part"):
                        assert "price" == "9.99"

                @pytest.mark.forked
                def test_behind_a_wrong_part(subtests):
                    with subtests.test("part"):
                        pass
            """,
        },
        plugins=FORKED,
    )
    assert run.verdicts == {
        "test_before": "passed",
        "test_marked": "passed",
        "test_after": "recovered",
        "test_lost": "unrecovered",
        "test_recovers": "recovered",
        "test_wrong_part": "failed",
        "test_behind_a_wrong_part": "passed",
    }, run.output
    assert run.log("test_it.txt") == ["marked", "lost", "recovers", "recovers"]


def test_verdicts_and_history_of_forked_tests_are_complete(run_inner: RunInner) -> None:
    run = run_inner({"conftest.py": SENDS_REPORTS, "test_it.py": SUITE}, "--forked", plugins=FORKED)
    import duckdb

    with duckdb.connect(str(run.folder / ".resilience" / "history.duckdb")) as history:
        rows = history.execute("SELECT nodeid, verdict FROM test_results").fetchall()
        attempts = history.execute("SELECT count(*) FROM attempts").fetchone()
    assert {name.partition("::")[2]: verdict for name, verdict in rows} == VERDICTS
    assert len(rows) == len(VERDICTS)
    assert attempts == (len(VERDICTS),)
    assert run.summary["events_lost"] == 0


def test_whatever_its_children_send_nothing_turns_green(run_inner: RunInner) -> None:
    """Where pytest-forked does not fit to pytest, its tests fail, and do so with us."""
    suite = """
        import pytest
        from tests.plugin.breakage import lose_browser

        def test_passes():
            pass

        def test_wrong():
            assert "price" == "9.99"

        def test_lost():
            lose_browser()
    """
    plain = run_inner(
        suite, "--forked", "--report-log=log.jsonl", resilience=False, plugins=_WITH_LOG
    )
    run = run_inner(suite, "--forked", "--report-log=log.jsonl", plugins=_WITH_LOG)
    assert _failed(run) == _failed(plain) >= {"test_wrong", "test_lost"}, run.output
    assert {n for n, v in run.verdicts.items() if v != "passed"} == _failed(plain)
    assert run.status == plain.status == 1


_WITH_LOG = (*FORKED, "pytest_reportlog.plugin")


def _failed(run: SuiteRun) -> set[str]:
    lines = (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = map(json.loads, lines)
    return {e["nodeid"].partition("::")[2] for e in entries if e.get("outcome") == "failed"}


def test_a_blocked_pytest_forked_owns_nothing(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.forked
        def test_recovers():
            if note("call") == 1:
                lose_browser()
        """,
        *("-p", "no:pytest_forked"),
    )
    assert run.verdicts == {"test_recovers": "recovered"}, run.output
    assert "forked-tests" not in run.output
