"""A question lost on the wire is asked again in place; the report never calls that a pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

CUTTING = (Path(__file__).parents[1] / "browser" / "cutting.py").read_text("utf-8")
CONFTEST = """
    import lab
    import pytest
    from cutting import ANSWER, CuttingProxy

    def pytest_resilience_event(kind, payload):
        if kind == "recovery":
            where = payload["context"]["nodeid"].partition("::")[2]
            lab.log(f"{payload['strategy_id']} {payload['error_type']} "
                    f"{payload['success']} {payload['execution_time'] > 0} {where}")

    class Wire:
        def __init__(self, driver):
            self.proxy = CuttingProxy(driver.service.port)
            driver.command_executor._client_config.remote_server_addr = self.proxy.url
            driver.command_executor.close()

        def lose(self, path, times=1):
            left = [ANSWER] * times
            self.proxy.cuts = lambda _, asked: left.pop() if left and asked.endswith(path) else ""

    @pytest.fixture(scope="session")
    def driver():
        with lab.browser() as driver:
            driver.wire = Wire(driver)
            yield driver

    @pytest.fixture(scope="module")
    def visit(driver):
        driver.get(lab.PAGE)
        driver.wire.lose("/title")
        assert driver.title == "shop"

    @pytest.fixture
    def leaving(driver):
        yield
        driver.wire.lose("/title")
        assert driver.title == "shop"
"""
TESTS = """
    import lab
    import pytest

    def test_before(driver):
        lab.visit(driver)

    def test_in_a_fixture(driver, visit):
        pass

    def test_no_browser():
        pass

    def test_in_call(driver, visit):
        driver.wire.lose("/title")
        assert driver.title == "shop"

    def test_at_the_end(driver, leaving):
        assert driver.title == "shop"

    def test_product(driver):
        driver.wire.lose("/title")
        assert driver.title == "another shop"

    @pytest.mark.xfail(reason="known")
    def test_known(driver):
        driver.wire.lose("/title")
        assert driver.title == "another shop"

    def test_lost_for_good(driver):
        if lab.due("call"):
            driver.wire.lose("/title", times=3)
        assert driver.title == "shop"

    def test_after(driver):
        assert driver.title == "shop"
"""


def test_it_is_invisible_to_the_test_and_visible_in_the_report(run_browsers: Run) -> None:
    """Wherever the question was lost: one attempt, told as recovered, with the evidence."""
    run = run_browsers(
        {"cutting.py": CUTTING, "conftest.py": CONFTEST, "test_it.py": TESTS},
        plan={"test_lost_for_good": ("call", "any")},
    )
    mended = ("recovered", "passed in call connection command_retry")
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_in_a_fixture": mended,
        "test_no_browser": ("passed", "passed"),
        "test_in_call": mended,
        "test_at_the_end": mended,
        "test_product": ("failed", "failed in call product"),
        "test_known": ("xfailed", "skipped in call connection command_retry"),
        "test_lost_for_good": ("recovered", "rerun in call connection immediate_retry", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    [attempt] = run.attempts("test_in_call")
    assert (attempt["level"], attempt["recovery_s"] > 0) == (1, True)
    assert [e["probe"] for e in attempt["evidence"]] == ["driver_process"]
    assert attempt["message"]
    retries = [line for line in run.log() if line.startswith("command_retry")]
    assert retries == [
        "command_retry connection True True test_in_a_fixture",
        "command_retry connection True True test_in_call",
        "command_retry connection True True test_at_the_end",
        "command_retry connection True True test_product",
        "command_retry connection True True test_known",
        "command_retry connection False True test_lost_for_good",
    ]
    assert run.log().count("+driver") == 1
    assert run.counts == {"passed": 3, "recovered": 4, "failed": 1, "xfailed": 1}


def test_with_strict_it_fails_the_run_like_any_recovery(run_browsers: Run) -> None:
    """Who wants to hear of every hiccup does."""
    test = """
    def test_in_call(driver, visit):
        pass
    """
    run = run_browsers(
        {"cutting.py": CUTTING, "conftest.py": CONFTEST, "test_it.py": test}, "--resilience-strict"
    )
    assert (run.status, run.counts) == (1, {"recovered": 1}), run.output
