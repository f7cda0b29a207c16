"""A tab that died alone gets a successor in the same session; everything else stays."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

SERVER = """
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import lab
    import pytest

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>shop</title>")

        def log_message(self, *args):
            pass

    @pytest.fixture(scope="session")
    def shop():
        with lab.logged("shop"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()
"""
DRIVER = """
    @pytest.fixture(scope="{scope}")
    def driver():
        with lab.logged("driver"):
            driver = lab.launch()
            yield driver
            driver.quit()

    @pytest.fixture(scope="{scope}")
    def account(driver, shop):
        driver.get(shop)
        driver.add_cookie(dict(name="login", value="anna"))
        with lab.logged("account"):
            yield driver
        lab.log(driver.title or "no title")
"""
KILLS = {
    "crash": "driver.execute_cdp_cmd('Page.crash', {})",
    "kill": "lab.kill_renderer(driver)",
}
TESTS = """
    import lab

    def test_before(account):
        lab.log("session " + account.session_id)

    def test_crash(account, shop, driver):
        lab.log("session " + driver.session_id)
        driver.get(shop)
        if lab.due("call"):
            try:
                {kill}
            finally:
                driver.title
        assert driver.get_cookie("login")["value"] == "anna"
        assert driver.window_handles == [driver.current_window_handle]

    def test_after(account):
        lab.log("session " + account.session_id)
"""
PLAN = {"test_crash": ("call", "any")}


@pytest.mark.parametrize("how", KILLS)
def test_a_dead_tab_is_replaced_in_the_same_session(how: str, run_browsers: Run) -> None:
    """The session goes on with its cookies, and only what was built on the tab is made anew."""
    conftest = SERVER + DRIVER.format(scope="session")
    tests = TESTS.format(kill=KILLS[how])
    run = run_browsers({"conftest.py": conftest, "test_it.py": tests}, plan=PLAN)
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_crash": ("recovered", "rerun in call browser fresh_window", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    sessions = [line for line in run.log() if line.startswith("session ")]
    assert len(sessions) == 4
    assert len(set(sessions)) == 1
    fixtures = [line for line in run.log() if line[0] in "+-"]
    assert fixtures == [
        *("+driver", "+shop", "+account"),
        *("-account", "+account"),
        *("-account", "-shop", "-driver"),
    ]
    assert run.attempts("test_crash")[0]["level"] == 2
    assert run.status == 0


def test_a_browser_of_one_test_is_not_given_a_tab_it_would_never_use(run_browsers: Run) -> None:
    """A function-scoped driver is made anew for the next attempt anyway."""
    conftest = SERVER + DRIVER.format(scope="function")
    tests = TESTS.format(kill=KILLS["crash"])
    run = run_browsers({"conftest.py": conftest, "test_it.py": tests}, plan=PLAN)
    assert told(run)["test_crash"] == (
        "recovered",
        "rerun in call browser browser_restart",
        "passed",
    ), run.output


def test_the_tabs_that_live_stay(run_browsers: Run) -> None:
    """Of three tabs one dies: the others keep what they show, and no tab too many is left."""
    test = """
        import lab
        import pytest

        @pytest.fixture(scope="module")
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()

        def test_tabs(driver):
            if lab.due("call"):
                driver.get("data:text/html,<title>first</title>")
                driver.switch_to.new_window("tab")
                driver.get("data:text/html,<title>second</title>")
                driver.switch_to.new_window("tab")
                driver.get("data:text/html,<title>third</title>")
                driver.execute_cdp_cmd("Page.crash", {})
            here = driver.current_window_handle
            titles = []
            for handle in driver.window_handles:
                driver.switch_to.window(handle)
                titles.append(driver.title)
            assert sorted(titles) == ["", "first", "second"]
            driver.switch_to.window(here)
            assert driver.title == ""
    """
    run = run_browsers({"test_it.py": test}, plan={"test_tabs": ("call", "any")})
    assert told(run)["test_tabs"] == (
        "recovered",
        "rerun in call browser fresh_window",
        "passed",
    ), run.output


def test_one_found_dead_before_a_test_gets_a_tab_too(run_browsers: Run) -> None:
    """The check before the test costs no attempt."""
    test = """
        import time

        import lab
        import pytest

        @pytest.fixture(scope="module")
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()

        def test_leaves_a_dead_tab(driver):
            lab.visit(driver)
            lab.kill_renderer(driver)
            # A browser that answered just now is not asked.
            time.sleep(1.2)

        def test_next(driver):
            lab.visit(driver)
    """
    run = run_browsers({"test_it.py": test})
    assert told(run) == {
        "test_leaves_a_dead_tab": ("passed", "passed"),
        "test_next": ("recovered", "passed in setup browser fresh_window"),
    }, run.output


def test_where_no_tab_can_be_opened_the_session_is_replaced(run_browsers: Run) -> None:
    """A browser that opens nothing any more costs no further attempt."""
    conftest = """
        import pytest_resilience.browser.windows as windows

        windows.replace_dead_tab = lambda session: False
    """
    test = """
        import lab
        import pytest

        @pytest.fixture(scope="module")
        def driver():
            with lab.browser() as driver:
                yield driver

        def test_crash(driver):
            lab.visit(driver)
            lab.strike("call", driver)
            lab.visit(driver)
    """
    run = run_browsers(
        {"conftest.py": conftest, "test_it.py": test}, plan={"test_crash": ("call", "renderer")}
    )
    assert told(run)["test_crash"] == (
        "recovered",
        "rerun in call browser fresh_window",
        "passed",
    ), run.output
    assert run.log() == ["+driver", "-driver"] * 2
