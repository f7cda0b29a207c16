"""The suite that `benchmarks.recovery` runs: one browser for all tests, and real faults.

Copied beside `lab.py` and run there. The plan (``PLAN``, JSON: test number to fault) says
which test meets which fault in its first attempt; the tests between them meet none.
"""

import contextlib
import functools
import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import lab
import pytest
from selenium import webdriver

PLAN = {int(number): fault for number, fault in json.loads(os.environ["PLAN"]).items()}
TESTS = int(os.environ["TESTS"])
#: What cures each fault, where tests are told.
CURES = json.loads(os.environ["CURES"])
#: Seconds for which the server of the pages is gone.
AWAY_S = 1.0


class Quiet(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        # Else a browser shows what it has, and does not notice that the server is gone.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Takes its connections with it when it goes: a browser keeps some in reserve."""

    def __init__(self, *arguments: object, **more: object) -> None:
        self.taken: list[socket.socket] = []
        super().__init__(*arguments, **more)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.taken.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for connection in self.taken:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Pages:
    """The server of the pages, which can go away and come back."""

    def __init__(self) -> None:
        handler = functools.partial(Quiet, directory=str(lab.HERE / "pages"))
        self._make = functools.partial(Server, RequestHandlerClass=handler)
        self._server = self._make(("127.0.0.1", 0))
        self._address = self._server.server_address
        self.url = f"http://127.0.0.1:{self._address[1]}/index.html"
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def vanish(self) -> None:
        self.close()
        threading.Timer(AWAY_S, self._come_back).start()

    def _come_back(self) -> None:
        self._server = self._make(self._address)
        self._serve()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def pages() -> Iterator[Pages]:
    (lab.HERE / "pages").mkdir(exist_ok=True)
    (lab.HERE / "pages" / "index.html").write_text("<title>shop</title><p id=p>hello")
    server = Pages()
    yield server
    time.sleep(AWAY_S)
    server.close()


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    browser = lab.launch()
    yield browser
    browser.quit()


def told(number: int) -> Any:
    """Return the number of a test, which is told what cures its fault if that is known."""
    cure = CURES.get(PLAN.get(number))
    marks = [pytest.mark.resilience(strategies=[cure])] if cure else []
    return pytest.param(number, marks=marks)


@pytest.mark.parametrize("number", [told(number) for number in range(TESTS)])
def test_shop(driver: webdriver.Chrome, pages: Pages, number: int) -> None:
    driver.get(pages.url)
    assert driver.title == "shop"
    mark = lab.HERE / f"struck-{number}"
    fault = PLAN.get(number)
    if fault and not mark.exists():
        mark.touch()
        if fault == "server":
            pages.vanish()
        else:
            {**lab.FAULTS, "hang": lab.stop_browser}[fault](driver)
    driver.get(pages.url)
    assert driver.find_element("id", "p").text == "hello"
