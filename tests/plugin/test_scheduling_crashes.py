"""With pytest-xdist: a test whose worker is lost runs again; one that kills them is isolated."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, outcomes, reports, rows

XDIST = ("xdist.plugin",)
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")

#: Two files, in each of which a worker is lost.
SUITE = {
    "test_it.py": """
        import os
        import signal
        import pytest
        from tests.plugin.breakage import note

        @pytest.mark.parametrize("number", range(4))
        def test_passes(number):
            note(f"passes {number}")

        def test_loses_its_worker_once():
            if note("once") == 1:
                os.kill(os.getpid(), signal.SIGKILL)

        def test_behind():
            note("behind")
    """,
    "test_other.py": """
        import os
        import pytest
        from tests.plugin.breakage import note

        def test_before():
            note("before")

        def test_kills_every_worker():
            note("killer")
            os._exit(3)

        class TestBehind:
            @pytest.mark.parametrize("number", range(3))
            def test_passes(self, number):
                note(f"passes in a class {number}")
    """,
}
VERDICTS = {"passed": 9, "recovered": 1, "unrecovered": 1}


@pytest.fixture(scope="module", params=MODES)
def run(request: pytest.FixtureRequest, run_inner: RunInner) -> SuiteRun:
    """The suite on two workers, in each mode."""
    options = ("-n2", "--dist", request.param, "--report-log", "log.jsonl", "--junitxml", "j.xml")
    return run_inner(SUITE, *options, plugins=(*XDIST, *REPORT_LOG))


class TestInEveryMode:
    """What xdist itself does differently in each mode is the same in all."""

    def test_every_test_has_one_verdict(self, run: SuiteRun) -> None:
        assert run.counts == VERDICTS, run.output
        nodeids = Counter(test["nodeid"] for test in run.summary["tests"])
        assert set(nodeids.values()) == {1}
        assert len(nodeids) == 11
        assert run.status == 1

    def test_nothing_goes_wrong_on_the_way(self, run: SuiteRun) -> None:
        assert "INTERNALERROR" not in run.output
        assert run.summary["details"]["warnings"] == []
        assert run.summary["events_lost"] == 0

    def test_a_test_whose_worker_was_lost_once_passes_on_another(self, run: SuiteRun) -> None:
        first, second = run.attempts("test_loses_its_worker_once")
        assert (first["outcome"], first["error_type"]) == ("rerun", "worker")
        assert first["strategy"] in ("worker_switch", "worker_restart")
        assert first["level"] == 4
        assert (second["number"], second["outcome"]) == (2, "passed")

    def test_the_worker_of_each_attempt_is_told(self, run: SuiteRun) -> None:
        first, second = run.attempts("test_loses_its_worker_once")
        (test,) = [t for t in run.summary["tests"] if t["verdict"] == "recovered"]
        assert first["worker"] != second["worker"] == test["worker"]

    def test_one_that_kills_every_worker_costs_three_of_them(self, run: SuiteRun) -> None:
        attempts = run.attempts("test_kills_every_worker")
        assert [a["outcome"] for a in attempts] == ["rerun", "rerun", "failed"]
        assert {a["error_type"] for a in attempts} == {"worker"}
        assert run.log("test_other.txt").count("killer") == 3

    def test_the_others_run_once(self, run: SuiteRun) -> None:
        ran = Counter([*run.log("test_it.txt"), *run.log("test_other.txt")])
        assert {line: n for line, n in ran.items() if n > 1} == {"once": 2, "killer": 3}
        assert len(ran) == 11

    def test_what_is_known_of_the_loss_is_told(self, run: SuiteRun) -> None:
        killed = run.attempts("test_loses_its_worker_once")[0]["message"]
        ended = run.attempts("test_kills_every_worker")[2]["message"]
        assert "ended by SIGKILL" in killed
        assert "exited with status 3" in ended
        assert "3 workers were lost while they ran it" in run.output
        (evidence,) = run.attempts("test_loses_its_worker_once")[0]["evidence"]
        assert (evidence["probe"], evidence["answer"]) == ("worker_process", "gone")

    def test_each_loss_is_published_once(self, run: SuiteRun) -> None:
        assert outcomes(run, "test_loses_its_worker_once") == [
            ("call", "rerun"),
            ("setup", "passed"),
            ("call", "passed"),
            ("teardown", "passed"),
        ]
        assert outcomes(run, "test_kills_every_worker") == [
            ("call", "rerun"),
            ("call", "rerun"),
            ("call", "failed"),
            ("teardown", "passed"),
        ]

    def test_a_report_of_a_loss_looks_like_one_of_the_test(self, run: SuiteRun) -> None:
        told = [r for r in reports(run) if r["nodeid"].endswith("test_kills_every_worker")]
        assert {r["location"][2] for r in told} == {"test_kills_every_worker"}
        assert [r["resilience"]["number"] for r in told[:3]] == [1, 2, 3]

    def test_junit_has_one_entry_for_each_test(self, run: SuiteRun) -> None:
        suite = ET.parse(run.folder / "j.xml").getroot()[0]
        assert (suite.get("tests"), suite.get("failures")) == ("11", "1")
        names = Counter((case.get("classname"), case.get("name")) for case in suite)
        assert set(names.values()) == {1}
        assert len(names) == 11

    def test_the_history_has_it_all_once(self, run: SuiteRun) -> None:
        assert dict(rows(run, "select verdict, count(*) from test_results group by all")) == (
            VERDICTS
        )
        twice = "select nodeid, number from attempts group by all having count(*) > 1"
        assert rows(run, twice) == []
        assert rows(run, "select count(*) from attempts") == [(9 + 2 + 3,)]
        assert list((run.folder / ".resilience" / "spool").iterdir()) == []

    def test_the_history_knows_how_each_change_of_workers_turned_out(self, run: SuiteRun) -> None:
        told = rows(run, "select success, count(*) from recovery_performance group by all")
        assert dict(told) == {True: 1, False: 2}
        states = rows(run, "select resolution_status, count(*) from errors group by all")
        assert dict(states) == {"resolved": 1, "failed": 3}


def test_with_each_a_loss_is_diagnosed_and_nothing_is_run_again(run_inner: RunInner) -> None:
    suite = {"test_it.py": SUITE["test_it.py"]}
    run = run_inner(suite, "-n2", "--dist", "each", plugins=XDIST)
    verdicts = Counter((t["nodeid"].partition("::")[2], t["verdict"]) for t in run.summary["tests"])
    # On one worker it is lost; on the other it is not the first time any more.
    assert verdicts["test_loses_its_worker_once", "unrecovered"] == 1
    assert verdicts["test_loses_its_worker_once", "passed"] == 1
    assert sum(verdicts.values()) == 12, run.output
    assert run.log("test_it.txt").count("once") == 2
    assert run.status == 1


@pytest.mark.parametrize(
    ("death", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("os._exit(0)", "exited with status 0"),
        ("ctypes.string_at(0)", "ended by SIGSEGV"),
        ("os.abort()", "ended by SIGABRT"),
        ("os.close(0); os.close(1); os.closerange(3, 100); time.sleep(60)", "connection was cut"),
    ],
    ids=["killed", "exit", "segfault", "abort", "cut-off"],
)
def test_a_worker_may_be_lost_in_any_way(run_inner: RunInner, death: str, told: str) -> None:
    suite = f"""
        import ctypes, os, signal, time
        from tests.plugin.breakage import note

        def test_first():
            note("first")

        def test_dies():
            if note("dies") == 1:
                {death}

        def test_last():
            note("last")
    """
    run = run_inner(suite, "-n1", plugins=XDIST)
    assert run.counts == {"passed": 2, "recovered": 1}, run.output
    assert told in run.attempts("test_dies")[0]["message"]
    assert run.attempts("test_dies")[0]["strategy"] == "worker_restart"
    assert sorted(run.log("test_it.txt")) == ["dies", "dies", "first", "last"]


class TestEndings:
    """What a test had told of its end stands, though its worker is lost after it."""

    SUITE = """
        import os
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture
        def lost_in_teardown():
            yield
            if note("teardown") == 1:
                os._exit(1)

        def test_it(lost_in_teardown):
            note("ran")
            {body}

        def test_other():
            note("other")
    """

    def test_a_test_that_had_passed_is_not_run_again(self, run_inner: RunInner) -> None:
        run = run_inner(self.SUITE.format(body="pass"), "-n1", plugins=XDIST)
        assert run.verdicts == {"test_it": "recovered", "test_other": "passed"}, run.output
        assert run.log("test_it.txt").count("ran") == 1
        (attempt,) = run.attempts("test_it")
        assert attempt["error_type"] == "worker"
        assert rows(run, "select count(*) from test_results") == [(2,)]

    def test_a_product_failure_is_not_excused(self, run_inner: RunInner) -> None:
        run = run_inner(self.SUITE.format(body="assert False"), "-n1", plugins=XDIST)
        assert run.verdicts == {"test_it": "failed", "test_other": "passed"}, run.output
        assert run.log("test_it.txt").count("ran") == 1
        assert "1 failed" in run.output

    def test_a_worker_lost_while_it_waits_is_no_ones_fault(self, run_inner: RunInner) -> None:
        """The last of its items is held back by xdist; it has not begun."""
        run = run_inner(
            """
                import os, signal, time

                def strike():
                    if os.environ["PYTEST_XDIST_WORKER"] == "gw0":
                        os.kill(os.getpid(), signal.SIGKILL)
                    time.sleep(0.5)

                def test_first():
                    strike()

                def test_other():
                    strike()

                def test_third():
                    pass
            """,
            "-n2",
            plugins=XDIST,
        )
        assert run.status == 0, run.output
        lost = [t["nodeid"] for t in run.summary["tests"] if len(t["attempts"]) > 1]
        assert len(lost) == 1
        assert sum(run.counts.values()) == 3
