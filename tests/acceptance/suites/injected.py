"""A small shop, and a test of it for each failure that the run is told to inject."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import lab
import psutil
import pytest
from selenium import webdriver

PAGES = {
    "/": b"<title>Shop</title><p>hello</p><canvas></canvas>",
    "/stock": b"42",
}
FETCH = "fetch('/stock').then(r => r.text()).then(arguments[0], e => arguments[0](String(e)))"
DRAW = "gl = document.querySelector('canvas').getContext('webgl'); return !!gl"
#: A page is told of a loss at some time after it has happened.
LOOK = """
const [limit, done] = arguments, end = performance.now() + limit;
(function look() {
    if (gl.isContextLost()) done('WebGL context lost');
    else if (performance.now() > end) done('');
    else setTimeout(look, 20);
})();
"""
#: Of each failure its name, the browser, the arguments of the marker, and whether a test waits in
#: vain. A browser is a kind, followed by ``@`` and the address of its grid if it is behind one.
CASES = json.loads(os.environ["CASES"])
#: Whether nobody else looks after what is stopped.
ALONE = "ALONE" in os.environ


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.send_response(200 if path in PAGES else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGES.get(path, b""))

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def start(browser: str) -> Any:
    kind, _at, address = browser.partition("@")
    if kind == "firefox":
        options = lab.firefox_options()
        return webdriver.Remote(address, options=options) if address else lab.launch_firefox()
    if not address:
        return lab.launch("--enable-unsafe-swiftshader")
    chrome_options = webdriver.ChromeOptions()
    for argument in (*lab.ARGUMENTS, "--enable-unsafe-swiftshader"):
        chrome_options.add_argument(argument)
    return webdriver.Remote(address, options=chrome_options)


@pytest.fixture
def driver(request: pytest.FixtureRequest, resilience: Any) -> Iterator[Any]:
    browser, in_vain = getattr(request, "param", (CASES[-1][1], False))
    driver = start(browser)
    if in_vain and resilience.attempt == 1:
        driver.set_page_load_timeout(2)
        driver.set_script_timeout(2)
        lab.give_up_soon(driver, 4)
    else:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(60)
        lab.give_up_soon(driver, 90)
    yield driver
    if ALONE:
        end_what_is_stopped(driver)
    # A dead one need not say so once more.
    with contextlib.suppress(Exception):
        driver.quit()


def end_what_is_stopped(driver: Any) -> None:
    """Kill a driver and its browser if one of them is stopped: to quit would take minutes."""
    service = getattr(driver, "service", None)
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(service.process.pid) if service is not None else None
        tree = [process, *process.children(recursive=True)] if process is not None else []
        if any(one.status() == psutil.STATUS_STOPPED for one in tree):
            for one in tree:
                one.kill()


def case(name: str, browser: str, marker: dict[str, Any], in_vain: bool) -> Any:
    mark = pytest.mark.inject_failure(**marker)
    return pytest.param((browser, in_vain), marker["type"], id=name, marks=[mark])


@pytest.mark.parametrize(("driver", "kind"), [case(*each) for each in CASES], indirect=["driver"])
def test_shop(driver: Any, shop: str, kind: str, resilience: Any) -> None:
    driver.get(shop)
    assert driver.title == "Shop"
    if kind == "gpu_error":
        assert driver.execute_script(DRAW)
        lost = driver.execute_async_script(LOOK, 30_000 if resilience.attempt == 1 else 100)
        if lost:
            driver.execute_script("throw new Error(arguments[0])", lost)
    if kind == "database_error":
        sqlite3.connect(":memory:").execute("select 1")
    assert driver.execute_async_script(FETCH) == "42"
    driver.get(shop + "/?again")
    assert driver.find_element("css selector", "p").text == "hello"


def test_nothing_is_injected(driver: Any, shop: str) -> None:
    driver.get(shop)
    assert driver.execute_async_script(FETCH) == "42"
