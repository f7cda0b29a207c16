"""The last resort: every browser of the test ended, the rest reset by the user's own hook."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

#: Something outside the browser is stale; only the hook, and new browsers, cure it.
CONFTEST = """
    import lab
    import pytest

    def pytest_resilience_reset_environment(config):
        lab.log("reset " + config.rootpath.name)
        {hook}

    @pytest.fixture(scope="session")
    def first():
        with lab.browser("first") as driver:
            yield driver

    @pytest.fixture(scope="session")
    def second():
        with lab.browser("second") as driver:
            yield driver

    @pytest.fixture(scope="session")
    def unrelated():
        with lab.browser("unrelated") as driver:
            lab.log("unrelated " + driver.session_id)
            yield driver

    @pytest.fixture(scope="session")
    def catalogue():
        with lab.logged("catalogue"):
            yield
"""
TESTS = """
    import os

    import lab
    import psutil
    import pytest
    from selenium.common.exceptions import WebDriverException

    own = pytest.mark.resilience(strategies=["environment_reset"])

    def test_before(unrelated):
        lab.visit(unrelated)

    @own
    def test_stale(first, second, catalogue):
        lab.visit(first)
        lab.visit(second)
        if lab.due("call"):
            lab.log(f"pids {first.service.process.pid} {second.service.process.pid}")
            lab.kill_browser(first)
        lab.visit(first)
        pids = [line.split()[1:] for line in open("log.txt") if line.startswith("pids ")]
        assert not any(psutil.pid_exists(int(pid)) for pid in sum(pids, []))

    def test_after(unrelated, second):
        lab.log("unrelated " + unrelated.session_id)
        lab.visit(second)
"""
PLAN = {"test_stale": ("call", "any")}


def test_it_ends_the_browsers_of_the_test_and_no_other(run_browsers: Run) -> None:
    """Both browsers of the test are made anew, the healthy one too; a third one goes on."""
    conftest = CONFTEST.format(hook="")
    run = run_browsers({"conftest.py": conftest, "test_it.py": TESTS}, plan=PLAN)
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_stale": ("recovered", "rerun in call browser environment_reset", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    log = run.log()
    assert log.count("reset " + run.folder.name) == 1
    made = {name: log.count(f"+{name}") for name in ("first", "second", "unrelated", "catalogue")}
    assert made == {"first": 2, "second": 2, "unrelated": 1, "catalogue": 1}
    assert len({line for line in log if line.startswith("unrelated ")}) == 1
    assert run.attempts("test_stale")[0]["level"] == 5


def test_a_reset_of_the_user_that_fails_is_told_and_the_browsers_are_new(run_browsers: Run) -> None:
    """What the hook raises costs the recovery its success, not the test its browsers."""
    conftest = CONFTEST.format(hook="raise OSError('the container does not stop')")
    listener = """
    def pytest_resilience_event(kind, payload):
        if kind == "recovery":
            lab.log("detail " + payload["context"]["detail"])
    """
    run = run_browsers({"conftest.py": conftest + listener, "test_it.py": TESTS}, plan=PLAN)
    assert told(run)["test_stale"] == (
        "recovered",
        "rerun in call browser environment_reset",
        "passed",
    ), run.output
    assert "detail OSError: the container does not stop" in run.log()


def test_it_ends_browsers_that_nobody_holds_any_more(run_browsers: Run) -> None:
    """One whose driver object was lost without a quit goes, too; one in use stays."""
    test = """
        import gc

        import lab
        import psutil
        import pytest

        kept = []

        @pytest.fixture(scope="session")
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()

        def test_forgets_to_quit():
            driver = lab.launch()
            lab.log(str(driver.service.process.pid))
            # Otherwise its service ends it when it is collected.
            kept.append(driver.service)

        def test_keeps_one():
            kept.append(lab.launch())

        @pytest.mark.resilience(strategies=["environment_reset"])
        def test_reset(driver):
            gc.collect()
            pid = int(open("log.txt").readline())
            if lab.due("call"):
                assert psutil.pid_exists(pid)
                lab.kill_browser(driver)
            lab.visit(driver)
            assert not psutil.pid_exists(pid)
            lab.visit(kept[1])
            kept[1].quit()
    """
    run = run_browsers({"test_it.py": test}, plan={"test_reset": ("call", "any")})
    assert told(run)["test_reset"] == (
        "recovered",
        "rerun in call browser environment_reset",
        "passed",
    ), run.output
