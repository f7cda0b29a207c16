"""Time-outs for pages and scripts get longer for one attempt; those of the product do not."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

#: Pages that come much too late when they are asked for first, and then later than their time-out
#: allows, but much sooner than twice that; the host is to blame, says a rule of the user's own.
CONFTEST = """
    import threading
    import time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import lab
    import pytest
    from pytest_resilience import ErrorType, Rule

    def pytest_resilience_classify(config):
        return [Rule("slow-host", ErrorType.TIMEOUT, types=("TimeoutException",))]

    class Slow(BaseHTTPRequestHandler):
        asked = set()

        def do_GET(self):
            seconds = 2.1 if self.path in self.asked else 5
            self.asked.add(self.path)
            time.sleep(seconds)
            try:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<title>shop</title>")
            except OSError:
                pass

        def log_message(self, *args):
            pass

    @pytest.fixture(scope="session")
    def shop():
        server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()

    @pytest.fixture(scope="SCOPE")
    def driver():
        driver = lab.launch()
        driver.set_page_load_timeout(2)
        driver.set_script_timeout(5)
        driver.implicitly_wait(0.5)
        yield driver
        driver.quit()
"""
TESTS = """
    import lab
    import pytest

    own = pytest.mark.resilience(strategies=["extended_timeout_retry"])

    def in_force(driver):
        limits = driver.timeouts
        return limits.page_load, limits.script, limits.implicit_wait

    def test_before(driver):
        assert in_force(driver) == (2, 5, 0.5)

    @own
    def test_slow(driver, shop):
        lab.log(str(in_force(driver)))
        driver.get(shop + "slow")
        assert driver.title == "shop"

    @own
    def test_set_in_the_test(driver, shop):
        driver.set_page_load_timeout(1.9)
        lab.log(str(in_force(driver)))
        driver.get(shop + "set")
        driver.set_page_load_timeout(2)

    def test_after(driver):
        assert in_force(driver) == (2, 5, 0.5)
"""


@pytest.mark.parametrize("scope", ["session", "function"])
def test_what_was_too_slow_gets_twice_the_time_once(scope: str, run_browsers: Run) -> None:
    """Wherever the time-out was set, and before the next test it is as the user set it."""
    run = run_browsers({"conftest.py": CONFTEST.replace("SCOPE", scope), "test_it.py": TESTS})
    extended = ("recovered", "rerun in call timeout extended_timeout_retry", "passed")
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_slow": extended,
        "test_set_in_the_test": extended,
        "test_after": ("passed", "passed"),
    }, run.output
    assert [line for line in run.log() if line.startswith("(")] == [
        "(2.0, 5.0, 0.5)",
        "(4.0, 10.0, 0.5)",
        "(1.9, 5.0, 0.5)",
        "(3.8, 10.0, 0.5)",
    ]


def test_where_the_user_set_none_there_is_none_to_extend(run_browsers: Run) -> None:
    """The time-outs of the browser itself, minutes long, are left alone."""
    test = """
        import shutil

        import lab
        import pytest
        from selenium import webdriver
        from selenium.common.exceptions import TimeoutException

        def test_slow():
            options = webdriver.ChromeOptions()
            for argument in lab.ARGUMENTS:
                options.add_argument(argument)
            options.binary_location = shutil.which("chromium")
            service = webdriver.ChromeService(shutil.which("chromedriver"))
            with webdriver.Chrome(options=options, service=service) as driver:
                if lab.due("call"):
                    raise TimeoutException("too slow")
    """
    conftest = CONFTEST.replace("SCOPE", "session")
    run = run_browsers(
        {"conftest.py": conftest, "test_it.py": test}, plan={"test_slow": ("call", "any")}
    )
    assert run.verdicts == {"test_slow": "recovered"}, run.output
    assert run.attempts("test_slow")[0]["strategy"] != "extended_timeout_retry"
