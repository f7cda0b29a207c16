"""What is found out about the application under test, apart from the browser."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.browser import target
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.classifier import classify
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ExceptionFact, Failure
from tests import ports
from tests.certificates import speak_tls

Serve = Callable[[Callable[[socket.socket], None]], int]
#: Seconds for what is answered, on a machine that does much else.
AMPLE_S = 60.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for servers of this machine for as long as it takes."""
    for name in ("LIMIT_S", "_PRESENCE_LIMIT_S", "_NEAR_PRESENCE_LIMIT_S"):
        monkeypatch.setattr(target, name, AMPLE_S)


def answer_with(status: str, body: str = "hello", *headers: str) -> Callable[[socket.socket], None]:
    """Return what answers every request with `status`."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
        connection.sendall("\r\n".join(lines).encode())

    return answer


def reset(connection: socket.socket) -> None:
    """Break the connection off, as a crashing server does."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    """End the connection without an answer."""
    connection.recv(65536)


def gibberish(connection: socket.socket) -> None:
    """Answer with what is not HTTP."""
    connection.recv(65536)
    connection.sendall(b"\x00\x01\x02\r\n\r\n")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves connections its own way, and tells the port."""
    listeners: list[socket.socket] = []

    def start(behaviour: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def loop() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    behaviour(connection)

        threading.Thread(target=loop, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        # Without this a thread that waits in `accept` keeps the port open.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on."""
    with ports.closed_port() as port:
        yield port


class TestAsk:
    """Every way a server can answer, or not, has its word."""

    @pytest.mark.parametrize(
        ("behaviour", "answer"),
        [
            (answer_with("200 OK"), "ok"),
            (answer_with("404 Not Found"), "ok"),
            (answer_with("401 Unauthorized"), "ok"),
            (answer_with("302 Found", "", "Location: http://no-such-host.invalid/"), "ok"),
            (answer_with("500 Internal Server Error"), "server_error"),
            (answer_with("501 Not Implemented"), "server_error"),
            (answer_with("502 Bad Gateway"), "gateway"),
            (answer_with("503 Service Unavailable"), "gateway"),
            (answer_with("504 Gateway Timeout"), "gateway"),
            (reset, "reset"),
            (close, "reset"),
            (gibberish, "error"),
        ],
        ids=[
            "fine", "missing", "login", "redirect", "failing", "unable", "bad-gateway",
            "unavailable", "gateway-timeout", "reset", "closed", "gibberish",
        ],
    )  # fmt: skip
    def test_what_a_server_does_is_named(
        self, serve: Serve, behaviour: Callable[[socket.socket], None], answer: str
    ) -> None:
        found, detail = target.ask(f"http://127.0.0.1:{serve(behaviour)}/page", limit_s=AMPLE_S)
        assert found == answer
        assert detail

    def test_nobody_listening_is_refused(self, closed_port: int) -> None:
        assert target.ask(f"http://127.0.0.1:{closed_port}/", limit_s=AMPLE_S)[0] == "refused"

    def test_a_name_that_leads_nowhere_is_dns(self) -> None:
        assert target.ask("http://no-such-host.invalid/")[0] == "dns"

    @pytest.mark.parametrize("url", ["http://-/", "http://a..b/", "http://%zz/"])
    def test_a_name_that_is_none_raises_nothing(self, url: str) -> None:
        assert target.ask(url)[0] in ("dns", "error")

    def test_no_answer_in_time_is_silent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            answer, _detail = target.ask(
                f"http://127.0.0.1:{listener.getsockname()[1]}/", limit_s=0.2
            )
        assert answer == "silent"

    def test_a_name_that_is_looked_up_for_ever_ends_in_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: ended.wait(30))
        answer, detail = target.ask("http://shop.example/", limit_s=0.1)
        ended.set()
        assert (answer, "not resolved within" in detail) == ("dns", True)

    def test_a_server_that_speaks_no_tls_is_tls(self, serve: Serve) -> None:
        port = serve(answer_with("400 Bad Request"))
        assert target.ask(f"https://127.0.0.1:{port}/", limit_s=AMPLE_S)[0] == "tls"

    @pytest.mark.parametrize(("verify", "answer"), [(True, "tls"), (False, "ok")])
    def test_a_certificate_nobody_signed_counts_as_the_browser_was_told(
        self, self_signed: str, verify: bool, answer: str
    ) -> None:
        assert target.ask(self_signed, verify=verify, limit_s=AMPLE_S)[0] == answer

    def test_it_sends_no_credentials_and_no_cookies_and_asks_once(self, serve: Serve) -> None:
        requests: list[str] = []

        def note(connection: socket.socket) -> None:
            requests.append(connection.recv(65536).decode())
            connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

        port = serve(note)
        target.ask(f"http://me:secret@127.0.0.1:{port}/a?b=c#d", limit_s=AMPLE_S)
        assert len(requests) == 1
        head = requests[0].lower()
        assert head.startswith("get /a?b=c http/1.1")
        assert "secret" not in head
        assert "authorization" not in head
        assert "cookie" not in head


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose certificate nobody else vouches for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    speak_tls(server, tmp_path)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Says hello."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://shop/a/b?c", "http://shop:80"),
        ("https://shop/", "https://shop:443"),
        ("HTTP://Shop:8080", "http://shop:8080"),
        ("http://me:secret@[::1]:81/", "http://::1:81"),
        ("data:text/html,hi", ""),
        ("about:blank", ""),
        ("file:///etc/passwd", ""),
        ("chrome://version", ""),
        ("http://", ""),
        ("http://shop:port/", ""),
        ("http://[bad/", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_origin_is_scheme_host_and_port_of_a_web_address(url: object, origin: str) -> None:
    assert target.origin(url) == origin


def session_at(url: str, **keywords: Any) -> DriverSession:
    """Return a session that was told to load `url` and cannot be asked anything."""
    given: dict[str, Any] = {"remote": False, "requested": {}, "capabilities": {}, **keywords}
    return DriverSession(
        session_id="mine",
        browser="chrome",
        browser_version="1",
        endpoint="http://127.0.0.1:9",
        wire=Wire("http://127.0.0.1:9"),
        asked_for=url,
        **given,
    )


def page(answer: str, detail: str = "") -> Evidence:
    return Evidence([ProbeResult("session", "ok"), ProbeResult("page", answer, detail)])


class TestExamine:
    """The server is asked only where it may be to blame, and only by the browser's own way."""

    @pytest.mark.parametrize("answer", ["error_page", "gateway", "server_error"])
    def test_a_page_that_was_not_answered_well_is_looked_into(
        self, serve: Serve, answer: str
    ) -> None:
        session = session_at(f"http://127.0.0.1:{serve(answer_with('200 OK'))}/")
        result = target.examine(session, page(answer))
        assert result is not None
        assert (result.probe, result.answer) == ("target", "ok")
        assert result.cost_s > 0

    @pytest.mark.parametrize(
        ("kind", "message", "asked"),
        [
            ("WebDriverException", "unknown error: net::ERR_CONNECTION_REFUSED", True),
            ("TimeoutException", "timeout: Timed out receiving message from renderer: 4.9", True),
            ("WebDriverException", "tab crashed", False),
        ],
    )
    def test_a_failed_loading_is_looked_into(
        self, serve: Serve, kind: str, message: str, asked: bool
    ) -> None:
        session = session_at(f"http://127.0.0.1:{serve(answer_with('200 OK'))}/")
        session.first_failure = ExceptionFact((f"selenium.common.exceptions.{kind}",), message)
        assert (target.examine(session, page("ok")) is not None) is asked

    def test_a_healthy_page_is_left_alone(self, serve: Serve) -> None:
        connections: list[socket.socket] = []
        session = session_at(f"http://127.0.0.1:{serve(connections.append)}/")
        assert target.examine(session, page("ok")) is None
        assert connections == []

    @pytest.mark.parametrize("url", ["data:text/html,hi", "about:blank", "file:///x", ""])
    def test_what_no_server_serves_is_left_alone(self, url: str) -> None:
        assert target.examine(session_at(url), page("error_page")) is None

    @pytest.mark.parametrize(
        "keywords",
        [
            {"remote": True},
            {"capabilities": {"proxy": {"proxyType": "manual"}}},
            {"requested": {"goog:chromeOptions": {"args": ["--proxy-server=there:1"]}}},
        ],
        ids=["loopback-of-another-machine", "proxy-granted", "proxy-requested"],
    )
    def test_a_way_that_is_not_the_browsers_proves_nothing(self, keywords: dict[str, Any]) -> None:
        host = "127.0.0.1" if keywords.get("remote") else "192.0.2.1"
        assert target.examine(session_at(f"http://{host}/", **keywords), page("error_page")) is None

    def test_a_proxy_of_the_environment_is_not_gone_around(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
        monkeypatch.delenv("no_proxy", raising=False)
        assert target.examine(session_at("http://192.0.2.2/"), page("error_page")) is None

    def test_a_server_that_was_never_there_is_refused(self, closed_port: int) -> None:
        result = target.examine(session_at(f"http://127.0.0.1:{closed_port}/"), page("error_page"))
        assert result is not None
        assert result.answer == "refused"

    def test_a_server_that_was_there_has_vanished(self, closed_port: int) -> None:
        session = session_at(f"http://127.0.0.1:{closed_port}/a")
        session.reached.add(f"http://127.0.0.1:{closed_port}")
        result = target.examine(session, page("error_page"))
        assert result is not None
        assert (result.answer, target.REACHED_BEFORE in result.detail) == ("vanished", True)

    def test_firefox_names_the_address_in_that_of_its_error_page(self, closed_port: int) -> None:
        shown = f"about:neterror?e=connectionFailure&u=http%3A//127.0.0.1%3A{closed_port}/a&c=UTF-8"
        result = target.examine(session_at("data:,"), page("error_page", shown))
        assert result is not None
        assert result.answer == "refused"


def diagnosed(name: str, message: str, answer: str, detail: str = "") -> tuple[str, bool, bool]:
    """Return error type, whether it excuses, and whether it is retried all the same."""
    mro = (f"selenium.common.exceptions.{name}", "selenium.common.exceptions.WebDriverException")
    failure = Failure("t.py::t", "call", (ExceptionFact(mro, message),), command="get")
    evidence = Evidence([*page("error_page", detail), ProbeResult("target", answer, detail)])
    found = classify(failure, evidence)
    return found.error_type.label, found.error_type.infrastructure, found.transient


REFUSED = "unknown error: net::ERR_CONNECTION_REFUSED"
UNKNOWN = "unknown error: net::ERR_NAME_NOT_RESOLVED"
MISSING = "no such element: Unable to locate element"
RENDERER = "timeout: Timed out receiving message from renderer: 4.9"


@pytest.mark.parametrize(
    ("name", "message", "answer", "detail", "expected"),
    [
        ("WebDriverException", REFUSED, "vanished", "", ("page", False, True)),
        ("WebDriverException", REFUSED, "refused", "", ("page", False, False)),
        ("WebDriverException", UNKNOWN, "ok", "", ("network", True, False)),
        ("WebDriverException", UNKNOWN, "dns", "", ("page", False, False)),
        ("WebDriverException", UNKNOWN, "dns", "reached earlier", ("network", True, False)),
        ("WebDriverException", "net::ERR_NETWORK_CHANGED", "ok", "", ("network", True, False)),
        ("WebDriverException", "net::ERR_CONNECTION_RESET", "reset", "", ("page", False, False)),
        ("WebDriverException", "net::ERR_SSL_PROTOCOL_ERROR", "tls", "", ("page", False, False)),
        ("NoSuchElementException", MISSING, "vanished", "", ("page", False, True)),
        ("NoSuchElementException", MISSING, "ok", "ERR_EMPTY_RESPONSE", ("page", False, False)),
        ("NoSuchElementException", MISSING, "ok", "ERR_NAME_NOT_RESOLVED",
         ("network", True, False)),
        ("NoSuchElementException", MISSING, "ok", "ERR_CERT_AUTHORITY_INVALID",
         ("page", False, False)),
        ("TimeoutException", RENDERER, "vanished", "", ("page", False, True)),
    ],
    ids=[
        "app-vanished", "app-never-there", "browser-cannot-resolve", "nobody-can-resolve",
        "name-was-known", "browser-offline", "app-resets", "app-speaks-no-tls",
        "element-missing-app-vanished", "element-missing-answer-broke-off",
        "element-missing-browser-cannot-resolve", "element-missing-bad-certificate",
        "loading-timed-out-app-vanished",
    ],
)  # fmt: skip
def test_application_or_network_is_told_by_who_else_reaches_the_server(
    name: str, message: str, answer: str, detail: str, expected: tuple[str, bool, bool]
) -> None:
    assert diagnosed(name, message, answer, detail) == expected


def test_where_a_browser_was_answered_is_known_to_all_sessions(
    registry: SessionRegistry, chrome: Callable[..., Any], serve: Serve
) -> None:
    """One navigation that was answered is remembered for browsers started later."""
    url = f"http://127.0.0.1:{serve(answer_with('200 OK'))}/a"
    driver = chrome()
    driver.get(url)
    driver.get("data:text/html,hi")
    session = registry.session_of(driver)
    assert session is not None
    assert session.asked_for == "data:text/html,hi"
    assert target.origin(url) in session.reached
    driver.quit()
    later = chrome()
    found = registry.session_of(later)
    assert found is not None
    assert target.origin(url) in found.reached
