"""The settlement of a session: what was collected has exactly one verdict, or the run is red."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner, rows

XDIST = ("xdist.plugin",)

SUITE = """
    def test_one(): pass
    def test_two(): pass
    def test_three(): pass
"""
#: A plugin that makes pytest pass over a test without a word.
SWALLOWS = """
    import pytest

    def pytest_collection_finish(session):
        session.config.pluginmanager.register(Swallower())

    class Swallower:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session):
            session.items[:] = [item for item in session.items if item.name != "test_two"]
"""
#: One that runs a test its own way, and reports it as pytest does.
RUNS_ITSELF = """
    import pytest
    from _pytest.runner import runtestprotocol

    def pytest_collection_finish(session):
        session.config.pluginmanager.register(Runner())

    class Runner:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop(self, session):
            (item,) = [item for item in session.items if item.name == "test_two"]
            session.items.remove(item)
            result = yield
            runtestprotocol(item, nextitem=None, log=True)
            return result
"""


@pytest.mark.parametrize("options", [(), ("-p", "no:terminal")], ids=["terminal", "without"])
def test_an_item_without_a_verdict_fails_the_session_and_is_named(
    run_inner: RunInner, options: tuple[str, ...]
) -> None:
    run = run_inner({"conftest.py": SWALLOWS, "test_it.py": SUITE}, *options)
    assert run.status == 1, run.output
    assert run.verdicts == {"test_one": "passed", "test_two": "unrecovered", "test_three": "passed"}
    (attempt,) = run.attempts("test_two")
    assert (attempt["error_type"], attempt["rule"]) == ("task", "no-verdict")
    assert "was collected and has no verdict" in attempt["message"]
    if not options:
        assert "1 error" in run.output
        assert "ERROR test_it.py::test_two" in run.output


def test_it_is_in_the_history_as_what_it_is(run_inner: RunInner) -> None:
    run = run_inner({"conftest.py": SWALLOWS, "test_it.py": SUITE})
    ((verdict, reason, error_type),) = rows(
        run,
        "select r.verdict, r.reason, a.error_type from test_results r join attempts a"
        " using (nodeid) where r.nodeid like '%two'",
    )
    assert (verdict, error_type) == ("unrecovered", "task")
    assert "has reported how it ended" in reason


@pytest.mark.parametrize("options", [(), ("-p", "no:terminal")], ids=["terminal", "without"])
@pytest.mark.parametrize(
    ("body", "verdict", "status"), [("pass", "passed", 0), ("assert 0", "failed", 1)]
)
def test_what_another_plugin_runs_has_the_verdict_of_its_reports(
    run_inner: RunInner, options: tuple[str, ...], body: str, verdict: str, status: int
) -> None:
    suite = SUITE.replace("def test_two(): pass", f"def test_two(): {body}")
    run = run_inner({"conftest.py": RUNS_ITSELF, "test_it.py": suite}, *options)
    assert run.verdicts["test_two"] == verdict, run.output
    assert run.status == status
    assert len(run.summary["tests"]) == 3


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("-x",), "assert 0"),
        (("--maxfail=1",), "assert 0"),
        ((), "raise KeyboardInterrupt"),
        ((), "import pytest; pytest.exit('enough', 0)"),
        ((), "request.session.shouldstop = 'enough'"),
    ],
    ids=["first-failure", "maxfail", "interrupt", "exit", "stop"],
)
def test_what_a_stopped_session_leaves_is_not_called_lost(
    run_inner: RunInner, options: tuple[str, ...], body: str
) -> None:
    suite = SUITE.replace("def test_two(): pass", f"def test_two(request): {body}")
    run = run_inner(suite, *options)
    assert "no verdict" not in run.output
    assert "test_three" not in run.verdicts
    assert run.summary["session"]["facts"]["not run"].startswith(("1 of 3", "2 of 3"))


def test_what_is_deselected_late_is_not_expected(run_inner: RunInner) -> None:
    deselects = """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(session):
            (item,) = [item for item in session.items if item.name == "test_two"]
            session.items.remove(item)
            session.config.hook.pytest_deselected(items=[item])
    """
    run = run_inner({"conftest.py": deselects, "test_it.py": SUITE})
    assert run.status == 0, run.output
    assert run.verdicts == {"test_one": "passed", "test_three": "passed"}


def test_a_test_that_is_collected_twice_has_two_verdicts(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "--keep-duplicates", "test_it.py", "test_it.py")
    assert run.status == 0, run.output
    assert run.counts == {"passed": 6}
    assert run.summary["details"]["warnings"] == []


def test_a_second_verdict_is_told_and_fails_the_session(run_inner: RunInner) -> None:
    twice = """
        def pytest_collection_finish(session):
            session.config.pluginmanager.register(Twice())

        class Twice:
            def pytest_runtest_logfinish(self, nodeid):
                plugins = self.config.pluginmanager
                loop = plugins.get_plugin("resilience-attempts")
                if nodeid.endswith("two") and not self.done:
                    self.done = True
                    (item,) = [i for i in self.session.items if i.nodeid == nodeid]
                    loop.pytest_runtest_protocol(item, None)

            done = False

            def pytest_runtestloop(self, session):
                self.session, self.config = session, session.config
    """
    run = run_inner({"conftest.py": twice, "test_it.py": SUITE})
    assert run.status == 1, run.output
    assert "more than one verdict: test_it.py::test_two (passed on main, passed on main)" in (
        run.output
    )


def test_a_worker_that_breaks_leaves_nothing_unnamed(run_inner: RunInner) -> None:
    """An error in a hook ends a worker; xdist alone may be green then."""
    breaks = """
        import os

        def pytest_runtest_logstart(nodeid):
            if nodeid.endswith("two") and "PYTEST_XDIST_WORKER" in os.environ:
                raise RuntimeError("a hook broke")
    """
    run = run_inner({"conftest.py": breaks, "test_it.py": SUITE}, "-n2", plugins=XDIST)
    assert run.status != 0
    assert sorted(run.verdicts) == ["test_one", "test_three", "test_two"], run.output
    assert run.verdicts["test_two"] == "unrecovered"


def test_workers_that_collect_different_tests_are_xdists_to_tell_of(run_inner: RunInner) -> None:
    suite = """
        import os
        import pytest

        @pytest.mark.parametrize("name", [os.environ.get("PYTEST_XDIST_WORKER"), "other"])
        def test_it(name):
            pass
    """
    run = run_inner(suite, "-n2", plugins=XDIST)
    assert run.status == 1, run.output
    assert "Different tests were collected" in run.output
    assert run.summary["tests"] == []
    assert "different tests" in run.summary["session"]["facts"]["not run"]
