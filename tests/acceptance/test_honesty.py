"""What is the product's or the test's own fault stays a failure, whatever broke around it."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import OWN, Run, counted_everywhere, told, with_app

pytestmark = pytest.mark.browser


def test_failures_in_a_healthy_browser_are_final_at_once(run_browsers: Run) -> None:
    """One attempt each, also after a crash; a failure behind a crash comes out in the end."""
    plan = {"test_crash": ("call", "browser"), "test_second_crash": ("call", "renderer")}
    run = run_browsers({"test_it.py": "@product"}, plan=plan)
    assert told(run) == {
        "test_crash": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_assertion": ("failed", "failed in call product"),
        "test_title": ("failed", "failed in call product"),
        "test_element": ("failed", "failed in call product"),
        "test_wait": ("failed", "failed in call product"),
        "test_script": ("failed", "failed in call product"),
        "test_alert": ("failed", "failed in call page"),
        "test_stale": ("failed", "failed in call page"),
        "test_selector": ("failed", "failed in call test_code"),
        "test_mistake": ("failed", "failed in call test_code"),
        "test_second_crash": (
            "failed",
            "rerun in call browser fresh_window",
            "failed in call product",
        ),
        "test_after": ("passed", "passed"),
    }, run.output
    assert run.status == 1
    assert counted_everywhere(run) == [{"passed": 1, "recovered": 1, "failed": 10}] * 4


def test_a_browser_that_the_test_ended_is_not_broken(run_browsers: Run) -> None:
    """After its own `quit` or last window a test fails for itself."""
    plan = {"test_quit_of_a_dead_browser_then_assertion": ("call", "browser")}
    run = run_browsers({"test_it.py": "@own_end"}, plan=plan)
    assert told(run) == {
        "test_quit_then_assertion": ("failed", "failed in call product"),
        "test_quit_then_command": ("failed", "failed in call test_code"),
        "test_last_window_then_assertion": ("failed", "failed in call product"),
        "test_last_window_then_command": ("failed", "failed in call test_code"),
        "test_quit": ("passed", "passed"),
        "test_quit_of_a_dead_browser_then_assertion": ("failed", "failed in call product"),
    }, run.output


def test_a_dead_browser_of_another_fixture_of_that_name_excuses_nobody(run_browsers: Run) -> None:
    """Two folders have a session fixture `driver` each; the death of one is its own matter."""
    files = {"one/test_one.py": "@owner", "two/test_two.py": "@owner"}
    chosen = ("one/test_one.py::test_page", "two/test_two.py")
    # Of the two tests of that name, the first one to run is struck.
    run = run_browsers(files, *chosen, plan={"test_page": ("call", "browser")})
    assert [(test["nodeid"], test["verdict"]) for test in run.summary["tests"]] == [
        ("one/test_one.py::test_page", "passed"),
        ("two/test_two.py::test_page", "passed"),
        ("two/test_two.py::test_product", "failed"),
    ], run.output
    attempts = [attempt for test in run.summary["tests"] for attempt in test["attempts"]]
    assert [attempt["error_type"] for attempt in attempts] == [None, None, "product"]
    assert [line for line in run.log() if line[0] == "+"] == ["+test_one", "+test_two"]


def test_a_dead_browser_that_no_fixture_owns_is_no_matter_of_other_tests(run_browsers: Run) -> None:
    """A test that does not touch it neither fails nor counts as recovered."""
    module = """
        import lab

        driver = lab.launch()

        def test_page():
            lab.visit(driver)
            lab.strike("call", driver)

        def test_arithmetic():
            assert 1 + 1 == 2

        def test_wrong_arithmetic():
            assert 1 + 1 == 3

        def test_page_again():
            lab.visit(driver)
    """
    run = run_browsers({"test_it.py": module}, plan={"test_page": ("call", "browser")})
    assert told(run) == {
        "test_page": ("passed", "passed"),
        "test_arithmetic": ("passed", "passed"),
        "test_wrong_arithmetic": ("failed", "failed in call product"),
        "test_page_again": ("recovered", "rerun in call browser browser_restart", "passed"),
    }, run.output


def test_a_script_that_keeps_its_driver_waiting_is_no_lost_answer(run_browsers: Run) -> None:
    """The page beside it is well, and an error before it was none of the session."""
    suite = """
        def test_script(driver, app):
            driver.get(app)
            shop = driver.current_window_handle
            driver.switch_to.new_window("tab")
            driver.close()
            with pytest.raises(WebDriverException, match="no such window"):
                driver.title
            driver.switch_to.window(shop)
            driver.set_script_timeout(30)
            driver.command_executor.client_config.timeout = 1
            driver.execute_async_script("/* never calls back */")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_script": ("failed", "failed in call test_code")}, run.output


