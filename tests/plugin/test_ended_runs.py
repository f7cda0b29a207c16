"""Runs that end before their time: what ran is told, and what did not."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import REPORT_LOG, RunInner, outcomes

ENDINGS = {"interrupt": "raise KeyboardInterrupt", "exit": "pytest.exit('enough')"}
ended = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


@pytest.mark.parametrize(
    ("ending", "moment"),
    [
        (ENDINGS["interrupt"], "teardown"),
        (ENDINGS["exit"], "teardown"),
        (ENDINGS["interrupt"], "recovery"),
    ],
    ids=["interrupted-teardown", "exit-in-teardown", "interrupted-recovery"],
)
def test_a_failure_whose_clearing_away_is_interrupted_is_final(
    ending: str, moment: str, run_inner: RunInner
) -> None:
    """It failed; that nothing follows does not make it vanish."""
    teardown, recovery = (ending if moment == m else "pass" for m in ("teardown", "recovery"))
    files = {
        "conftest.py": f"""
            import pytest
            from pytest_resilience import ErrorType, ProgressiveRecoveryLevel, RecoveryStrategy

            class Interrupted(RecoveryStrategy):
                def __init__(self):
                    super().__init__(
                        "interrupted", ProgressiveRecoveryLevel.BASIC, [ErrorType.BROWSER]
                    )

                def _execute_impl(self, error_info):
                    {recovery}
                    return True

            def pytest_resilience_strategies():
                return [Interrupted()]
        """,
        "test_it.py": f"""
            import pytest
            from tests.plugin.breakage import lose_browser

            @pytest.fixture
            def page():
                yield
                {teardown}

            def test_before():
                pass

            @pytest.mark.resilience(strategies=["interrupted"])
            def test_lost(page):
                lose_browser()

            def test_after():
                pass
        """,
    }
    run = run_inner(files, "--report-log", "log.jsonl", plugins=REPORT_LOG)
    assert run.status == 2, run.output
    assert run.verdicts["test_lost"] == "unrecovered", run.output
    assert outcomes(run, "test_lost") == [("setup", "passed"), ("call", "failed")]
    assert "the run was ended before it could be run again" in run.output
    assert "not run: 1 of 3" in run.output


@ended
def test_the_set_up_of_a_test_that_ends_the_run_is_told(ending: str, run_inner: RunInner) -> None:
    suite = f"import pytest\ndef test_before(): pass\ndef test_ends(): {ending}\n"
    run = run_inner(suite, "--report-log", "log.jsonl", plugins=REPORT_LOG)
    assert outcomes(run, "test_ends") == [("setup", "passed")]
    assert "not run: 1 of 2" in run.output


def test_what_could_not_be_collected_is_told(run_inner: RunInner) -> None:
    files = {"test_bad.py": "import nonexisting_module", "test_it.py": "def test_it(): pass"}
    run = run_inner(files, "--continue-on-collection-errors")
    assert run.status == 1
    assert "not collected: test_bad.py" in run.output
    assert run.summary["session"]["facts"]["not collected"] == "test_bad.py"
