"""When a session has its history merged by a process of its own."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

WATCH = """
    import contextlib
    import time

    import psutil
    import pytest

    def arguments(child):
        with contextlib.suppress(psutil.NoSuchProcess):
            # One that is just becoming another program has none yet.
            while not (found := child.cmdline()):
                time.sleep(0.01)
            return " ".join(found)
        return ""

    def mergers():
        return sum("store.merger" in arguments(child) for child in psutil.Process().children())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish():
        with open("log.txt", "a") as file:
            print("before", mergers(), file=file)
        yield
        with open("log.txt", "a") as file:
            print("after", mergers(), file=file)
"""


@pytest.mark.parametrize(
    ("options", "test", "begun"),
    [
        ((), "assert 0", 1),
        ((), "pass", 0),
        ((), "import pytest; pytest.skip('not now')", 0),
        (("--no-resilience-db",), "assert 0", 0),
    ],
    ids=["failed", "passed", "skipped", "no-history"],
)
def test_it_is_started_by_the_first_failure_and_leaves_nothing(
    run_inner: RunInner, options: tuple[str, ...], test: str, begun: int
) -> None:
    suite = f"def test_it():\n    {test}\ndef test_other():\n    pass\n"
    run = run_inner({"conftest.py": WATCH, "test_it.py": suite}, *options)
    assert run.log() == [f"before {begun}", "after 0"], run.output
    assert (run.folder / ".resilience" / "history.duckdb").exists() is (not options)


def test_what_it_merged_is_in_the_history(run_inner: RunInner) -> None:
    from pytest_resilience.store.history import History

    run = run_inner("def test_a(): assert 0\ndef test_b(): pass")
    history = History(run.folder / ".resilience" / "history.duckdb")
    rows = history.read("SELECT nodeid, verdict FROM test_results ORDER BY nodeid")
    assert [row["verdict"] for row in rows] == ["failed", "passed"]
    assert list((run.folder / ".resilience" / "spool").iterdir()) == []
