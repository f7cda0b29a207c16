"""Commands lost on the wire: questions are asked again, deeds are never done twice."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from selenium import webdriver
from selenium.webdriver.common.by import By
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError, ProtocolError, ReadTimeoutError

from pytest_resilience.browser import rebirth
from pytest_resilience.browser.resend import Resent, is_loss, is_repeatable
from pytest_resilience.browser.sessions import SessionRegistry
from tests.browser.cutting import ANSWER, HALF, REQUEST, CuttingProxy

PLACE = "/session/0f"

REPEATABLE = [
    *(
        ("GET", f"{PLACE}/{question}")
        for question in (
            "url", "title", "source", "screenshot", "cookie", "cookie/login", "alert/text",
            "timeouts", "window", "window/handles", "window/rect", "element/active",
            "element/f.1/text", "element/f.1/name", "element/f.1/rect", "element/f.1/enabled",
            "element/f.1/selected", "element/f.1/attribute/href", "element/f.1/property/value",
            "element/f.1/css/color", "element/f.1/screenshot", "element/f.1/shadow",
            "element/f.1/computedrole", "element/f.1/computedlabel",
        )
    ),
    *(
        ("POST", f"{PLACE}/{search}")
        for search in (
            "element", "elements", "element/f.1/element", "element/f.1/elements",
            "shadow/f.1/element", "shadow/f.1/elements", "timeouts",
        )
    ),
    ("GET", "/wd/hub/session/0f/title"),
]  # fmt: skip
NEVER_REPEATED = [
    ("POST", "/session"),
    ("DELETE", PLACE),
    ("GET", "/status"),
    *(
        ("POST", f"{PLACE}/{deed}")
        for deed in (
            "url", "back", "forward", "refresh", "element/f.1/click", "element/f.1/clear",
            "element/f.1/value", "execute/sync", "execute/async", "actions", "window/new",
            "window", "frame", "frame/parent", "cookie", "alert/accept", "alert/text",
            "window/rect", "goog/cdp/execute", "element/f.1", "elementary",
        )
    ),
    ("DELETE", f"{PLACE}/cookie"),
    ("DELETE", f"{PLACE}/window"),
    ("GET", f"{PLACE}/goog/page/freeze"),
    ("GET", f"{PLACE}/se/files"),
    ("GET", f"{PLACE}/element/f.1/click"),
    ("PUT", f"{PLACE}/title"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REPEATABLE, ids=" ".join)
def test_what_leaves_no_trace_may_be_repeated(method: str, path: str) -> None:
    assert is_repeatable(method, path)


@pytest.mark.parametrize(("method", "path"), NEVER_REPEATED, ids=" ".join)
def test_what_does_something_may_not(method: str, path: str) -> None:
    assert not is_repeatable(method, path)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CONNECTION = HTTPConnection("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        pytest.param(ProtocolError("Connection aborted.", ConnectionResetError()), True, id="cut"),
        pytest.param(
            ProtocolError("Connection aborted.", http.client.RemoteDisconnected()), True, id="ended"
        ),
        pytest.param(urllib3.exceptions.IncompleteRead(3, 4), True, id="torn"),
        pytest.param(
            caused(NewConnectionError(CONNECTION, "refused"), ConnectionRefusedError()),
            True,
            id="refused",
        ),
        pytest.param(
            caused(NewConnectionError(CONNECTION, "no route"), OSError(113, "no route")),
            False,
            id="unreachable",
        ),
        pytest.param(
            ReadTimeoutError(urllib3.HTTPConnectionPool("x"), "/", "read"), False, id="slow"
        ),
        pytest.param(
            ProtocolError("Connection aborted.", TimeoutError()), False, id="slow-to-send"
        ),
        pytest.param(ValueError("no url"), False, id="mistake"),
    ],
)
def test_what_took_too_long_was_not_lost(error: Exception, lost: bool) -> None:
    assert is_loss(error) is lost


class Counter(BaseHTTPRequestHandler):
    """A page whose button is counted by its server."""

    clicks: list[str]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        click = "const r = new XMLHttpRequest(); r.open('POST', '/click', false); r.send()"
        self.wfile.write(f'<title>counter</title><button onclick="{click}">+</button>'.encode())

    def do_POST(self) -> None:
        self.clicks.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def clicks() -> Iterator[tuple[str, list[str]]]:
    """Return the address of the page, and the clicks its server has seen."""
    seen: list[str] = []
    handler = type("Handler", (Counter,), {"clicks": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", seen
    server.shutdown()
    server.server_close()


class Line:
    """A Chromium whose driver is reached over a wire that can be cut."""

    def __init__(self, driver: webdriver.Chrome, registry: SessionRegistry) -> None:
        self.driver = driver
        self.resent: list[Resent] = []
        registry.guard.on_resent = self.resent.append
        self.proxy = CuttingProxy(driver.service.port)
        rebirth.point(driver.command_executor, self.proxy.url)

    def lose(self, path: str, how: str, times: int = 1) -> None:
        """Lose the next requests for what ends with `path`."""
        left = [how] * times

        def cuts(_method: str, asked: str) -> str:
            return left.pop() if left and asked.endswith(path) else ""

        self.proxy.cuts = cuts

    def asked(self, path: str) -> int:
        """Return how often something that ends with `path` was asked for."""
        return sum(asked.endswith(path) for _method, asked in self.proxy.seen)


@pytest.fixture
def line(chrome: Callable[..., webdriver.Chrome], registry: SessionRegistry) -> Iterator[Line]:
    """Start a Chromium, and lead the way to its driver through a proxy."""
    line = Line(chrome(), registry)
    yield line
    line.proxy.cuts = lambda _method, _path: ""
    line.driver.quit()
    line.proxy.close()


@pytest.mark.browser
@pytest.mark.parametrize("how", [REQUEST, ANSWER, HALF])
def test_a_lost_question_is_asked_again_and_told(how: str, line: Line) -> None:
    """The test sees its answer; who wants to know hears what was lost and who was there."""
    line.driver.get("data:text/html,<title>shop</title><p id=a>")
    line.lose("/title", how)
    assert line.driver.title == "shop"
    [resent] = line.resent
    assert (resent.command, resent.times, resent.success) == ("getTitle", 1, True)
    assert resent.evidence is not None
    assert (resent.evidence.probe, resent.evidence.answer) == ("driver_process", "alive")
    assert is_loss(resent.error)
    assert resent.session.first_failure is None
    line.lose("/element", how)
    assert line.driver.find_element(By.ID, "a").tag_name == "p"
    assert [r.command for r in line.resent] == ["getTitle", "findElement"]


@pytest.mark.browser
def test_a_question_that_is_lost_again_and_again_is_given_up(line: Line) -> None:
    """Two more times, then the loss is what the test sees."""
    line.driver.get("data:text/html,<title>shop</title>")
    line.lose("/title", ANSWER, times=9)
    with pytest.raises(ProtocolError):
        _ = line.driver.title
    assert line.asked("/title") == 3
    assert [(r.times, r.success) for r in line.resent] == [(2, False)]


@pytest.mark.browser
@pytest.mark.parametrize("how", [REQUEST, ANSWER, HALF])
def test_a_click_is_never_repeated(
    how: str, line: Line, clicks: tuple[str, list[str]], eventually: Callable[..., bool]
) -> None:
    """However it is lost: the page is clicked once at most."""
    url, seen = clicks
    line.driver.get(url)
    button = line.driver.find_element(By.TAG_NAME, "button")
    line.lose("/click", how)
    with pytest.raises((ProtocolError, ConnectionError)):
        button.click()
    lost = 1 if how == REQUEST else 0
    # The server may hear of a click after the one who clicked.
    assert eventually(lambda: len(seen) == 1 - lost)
    assert line.asked("/click") == 1
    assert line.resent == []
    button.click()
    assert eventually(lambda: len(seen) == 2 - lost)
    assert line.asked("/click") == 2


@pytest.mark.browser
def test_a_script_is_never_repeated(line: Line) -> None:
    line.driver.get("data:text/html,<title>0</title>")
    line.lose("/execute/sync", ANSWER)
    with pytest.raises((ProtocolError, ConnectionError)):
        line.driver.execute_script("document.title = 1 + Number(document.title)")
    assert line.driver.title == "1"
    assert line.resent == []


@pytest.mark.browser
def test_nothing_is_asked_of_a_driver_that_died(line: Line, registry: SessionRegistry) -> None:
    """Its connection is lost with it, and a question is not sent after it."""
    session = registry.session_of(line.driver)
    assert session is not None

    def die(_method: str, path: str) -> str:
        if not path.endswith("/title"):
            return ""
        line.driver.service.process.kill()
        line.driver.service.process.wait()
        return REQUEST

    line.proxy.cuts = die
    with pytest.raises((ProtocolError, ConnectionError)):
        _ = line.driver.title
    assert line.asked("/title") == 1
    assert line.resent == []


@pytest.mark.browser
def test_who_lets_urllib3_repeat_has_it_his_way(line: Line) -> None:
    """A pool with retries of the user's own is left alone."""
    executor: Any = line.driver.command_executor
    executor._conn.connection_pool_kw["retries"] = urllib3.Retry(0)
    executor._conn.clear()
    line.lose("/title", REQUEST)
    with pytest.raises(urllib3.exceptions.HTTPError):
        _ = line.driver.title
    assert line.resent == []
