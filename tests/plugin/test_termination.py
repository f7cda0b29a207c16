"""A run that is told to end, beside others who listen for the same signal."""

from __future__ import annotations

import sys

import pytest

from tests.plugin.conftest import RunInner

TOLD = """
    import os, signal

    def test_before():
        pass

    def test_told():
        os.kill(os.getpid(), signal.SIGTERM)

    def test_after():
        pass
"""


def test_a_run_that_is_told_to_end_still_reports(run_inner: RunInner) -> None:
    run = run_inner(TOLD)
    assert run.status == 2, run.output
    assert run.verdicts["test_before"] == "passed"
    assert "test_after" not in run.verdicts or run.verdicts["test_after"] != "passed"
    assert "ended by SIGTERM" in run.output


def test_a_controller_that_is_told_to_end_still_reports(run_inner: RunInner) -> None:
    """What it had heard of by then."""
    conftest = """
        from pathlib import Path

        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if report.when == "teardown" and report.nodeid.endswith("test_before"):
                Path("heard").touch()
    """
    told = """
        import os, signal, time
        from pathlib import Path

        def test_before():
            pass

        def test_told():
            while not Path("heard").exists():
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(20)

        def test_after():
            pass
    """
    files = {"conftest.py": conftest, "test_it.py": told}
    run = run_inner(files, "-n", "1", plugins=("xdist.plugin",))
    assert run.status == 2, run.output
    assert run.verdicts["test_before"] == "passed"


def test_a_handler_of_the_suite_stays(run_inner: RunInner) -> None:
    conftest = """
        import signal

        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append("told"))

        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"handler: {told}")
    """
    run = run_inner({"conftest.py": conftest, "test_it.py": TOLD})
    assert run.status == 0, run.output
    assert "handler: ['told']" in run.output


def test_a_child_that_was_forked_dies_of_it_as_ever(run_inner: RunInner) -> None:
    run = run_inner("""
        import os, signal, time

        def test_child():
            child = os.fork()
            if not child:
                try:
                    time.sleep(60)
                finally:
                    os._exit(1)
            time.sleep(0.2)
            os.kill(child, signal.SIGTERM)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
    """)
    assert run.status == 0, run.output


@pytest.mark.parametrize("listening", [True, False], ids=["at-work", "afterwards"])
def test_whoever_runs_pytest_gets_the_signal_back(listening: bool, run_inner: RunInner) -> None:
    """The signal is ours from the start of a session to its end."""
    program = (
        "import signal, sys, pytest; status = pytest.main(sys.argv[1:]); "
        "print('given back:', signal.getsignal(signal.SIGTERM) is signal.SIG_DFL); sys.exit(status)"
    )
    run = run_inner(
        f"""
        import signal

        def test_it():
            assert (signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL) is {listening}
        """,
        interpreter=(sys.executable, "-c", program),
        resilience=listening,
    )
    assert run.status == 0, run.output
    assert "given back: True" in run.output
