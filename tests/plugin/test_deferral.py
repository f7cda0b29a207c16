"""`defer`: an item that may do better later runs again when all others have run."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, outcomes

CONFTEST = """
    from pytest_resilience import ErrorType, Rule

    def pytest_resilience_classify():
        return [Rule("wire-cut", ErrorType.CONNECTION, types=("WireCut",))]
"""
SUITE = {
    "conftest.py": CONFTEST,
    "test_first.py": """
        import pytest
        from tests.plugin.breakage import note

        class WireCut(Exception):
            pass

        @pytest.fixture(scope="module")
        def wide():
            note("wide+")
            yield
            note("wide-")

        def test_one(wide):
            note("one")

        @pytest.mark.resilience(strategies=["defer"])
        def test_two(wide):
            if note("two") == 1:
                raise WireCut("cut")
    """,
    "test_second.py": """
        from pathlib import Path

        def test_three():
            with Path("test_first.txt").open("a") as file:
                file.write("three\\n")
    """,
}


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """The suite, whose second item fails once."""
    return run_inner(SUITE, "--report-log", "log.jsonl", plugins=REPORT_LOG)


def notes(run: SuiteRun) -> list[str]:
    return (run.folder / "test_first.txt").read_text("utf-8").split()


def test_a_deferred_item_runs_after_all_others(run: SuiteRun) -> None:
    assert [n for n in notes(run) if n[-1] not in "+-"] == ["one", "two", "three", "two"]


def test_wide_fixtures_are_finished_before_the_others_and_set_up_again_for_it(
    run: SuiteRun,
) -> None:
    assert notes(run) == ["wide+", "one", "two", "wide-", "three", "wide+", "two", "wide-"]


def test_it_is_reported_once_as_rerun_and_once_with_its_verdict(run: SuiteRun) -> None:
    assert outcomes(run, "test_two") == [
        ("call", "rerun"),
        ("setup", "passed"),
        ("call", "passed"),
        ("teardown", "passed"),
    ]


def test_it_counts_as_recovered(run: SuiteRun) -> None:
    assert run.verdicts == {
        "test_one": "passed",
        "test_two": "recovered",
        "test_three": "passed",
    }
    assert run.status == 0


def test_the_last_item_is_not_deferred_for_nobody_comes_after_it(run_inner: RunInner) -> None:
    alone = {"conftest.py": CONFTEST, "test_first.py": SUITE["test_first.py"]}
    done = run_inner(alone)
    assert done.verdicts["test_two"] == "unrecovered"
    assert notes(done).count("two") == 1


def test_an_item_that_fails_again_is_not_deferred_twice(run_inner: RunInner) -> None:
    stubborn = SUITE["test_first.py"].replace('if note("two") == 1:', 'if note("two"):')
    done = run_inner({**SUITE, "test_first.py": stubborn})
    assert done.verdicts["test_two"] == "unrecovered"
    assert notes(done).count("two") == 2


def test_a_session_that_ends_before_its_turn_leaves_it_with_a_verdict(run_inner: RunInner) -> None:
    failing = SUITE["test_second.py"] + "            assert False\n"
    done = run_inner({**SUITE, "test_second.py": failing}, "-x")
    assert done.verdicts["test_two"] == "unrecovered"
    assert done.status == 1
    assert notes(done).count("two") == 1


def test_a_session_that_is_told_to_stop_leaves_it_with_a_verdict(run_inner: RunInner) -> None:
    stopping = """
        def test_three(request):
            request.session.shouldstop = "enough"
    """
    done = run_inner({**SUITE, "test_second.py": stopping})
    assert done.verdicts["test_two"] == "unrecovered"
    assert done.status != 0


def test_a_worker_that_does_not_own_the_order_does_not_defer(run_inner: RunInner) -> None:
    done = run_inner(SUITE, "-n", "1", plugins=("xdist.plugin",))
    assert done.verdicts["test_two"] == "unrecovered"
