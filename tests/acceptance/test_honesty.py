"""What is the product's or the test's own fault stays a failure, whatever broke around it."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, counted_everywhere, told
from tests.conftest import SuiteRun

pytestmark = pytest.mark.browser


#: Beside a suite: an application, and what happens only once in a run.
APP = """
        import pathlib

        import faulty_app, lab, pytest
        from selenium.common.exceptions import WebDriverException

        def once():
            try:
                pathlib.Path("once").touch(exist_ok=False)
            except FileExistsError:
                return False
            return True

        @pytest.fixture(scope="session")
        def app():
            server = faulty_app.Server().start()
            yield server.url
            server.stop()
"""
OWN = """
        @pytest.fixture
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()
"""


def with_app(run_browsers: Run, suite: str) -> SuiteRun:
    return run_browsers({"test_it.py": APP + suite, "faulty_app.py": "@faulty_app"})


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


CUTS = {
    "driver": "driver.set_network_conditions(offline=True, latency=0, throughput=500)",
    "cdp": """driver.execute_cdp_cmd("Network.emulateNetworkConditions", dict(
                offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1))""",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_browser_that_the_test_cuts_off_has_lost_no_network(run_browsers: Run, cut: str) -> None:
    """What it shows without one is the product's, also where the network is back by then."""
    suite = f"""
        def test_cut(driver, app):
            driver.get(app)
            {cut}
            driver.refresh()
            assert "offline basket" in driver.page_source

        def test_given_back(driver, app):
            driver.get(app)
            {cut}
            try:
                driver.refresh()
                assert "offline basket" in driver.page_source
            finally:
                driver.delete_network_conditions()
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {
        "test_cut": ("failed", "failed in call page"),
        "test_given_back": ("failed", "failed in call page"),
    }, run.output


def test_a_browser_closed_over_devtools_was_ended_by_the_test(run_browsers: Run) -> None:
    suite = """
        def close(driver):
            try:
                driver.execute_cdp_cmd("Browser.close", {})
            except WebDriverException:
                "it may be gone before it has answered"

        def test_assertion(driver, app):
            close(driver)
            assert driver is None

        def test_command(driver, app):
            close(driver)
            driver.find_element("id", "buy")

        def test_after_an_error_that_was_dealt_with(driver, app):
            with pytest.raises(WebDriverException):
                driver.get(app + "/reset")
            close(driver)
            assert driver is None

        def test_of_a_dead_browser(driver, app):
            if once():
                lab.kill_browser(driver)
                driver.execute_cdp_cmd("Browser.close", {})
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {
        "test_assertion": ("failed", "failed in call product"),
        "test_command": ("failed", "failed in call test_code"),
        "test_after_an_error_that_was_dealt_with": ("failed", "failed in call product"),
        "test_of_a_dead_browser": (
            "recovered",
            "rerun in call browser browser_restart",
            "passed",
        ),
    }, run.output


def test_an_address_that_no_browser_goes_to_is_no_server_that_vanished(run_browsers: Run) -> None:
    """The driver raises nothing: the page is missing only when an element is."""
    suite = """
        def test_it(driver):
            driver.get("http://127.0.0.1:6000/")
            driver.find_element("id", "buy")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call test_code")}, run.output


def test_a_page_that_loads_too_long_is_seen_whatever_it_has_replaced(run_browsers: Run) -> None:
    suite = """
        def test_it(driver, app):
            driver.set_page_load_timeout(2)
            driver.get(app + "/own-clock")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call page")}, run.output


def test_a_frame_that_leads_nowhere_is_not_asked_for_at_the_page_around_it(
    run_browsers: Run,
) -> None:
    """The server of the page answers; nobody knows the one of the frame."""
    suite = """
        def test_it(driver, app):
            driver.get(f"{app}/frame/{faulty_app.unused_port()}")
            driver.switch_to.frame(0)
            driver.find_element("id", "buy")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call page")}, run.output


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_that_leads_nowhere_is_the_applications(run_browsers: Run, scheme: str) -> None:
    """It is asked for where the browser has been sent to."""
    suite = f"""
        def test_it(driver, app):
            port = faulty_app.unused_port() if "{scheme}" == "http" else app.rpartition(":")[2]
            driver.get(f"{{app}}/to/{scheme}://127.0.0.1:{{port}}")
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call page")}, run.output


def test_a_teardown_that_reaches_no_page_stays_an_error(run_browsers: Run) -> None:
    """Its browser is well; and no teardown is run again, so an excuse would be for ever."""
    suite = """
        @pytest.fixture
        def driver(app):
            driver = lab.launch()
            try:
                yield driver
                driver.get(app + "/reset")
            finally:
                driver.quit()

        def test_it(driver, app):
            driver.get(app)
    """
    run = with_app(run_browsers, suite)
    assert run.verdicts["test_it"] in ("failed", "unrecovered"), run.output
    assert run.status == 1


@pytest.mark.parametrize(
    ("limit", "error_type"),
    [("TimeoutException", "product"), ("TimeoutError", "unknown")],
    ids=["own", "as-of-a-socket"],
)
def test_a_page_that_the_test_did_not_wait_for_is_no_silent_browser(
    run_browsers: Run, limit: str, error_type: str
) -> None:
    """Its own time limit ended the wait; the driver is at that page still."""
    suite = f"""
        import signal

        class TimeoutException(Exception):
            pass

        def ring(*_signal):
            raise {limit}("no basket after a second")

        def test_it(driver, app):
            driver.get(app)
            before = signal.signal(signal.SIGALRM, ring)
            signal.alarm(1)
            try:
                driver.get(app + "/slow")
            finally:
                signal.alarm(0)
                signal.signal(signal.SIGALRM, before)
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", f"failed in call {error_type}")}, run.output


def test_a_wait_for_something_else_while_a_page_is_loading(run_browsers: Run) -> None:
    """The driver lets every command wait for that page; the test has not asked it anything."""
    suite = """
        from selenium.webdriver.support.ui import WebDriverWait

        def test_it(driver, app):
            driver.get(app)
            driver.execute_script(f"setTimeout(() => location.href = '{app}/slow', 300)")
            WebDriverWait(driver, 2).until(lambda _driver: list(pathlib.Path().glob("*.pdf")))
    """
    run = with_app(run_browsers, OWN + suite)
    assert told(run) == {"test_it": ("failed", "failed in call product")}, run.output
