"""What an injected failure does to a run, who is told of it, and what is learned from it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner, reports

XDIST = ("xdist.plugin",)
SUITE = {
    "conftest.py": """
        def pytest_resilience_faults(config):
            def stop(item):
                with open("database.txt", "a") as file:
                    file.write(f"stopped for {item.name}\\n")

                def start():
                    with open("database.txt", "a") as file:
                        file.write("started\\n")

                return start

            return {"database_error:moderate": stop}
    """,
    "test_it.py": """
        import pytest

        @pytest.fixture
        def table():
            yield "set"

        @pytest.fixture
        def meal(table):
            yield
            print("washing up")

        @pytest.mark.inject_failure("internal_error", at="setup")
        def test_setup(): pass

        @pytest.mark.inject_failure("internal_error")
        def test_call(): pass

        @pytest.mark.inject_failure("internal_error", "severe", at="teardown")
        def test_teardown(): pass

        @pytest.mark.inject_failure("internal_error", at="setup:table")
        def test_setup_of_fixture(meal): pass

        @pytest.mark.inject_failure("internal_error", at="teardown:table")
        def test_teardown_of_fixture(meal): pass

        def test_the_fixture_is_well(meal): pass

        @pytest.mark.inject_failure("crash", simulated=True, times=2)
        def test_simulated(): pass

        @pytest.mark.inject_failure("database_error")
        def test_database():
            raise RuntimeError("no database")

        @pytest.mark.inject_failure("crash", "severe")
        def test_without_a_browser(): pass

        def test_product():
            assert 1 == 2
    """,
}
#: What fails, and in which phase, if nothing is recovered.
FAILING = {
    "test_setup": "setup",
    "test_call": "call",
    "test_teardown": "teardown",
    "test_setup_of_fixture": "setup",
    "test_teardown_of_fixture": "teardown",
    "test_simulated": "call",
    "test_database": "call",
    "test_product": "call",
}


@pytest.fixture(scope="module")
def without(run_inner: RunInner) -> SuiteRun:
    options = ("--report-log", "log.jsonl", "--junitxml", "junit.xml")
    return run_inner(SUITE, *options, resilience=False, plugins=("pytest_reportlog.plugin",))


@pytest.fixture(scope="module")
def recovered(run_inner: RunInner) -> SuiteRun:
    return run_inner(SUITE, "--resilience-retry=infrastructure")


def test_without_resilience_tests_fail_by_it_where_it_strikes(without: SuiteRun) -> None:
    failed = {
        report["nodeid"].partition("::")[2]: report["when"]
        for report in reports(without)
        if report["outcome"] == "failed"
    }
    assert failed == FAILING


def test_every_report_of_the_attempt_says_so(without: SuiteRun) -> None:
    """Also JUnit's, and the terminal's with the count of what could not be injected."""
    last = {r["nodeid"].partition("::")[2]: r for r in reports(without)}
    told = {name: r.get("resilience_injected", "") for name, r in last.items()}
    assert told["test_call"] == "internal_error:moderate@call"
    assert told["test_teardown_of_fixture"] == "internal_error:moderate@teardown:table"
    assert told["test_product"] == told["test_without_a_browser"] == ""
    junit = (without.folder / "junit.xml").read_text("utf-8")
    assert '<property name="injected" value="crash:moderate@call"' in junit
    assert "Injected on purpose" in without.output
    assert "1 x not injected: crash:severe@call: the attempt used no browser" in without.output


def told_at_the_end(run: SuiteRun) -> set[str]:
    """Return the lines of the terminal that count what was injected."""
    return set(re.findall(r"^\d+ x (?!FAILED).+$", run.output, re.M))


def test_what_workers_inject_is_told_at_the_end(run_inner: RunInner, without: SuiteRun) -> None:
    """Also where markers alone ask for it, which the process that tells has never seen."""
    run = run_inner(SUITE, "-n", "2", resilience=False, plugins=XDIST)
    assert "2 x internal_error:moderate@call" not in told_at_the_end(run)
    assert "1 x internal_error:moderate@call" in told_at_the_end(run), run.output
    assert told_at_the_end(run) == told_at_the_end(without)


def test_what_ended_a_worker_is_told_at_the_end(run_inner: RunInner) -> None:
    """By what it wrote down before it struck; its tests go on elsewhere, or are lost."""
    suite = """
        import pytest

        @pytest.mark.inject_failure("worker_crash", "severe", times=2)
        def test_recovered(): pass

        @pytest.mark.no_resilience
        @pytest.mark.inject_failure("worker_crash", "moderate")
        def test_lost(): pass
    """
    run = run_inner(suite, "-n", "1", plugins=XDIST)
    assert run.verdicts == {"test_recovered": "recovered", "test_lost": "unrecovered"}, run.output
    assert told_at_the_end(run) == {
        "2 x worker_crash:severe@call",
        "1 x worker_crash:moderate@call",
    }, run.output


def test_workers_that_inject_nothing_are_not_told_of(run_inner: RunInner) -> None:
    run = run_inner("def test_a(): pass", "-n", "1", resilience=False, plugins=XDIST)
    assert run.status == 0, run.output
    assert "injected" not in run.output


def test_what_was_broken_is_mended_before_the_next_test(without: SuiteRun) -> None:
    assert without.log("database.txt") == ["stopped for test_database", "started"]


def test_with_resilience_infrastructure_is_recovered_and_the_rest_fails(
    recovered: SuiteRun,
) -> None:
    verdicts = dict.fromkeys(FAILING, "failed") | {
        "test_simulated": "recovered",
        "test_teardown": "failed",
        "test_the_fixture_is_well": "passed",
        "test_without_a_browser": "passed",
    }
    assert recovered.verdicts == verdicts, recovered.output


def test_attempts_are_counted(recovered: SuiteRun) -> None:
    """A failure with times=2 strikes twice and not a third time, and the summary says so."""
    attempts = recovered.attempts("test_simulated")
    assert [(a["outcome"], a["injected"]) for a in attempts] == [
        ("rerun", "crash:moderate@call"),
        ("rerun", "crash:moderate@call"),
        ("passed", None),
    ]


def test_the_history_has_a_row_for_each(recovered: SuiteRun) -> None:
    rows = {
        (data["nodeid"].partition("::")[2], data["attempt"]): data
        for data in (json.loads(row[0]) for row in query(recovered, "SELECT data FROM injections"))
    }
    struck = {key for key, data in rows.items() if data["struck"]}
    names = [n for n in FAILING if n not in ("test_product", "test_simulated")]
    assert struck == {(n, 1) for n in names} | {("test_simulated", 1), ("test_simulated", 2)}
    assert rows["test_without_a_browser", 1]["reason"] == "the attempt used no browser"
    assert rows["test_database", 1]["evidence"]["undone"] is True
    attempts = query(recovered, "SELECT count(*) FROM attempts WHERE injected <> ''")
    assert attempts == [(len(struck),)]


SIMULATED = """
    import pytest

    @pytest.mark.inject_failure("crash", simulated=True)
    def test_a(): pass
