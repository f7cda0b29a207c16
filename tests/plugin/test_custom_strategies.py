"""Recovery strategies that users bring along: chosen, bounded, and refused with a reason."""

from __future__ import annotations

import pytest

from tests.conftest import RunSuite

#: Something is broken that only the user's own strategy can mend.
STRATEGY = """
    import asyncio
    import threading
    import time
    from pathlib import Path

    from pytest_resilience import (
        ErrorType, ProgressiveRecoveryLevel, RecoveryStrategy, Rule, add_custom_strategy
    )

    def pytest_resilience_classify(config):
        return [Rule("licence", ErrorType.TASK, types=("LicenceError",))]

    class Renew(RecoveryStrategy):
        def __init__(self, name="renew"):
            super().__init__(name, ProgressiveRecoveryLevel.BASIC, [ErrorType.TASK], nominal_s=0.01)

        def possible(self, error_info):
            return "licence" in error_info["report"].message

        def _execute_impl(self, error_info):
            Path("licence").touch()
            return error_info["environment"].restart_browsers(with_driver=False)
"""
TEST = """
    from pathlib import Path

    class LicenceError(Exception):
        pass

    def test_licensed():
        if not Path("licence").exists():
            raise LicenceError("the licence has expired")
"""
BY_HOOK = """
    def pytest_resilience_strategies(config):
        return [{}]
"""


@pytest.mark.parametrize(
    "offer",
    [BY_HOOK.format("Renew()"), "\n    add_custom_strategy(Renew())\n"],
    ids=["hook", "call"],
)
@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_strategy_of_a_conftest_is_chosen_and_cures(
    offer: str, workers: tuple[str, ...], run_suite: RunSuite
) -> None:
    run = run_suite(
        {"conftest.py": STRATEGY + offer, "test_it.py": TEST},
        *workers,
        plugins=("xdist",) if workers else (),
    )
    assert run.verdicts == {"test_licensed": "recovered"}, run.output
    assert [a["strategy"] for a in run.attempts("test_licensed")] == ["renew", None]


def test_one_that_is_not_possible_is_not_chosen(run_suite: RunSuite) -> None:
    test = TEST.replace("the licence has expired", "nobody knows")
    conftest = STRATEGY + BY_HOOK.format("Renew()")
    run = run_suite({"conftest.py": conftest, "test_it.py": test})
    assert "renew" not in {a["strategy"] for a in run.attempts("test_licensed")}, run.output


def test_a_coroutine_is_run_and_touches_fixtures_on_the_main_thread(run_suite: RunSuite) -> None:
    """It runs elsewhere; what it has done to fixtures is done where pytest runs."""
    conftest = (
        STRATEGY
        + """
    import pytest
    import sqlite3

    @pytest.fixture(scope="session")
    def database():
        connection = sqlite3.connect("shop.db")
        yield connection
        # sqlite3 itself insists on the thread that made it.
        connection.close()
        print(threading.current_thread().name, file=open("log.txt", "a"))

    class Reconnect(Renew):
        async def _execute_impl(self, error_info):
            await asyncio.sleep(0.01)
            Path("licence").touch()
            assert threading.current_thread() is not threading.main_thread()
            return error_info["environment"].reconnect()
    """
        + BY_HOOK.format("Reconnect()")
    )
    test = """
    import sqlite3
    from pathlib import Path

    class LicenceError(sqlite3.OperationalError):
        pass

    def test_licensed(database):
        if not Path("licence").exists():
            raise LicenceError("the licence has expired")
    """
    run = run_suite({"conftest.py": conftest, "test_it.py": test})
    assert run.verdicts == {"test_licensed": "recovered"}, run.output
    assert run.log() == ["MainThread", "MainThread"]


def test_one_that_hangs_is_given_up(run_suite: RunSuite) -> None:
    """Its time is up; the next attempt is made, and another strategy has its turn."""
    conftest = (
        STRATEGY
        + """
    from pytest_resilience.core import adaptive

    adaptive.QuantileTimeout.timeout_s = property(lambda self: 0.3)

    def pytest_resilience_event(kind, payload):
        if kind == "recovery":
            with open("log.txt", "a") as file:
                print(payload["strategy_id"], payload["context"]["detail"], file=file)

    class Hang(Renew):
        def _execute_impl(self, error_info):
            time.sleep(600)
    """
        + BY_HOOK.format('Hang("hang"), Renew("renew")')
    )
    run = run_suite({"conftest.py": conftest, "test_it.py": TEST})
    assert run.verdicts == {"test_licensed": "recovered"}, run.output
    assert "hang did not finish within 0.3 s" in run.log()


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        ("Renew", "conftest.Renew is a class; give an instance of it"),
        ("'renew'", "'renew' is not a strategy"),
        ("Renew('browser_restart')", "the name 'browser_restart' of conftest.Renew is taken by"),
        ("Renew(), Renew()", "the name 'renew' of conftest.Renew is taken by conftest.Renew"),
    ],
    ids=["class", "text", "taken", "twice"],
)
@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "xdist"])
def test_what_cannot_be_used_ends_the_run_and_is_named(
    offered: str, told: str, workers: tuple[str, ...], run_suite: RunSuite
) -> None:
    run = run_suite(
        {"conftest.py": STRATEGY + BY_HOOK.format(offered), "test_it.py": TEST},
        *workers,
        plugins=("xdist",) if workers else (),
    )
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert f"ERROR: hook pytest_resilience_strategies: {told}" in run.output
    assert "[bad-strategy]" in run.output


def test_something_else_than_a_list_ends_the_run_too(run_suite: RunSuite) -> None:
    conftest = STRATEGY + BY_HOOK.format("Renew()").replace("[Renew()]", "Renew()")
    run = run_suite({"conftest.py": conftest, "test_it.py": TEST})
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert "was returned; expected a list of strategies" in run.output


def test_a_hook_that_raises_costs_a_warning_and_no_verdict(run_suite: RunSuite) -> None:
    conftest = STRATEGY + BY_HOOK.format("1 / 0")
    run = run_suite({"conftest.py": conftest, "test_it.py": "def test_fine(): pass"})
    assert (run.status, run.verdicts) == (0, {"test_fine": "passed"}), run.output
    assert "division by zero" in run.output
