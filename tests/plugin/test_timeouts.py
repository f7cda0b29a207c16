"""pytest-timeout: its limit holds for each attempt, and not for our own work."""

from __future__ import annotations

from itertools import pairwise

from tests.plugin.conftest import RunInner

TIMEOUT = ("pytest_timeout",)

#: Notes when the timer is set and cancelled, and whether it runs while we find out what happened.
WATCHED = """
    import signal
    import pytest
    from tests.plugin.breakage import note

    def runs():
        return signal.getitimer(signal.ITIMER_REAL)[0] > 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(item, settings):
        note(f"set {settings.timeout:g}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(item):
        note("cancel")

    class Watching:
        name = "watching"

        def matches(self, case):
            note(f"diagnosed {'in' if runs() else 'out of'} time")
            return False

    def pytest_resilience_classify(config):
        return [Watching()]
"""


def test_a_test_that_hangs_in_a_later_attempt_is_ended(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import time
        from tests.plugin.breakage import lose_browser, note

        def test_hangs_in_second_attempt():
            if note("hang") == 1:
                lose_browser()
            time.sleep(60)
        """,
        "--timeout=3",
        plugins=TIMEOUT,
    )
    # A test that hangs although its browser does not is the test's own matter.
    assert run.verdicts == {"test_hangs_in_second_attempt": "failed"}, run.output
    assert run.log("test_it.txt") == ["hang", "hang"]
    assert run.status == 1
    assert "Timeout (>3.0s)" in run.output
    assert run.attempts("test_hangs_in_second_attempt")[-1]["duration_s"] < 60


def test_every_attempt_has_the_whole_time_out_and_diagnosis_none_of_it(run_inner: RunInner) -> None:
    """Wherever the browser is lost; so the seconds of attempts are never added up."""
    run = run_inner(
        {
            "conftest.py": WATCHED,
            "test_it.py": """
                import pytest
                from conftest import note, runs
                from tests.plugin.breakage import lose_browser

                times = []

                @pytest.fixture
                def first_lost_here():
                    assert runs()
                    times.append(1)
                    if len(times) == 1:
                        lose_browser()
                    yield
                    if len(times) == 3:
                        lose_browser()

                def test_recovers(first_lost_here):
                    assert runs()
                    if len(times) == 2:
                        lose_browser()
            """,
        },
        "--timeout=250",
        plugins=TIMEOUT,
    )
    assert run.verdicts == {"test_recovers": "recovered"}, run.output
    told = run.log("conftest.txt")
    # Each attempt, until it is known that there is another one; the last has nothing to tell.
    assert told.count("set 250") >= len(run.attempts("test_recovers")) == 3
    assert told.count("diagnosed out of time") >= 3
    assert "diagnosed in time" not in told
    # Never twice in a row: what runs is cancelled before it is set anew.
    timer = [line for line in told if line.startswith(("set", "cancel"))]
    assert all(pair != ("set 250", "set 250") for pair in pairwise(timer))
    assert timer[-1] == "cancel"


def test_a_limit_of_the_function_alone_holds_in_every_attempt(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import time
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.timeout(2, func_only=True)
        def test_hangs_in_second_attempt():
            if note("hang") == 1:
                lose_browser()
            time.sleep(60)
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
            time.sleep(60)
        """,
        *("--timeout=3", "--timeout-method=thread"),
        plugins=TIMEOUT,
    )
    assert run.status == 1
    assert run.log("test_it.txt") == ["hang", "hang"]
    assert "Timeout" in run.output
