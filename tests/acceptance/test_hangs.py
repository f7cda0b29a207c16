"""Suites whose browser or driver stops answering in the middle: recovered, within seconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

SUITE = """
    import lab
    import pytest

    @pytest.fixture(scope="session")
    def driver():
        driver = lab.launch()
        yield driver
        driver.quit()

    def test_before(driver):
        lab.visit(driver)

    def test_hung(driver):
        part = lab.due("call")
        if part == "browser":
            lab.stop_browser(driver)
        elif part == "driver":
            lab.stop_driver(driver)
        elif part == "renderer":
            lab.stop_renderers(driver)
        lab.visit(driver)

    def test_after(driver):
        lab.visit(driver)
"""


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("browser", "browser browser_restart"),
        ("driver", "driver driver_restart"),
        ("renderer", "browser browser_restart"),
    ],
)
def test_a_suite_recovers_from_a_hang(part: str, expected: str, run_browsers: Run) -> None:
    """A driver for the whole session hangs in the middle; only that test is run again."""
    run = run_browsers(
        {"test_it.py": SUITE},
        "--resilience-hang-timeout=2",
        plan={"test_hung": ("call", part)},
    )
    assert told(run) == {
        "test_before": ("passed", "passed"),
        "test_hung": ("recovered", f"rerun in call {expected}", "passed"),
        "test_after": ("passed", "passed"),
    }, run.output
    attempt = run.attempts("test_hung")[0]
    assert attempt["exception"] == "CommandHung"
    assert attempt["rule"].startswith("hung-")
    assert "is stopped [hung-command]" in attempt["message"]
    assert stopped_in(attempt) == [f"{part}_process"]


def stopped_in(attempt: dict[str, Any]) -> list[str]:
    """Return what the evidence of an attempt says is stopped, each once."""
    found = [e["probe"] for e in attempt["evidence"] if e["answer"] == "stopped"]
    return list(dict.fromkeys(found))


def test_a_slow_page_is_waited_for(run_browsers: Run) -> None:
    """Longer than several hang time-outs, and nothing is retried or told."""
    suite = """
        import http.server, threading, time

        import lab

        class Slow(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(8 if self.path == "/" else 0)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<title>late</title>")

        def test_slow():
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            driver = lab.launch()
            driver.get(f"http://127.0.0.1:{server.server_port}/")
            assert driver.title == "late"
            driver.quit()
    """
    run = run_browsers({"test_it.py": suite}, "--resilience-hang-timeout=2")
    assert told(run) == {"test_slow": ("passed", "passed")}, run.output
    assert run.summary["counts"]["recovered"] == 0


def test_hangs_can_be_left_alone(run_browsers: Run) -> None:
    """With 0 the watchdog is off: the suite's own limit ends the command, much later."""
    suite = SUITE.replace(
        "driver = lab.launch()", "driver = lab.launch(); lab.give_up_soon(driver, 8)"
    )
    run = run_browsers(
        {"test_it.py": suite},
        "--resilience-hang-timeout=0",
        plan={"test_hung": ("call", "browser")},
    )
    assert run.verdicts["test_hung"] == "recovered", run.output
    assert run.attempts("test_hung")[0]["exception"] in ("ReadTimeoutError", "MaxRetryError")
