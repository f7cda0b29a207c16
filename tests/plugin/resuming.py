"""Suites that are killed, once, and what is left of their runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.conftest import SuiteRun

RESUME = "--resilience-resume"
CHANGED = "--resilience-resume-changed"
#: `kill` ends the process that ends the run, once; with what that leaves, workers end, too.
KILLING = """
    import os, signal, time
    from pathlib import Path
    from tests.plugin.breakage import lose_browser, note

    def kill():
        if not Path("killed.txt").exists():
            Path("killed.txt").touch()
            ours = "PYTEST_XDIST_WORKER" not in os.environ
            os.kill(os.getpid() if ours else os.getppid(), signal.SIGKILL)
            time.sleep(1)
"""


def ran(run: SuiteRun) -> Counter[str]:
    """Return how often each test has run, in all runs of the suite."""
    return Counter(run.log("test_it.txt"))


def kept(run: SuiteRun) -> set[str]:
    return {test["nodeid"].partition("::")[2] for test in run.summary["tests"] if test.get("kept")}


def resumable(folder: Path) -> list[Path]:
    return list(folder.glob(".resilience/resume/*"))


ORDER = {
    "killing.py": KILLING,
    "test_it.py": """
        from killing import kill, note

        def test_a():
            note("a")

        def test_b():
            note("b")
            kill()
    """,
}
