"""What a test does to its browser, or its page by where it leads, is no failure of either."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import OWN, Run, told, with_app

pytestmark = pytest.mark.browser


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
                try:
                    driver.get(app)
                finally:
                    close(driver)
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