def test_only_the_broken_one_of_several_browsers_counts(run_browsers: Run) -> None:
    """It alone is replaced, and tests that do not use it are not excused by it."""
    plan = {
        "test_both": ("call", "browser"),
        "test_break_left_when_done": ("call", "driver"),
        "test_leak": ("call", "browser"),
    }
    run = run_browsers({"test_it.py": "@several"}, plan=plan)
    results = told(run)
    # Found dead before the test began or in its first attempt: both are told.
    assert results.pop("test_left_again")[0] == "recovered", run.output
    assert results == {
        "test_both": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_break_left_when_done": ("passed", "passed"),
        "test_right_fails": ("failed", "failed in call product"),
        "test_leak": ("passed", "passed"),
        "test_after_leak": ("failed", "failed in call product"),
    }, run.output
    log = run.log()
    assert (log.count("+left"), log.count("+right")) == (3, 1)


def test_a_network_error_that_was_dealt_with_excuses_nothing_after_it(run_browsers: Run) -> None:
    """The page is well again when the element is missing."""
    suite = """
        def test_it(driver, app):
            driver.get(app)
            try:
                driver.get(app + "/reset")
            except WebDriverException:
                driver.get(app)
                driver.find_element("id", "basket")
    """
    run = with_app(run_browsers, OWN + suite)
    assert run.verdicts == {"test_it": "failed"}, run.output
    assert len(run.attempts("test_it")) == 1


def test_the_words_of_a_script_of_the_page_are_none_of_the_driver(run_browsers: Run) -> None:
    suite = """
        def test_it(driver, app):
            driver.get(app)
            driver.execute_script(
                "performance.getEntriesByType = () => { throw new Error('the crash reporter') }"
            )
            driver.find_element("id", "basket")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call product")}, run.output


def test_a_browser_that_died_counts_beside_one_that_the_test_has_ended(run_browsers: Run) -> None:
    suite = """
        def test_it(driver, app):
            other = lab.launch()
            other.get(app)
            driver.get(app)
            if once():
                lab.kill_browser(driver)
                try:
                    assert driver.title
                finally:
                    other.close()
            other.quit()
    """
    run = with_app(run_browsers, OWN + suite)
    assert run.verdicts == {"test_it": "recovered"}, run.output


def test_a_tab_is_not_replaced_whose_page_its_fixture_has_opened(run_browsers: Run) -> None:
    """Nobody would open the page again, and every test after it would miss its elements."""
    suite = """
        @pytest.fixture(scope="session")
        def driver(app):
            driver = lab.launch()
            driver.get(app)
            yield driver
            driver.quit()

        def test_it(driver):
            if once():
                lab.kill_renderer(driver)
            driver.find_element("id", "buy")

        def test_after(driver):
            driver.find_element("id", "buy")
    """
    run = with_app(run_browsers, suite)
    assert told(run) == {
        "test_it": ("recovered", "rerun in call browser browser_restart", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output


def test_an_order_that_could_not_be_deleted_is_no_lost_browser(run_browsers: Run) -> None:
    """Its browser is dead, but the assertion is the product's, and no teardown is run again."""
    suite = """
        @pytest.fixture(scope="session")
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()

        @pytest.fixture
        def order(driver):
            yield driver
            assert not "in the database", "the order is still there"

        def test_it(order):
            if once():
                lab.kill_browser(order)
    """
    run = with_app(run_browsers, suite)
    assert run.verdicts["test_it"] in ("failed", "unrecovered"), run.output
    assert run.status == 1
