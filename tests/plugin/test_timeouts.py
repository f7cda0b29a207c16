"""pytest-timeout: its limit holds for each attempt, and not for our own work."""

from __future__ import annotations

from tests.plugin.conftest import RunInner

TIMEOUT = ("pytest_timeout",)


def test_every_attempt_has_the_whole_time_out(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import time
        import pytest
        from tests.plugin.breakage import lose_browser, note

        def test_hangs_in_second_attempt():
            if note("hang") == 1:
                time.sleep(0.7)
                lose_browser()
            time.sleep(20)

        def test_slow_attempts_are_not_added_up():
            attempt = note("slow")
            time.sleep(0.7)
            if attempt <= 2:
                lose_browser()

        @pytest.fixture
        def slow():
            time.sleep(0.7)
            if note("set up") <= 2:
                lose_browser()

        def test_slow_set_ups_are_not_added_up(slow):
            pass
        """,
        "--timeout=1.5",
        plugins=TIMEOUT,
    )
    assert run.verdicts["test_slow_attempts_are_not_added_up"] == "recovered", run.output
    assert run.verdicts["test_slow_set_ups_are_not_added_up"] == "recovered"
    # A test that hangs although its browser does not is the test's own matter.
    assert run.verdicts["test_hangs_in_second_attempt"] == "failed"
    assert run.status == 1
    assert "Timeout (>1.5s)" in run.output
    assert run.attempts("test_hangs_in_second_attempt")[-1]["duration_s"] < 15


def test_a_time_out_is_not_spent_on_diagnosis(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": """
                import time

                class Slow:
                    name = "slow"

                    def matches(self, case):
                        time.sleep(1.6)
                        return False

                def pytest_resilience_classify(config):
                    return [Slow()]
            """,
            "test_it.py": """
                import pytest
                from tests.plugin.breakage import lose_browser, note

                def test_recovers():
                    if note("call") == 1:
                        lose_browser()

                @pytest.fixture
                def ends_badly():
                    yield
                    lose_browser()

                def test_teardown_loses_browser(ends_badly):
                    pass
            """,
        },
        "--timeout=1",
        plugins=TIMEOUT,
    )
    assert run.status == 0, run.output
    assert set(run.verdicts.values()) == {"recovered"}


def test_a_limit_of_the_function_alone_holds_in_every_attempt(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import time
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.timeout(1, func_only=True)
        def test_hangs_in_second_attempt():
            if note("hang") == 1:
                lose_browser()
            time.sleep(20)
        """,
        plugins=TIMEOUT,
    )
    assert run.verdicts == {"test_hangs_in_second_attempt": "failed"}, run.output
    assert run.log("test_it.txt") == ["hang", "hang"]


def test_a_time_out_by_thread_ends_the_process_in_any_attempt(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import time
        from tests.plugin.breakage import lose_browser, note

        def test_hangs_in_second_attempt():
            if note("hang") == 1:
                lose_browser()
            time.sleep(30)
        """,
        *("--timeout=1", "--timeout-method=thread"),
        plugins=TIMEOUT,
    )
    assert run.status == 1
    assert run.log("test_it.txt") == ["hang", "hang"]
    assert "Timeout" in run.output