"""
LEARNED = """
    SELECT (SELECT count(*) FROM recovery_daily), (SELECT count(*) FROM recovery_cells),
           (SELECT count(*) FROM strategy_scores), (SELECT count(*) FROM adaptive_timeouts)
"""


@pytest.mark.parametrize("learn", [False, True], ids=["by-default", "inject-learn"])
def test_nothing_is_learned_from_it_unless_asked_for(run_inner: RunInner, learn: bool) -> None:
    """Neither in the history nor in what the next run starts from; the rows are kept."""
    run = run_inner(SIMULATED, *(["--inject-learn"] if learn else []))
    assert run.verdicts == {"test_a": "recovered"}, run.output
    rows = query(run, "SELECT injected, learn FROM recovery_performance")
    assert rows == [("crash:moderate@call", learn)]
    (counts,) = query(run, LEARNED)
    snapshot = run.folder / ".resilience" / "history.duckdb.snapshot.json"
    known = json.loads(snapshot.read_text("utf-8")) if snapshot.exists() else {}
    assert all(counts) if learn else not any(counts)
    assert bool(known.get("cells")) is learn


def test_the_plugin_survives_a_failure_of_its_own(run_inner: RunInner) -> None:
    """Its observation fails, its history is locked or unreadable: the tests pass."""
    suite = """
        import pytest

        @pytest.mark.inject_failure("internal_error", "mild")
        def test_observer(): pass

        @pytest.mark.inject_failure("database_error", "mild")
        def test_locked(): pass

        @pytest.mark.inject_failure("database_error", "severe")
        def test_unreadable(): pass
    """
    run = run_inner(suite)
    assert run.status == 0, run.output
    assert set(run.verdicts.values()) == {"passed"}
    told = [run.attempts(name)[0]["injected"] for name in run.verdicts]
    assert told == [
        "internal_error:mild@call",
        "database_error:mild@call",
        "database_error:severe@call",
    ]
    assert "pytest-resilience itself failed and left the test alone: InjectedError" in run.output
    assert query(run, "SELECT count(*) FROM test_results") == [(3,)]


WATCHED = {
    "conftest.py": """
        import sys

        import pytest

        def pytest_sessionfinish(session):
            manager = session.config.pluginmanager
            parts = [n for n, _ in manager.list_name_plugin() if "injection" in (n or "")]
            loaded = [n for n in sys.modules if n.startswith("pytest_resilience.")]
            loaded = [n for n in loaded if "inject" in n or "browser.fault" in n]
            print("parts", parts, "loaded", loaded, file=open("found.txt", "w"))
    """,
    "test_it.py": """
        import selenium.webdriver

        import pytest

        # A name is no marker.
        @pytest.mark.parametrize("option", ["inject_failure"])
        def test_a(option): pass
    """,
}


@pytest.mark.parametrize("options", [(), ("--inject-seed", "3", "--inject-learn")])
@pytest.mark.parametrize("resilience", [True, False], ids=["resilience", "without"])
def test_it_costs_nothing_when_it_is_not_used(
    run_inner: RunInner, resilience: bool, options: Sequence[str]
) -> None:
    """Nothing of it is registered or loaded, nor any fault."""
    run = run_inner(WATCHED, *options, resilience=resilience)
    assert run.status == 0, run.output
    assert run.log("found.txt") == ["parts [] loaded []"]


def test_the_check_notices_when_it_is_used(run_inner: RunInner) -> None:
    run = run_inner(WATCHED, "--inject-rate", "0.1", resilience=False)
    (line,) = run.log("found.txt")
    assert re.search(r"parts \['[^]]*resilience-injection", line)
    assert "pytest_resilience.browser.faults" in line


def query(run: SuiteRun, sql: str) -> list[tuple[Any, ...]]:
    """Return rows of the history of a run."""
    import duckdb

    path: Path = run.folder / ".resilience" / "history.duckdb"
    with duckdb.connect(str(path), read_only=True) as history:
        return history.execute(sql).fetchall()
