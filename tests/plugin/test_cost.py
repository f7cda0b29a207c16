"""What the plugin costs a suite in which nothing fails, counted in Python calls."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

COUNTER = """
    import sys
    import pytest

    TESTS = 200

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(session):
        calls = 0

        def count(frame, event, arg):
            nonlocal calls
            if event == "call":
                calls += 1

        sys.setprofile(count)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            with open("calls.txt", "a") as file:
                print(calls // TESTS, file=file)
"""
#: What scheduling around xdist's may add, of the calls of a worker and its controller together.
SCHEDULING = 0.01

TRIVIAL = """
    import pytest

    @pytest.mark.parametrize("number", range(200))
    def test_trivial(number):
        pass
"""

FIXTURES = """
    import pytest

    @pytest.fixture
    def one():
        return 1

    @pytest.fixture
    def two(one):
        yield 2

    @pytest.fixture
    def three(two):
        return 3

    @pytest.mark.parametrize("number", range(200))
    def test_fixtures(number, three):
        pass
"""


@pytest.mark.parametrize("suite", [TRIVIAL, FIXTURES], ids=["trivial", "fixtures"])
def test_a_passing_test_makes_no_more_python_calls_than_with_plain_pytest(
    run_inner: RunInner, suite: str
) -> None:
    files = {"conftest.py": COUNTER, "test_it.py": suite}
    plain, ours = (
        int(run_inner(files, "-q", resilience=enabled).log("calls.txt")[0])
        for enabled in (False, True)
    )
    assert plain > 500, "nothing was counted"
    assert ours <= plain


def test_around_the_scheduler_of_xdist_hardly_more_calls_are_made(run_inner: RunInner) -> None:
    """By a worker and its controller together; what they wait for differs from run to run."""
    files = {"conftest.py": COUNTER, "test_it.py": TRIVIAL}
    plain, ours = (
        sum(map(int, run.log("calls.txt")))
        for run in (
            run_inner(files, "-q", "-n1", plugins=("xdist.plugin",), resilience=enabled)
            for enabled in (False, True)
        )
    )
    assert plain > 1_000, "nothing was counted"
    assert ours <= plain * (1 + SCHEDULING)


def test_a_passing_test_leaves_one_verdict_and_one_attempt_in_the_history(
    run_inner: RunInner,
) -> None:
    import duckdb

    run = run_inner("def test_passes(): pass")
    with duckdb.connect(str(run.folder / ".resilience" / "history.duckdb"), read_only=True) as db:
        results = db.sql("select nodeid, verdict, attempts from test_results").fetchall()
        attempts = db.sql("select nodeid, number, outcome, phase from attempts").fetchall()
        errors = db.sql("select count(*) from errors").fetchall()
    assert results == [("test_it.py::test_passes", "passed", 1)]
    assert [row[1:] for row in attempts] == [(1, "passed", "call")]
    assert errors == [(0,)]
    (attempt,) = run.attempts("test_passes")
    assert attempt["outcome"] == "passed"
