"""How answers over the wire are read, and what evidence means for a session."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_resilience.browser import answers, hangs, probes
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Reply, Wire
from pytest_resilience.core.evidence import Evidence, ProbeResult
from tests.ports import closed_port

NODE_UP = {"availability": "UP", "slots": [{"session": {"sessionId": "mine"}}, {"session": None}]}
NODE_FULL = {"availability": "UP", "slots": [{"session": {"sessionId": "other"}}]}
NODE_DOWN = {"availability": "DOWN", "slots": [{"session": None}]}
NODE_DRAINING = {"availability": "DRAINING", "slots": [{"session": {"sessionId": "mine"}}]}


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers a path with what the server was told to answer it with."""

    def do_GET(self) -> None:
        # Who closes a connection before all of the request was read resets it.
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = self.server.answers.get(self.path, (404, b"nothing here"))  # type: ignore[attr-defined]
        self.server.seen.append((self.command, self.path))  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A stand-in for a driver or a grid."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def remote_session(url: str, **keywords: Any) -> DriverSession:
    return DriverSession(
        session_id="mine",
        browser="chrome",
        browser_version="1",
        endpoint=url,
        remote=True,
        wire=Wire(url),
        requested={},
        capabilities={},
        **keywords,
    )


def grid_of(*nodes: dict[str, Any]) -> Reply:
    return Reply("ok", 200, {"ready": True, "message": "Selenium Grid ready.", "nodes": nodes})


def test_an_answer_of_a_driver_is_unpacked(server: Server) -> None:
    server.answers["/status"] = (200, b'{"value": {"ready": true}}')
    reply = Wire(server.url).ask("GET", "/status", limit_s=5)
    assert (reply.good, reply.status, reply.value) == (True, 200, {"ready": True})


def test_an_error_of_a_driver_is_an_answer(server: Server) -> None:
    body = b'{"value": {"error": "invalid session id", "message": "gone", "stacktrace": ""}}'
    server.answers["/session/1/alert/text"] = (404, body)
    reply = Wire(server.url).ask("GET", "/session/1/alert/text", limit_s=5)
    assert (reply.good, reply.answer, reply.error, reply.detail) == (
        False, "ok", "invalid session id", "gone",
    )  # fmt: skip


def test_a_body_that_is_no_json_is_kept_as_text(server: Server) -> None:
    server.answers["/status"] = (502, b"<html>Bad Gateway</html>")
    reply = Wire(server.url).ask("GET", "/status", limit_s=5)
    assert (reply.good, reply.status, reply.value) == (False, 502, "<html>Bad Gateway</html>")


def test_nobody_listening_is_refused() -> None:
    with closed_port() as port:
        assert Wire(f"http://127.0.0.1:{port}").ask("GET", "/", limit_s=5).answer == "refused"


def test_no_answer_in_time_is_silent(silent_port: int) -> None:
    assert Wire(f"http://127.0.0.1:{silent_port}").ask("GET", "/", limit_s=0.1).answer == "silent"


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", "nonsense", ""])
def test_what_cannot_be_asked_is_an_error_and_raises_nothing(url: str) -> None:
    assert Wire(url).ask("GET", "/status", limit_s=2).answer == "error"


@pytest.mark.parametrize(
    ("reply", "session_id", "answer"),
    [
        (grid_of(NODE_UP), "mine", "ok"),
        (grid_of(NODE_DRAINING, NODE_UP), "mine", "ok"),
        (grid_of(NODE_DRAINING), "mine", "ok"),
        (grid_of(NODE_DRAINING), None, "empty"),
        (grid_of(NODE_FULL), "mine", "dead"),
        (grid_of(NODE_DOWN), "mine", "empty"),
        (grid_of(), "mine", "empty"),
        (grid_of(NODE_UP), None, "ok"),
        (grid_of(NODE_FULL, NODE_DOWN), None, "busy"),
        (Reply("ok", 200, {"ready": True, "message": "ready"}), "mine", "ok"),
        (Reply("refused"), "mine", "refused"),
        (Reply("ok", 503, "down for repair"), "mine", "error"),
    ],
    ids=[
        "has-session", "drains", "all-drain", "no-new-ones", "lost-session", "down", "no-nodes",
        "free", "full", "bare-driver", "refused", "unavailable",
    ],
)  # fmt: skip
def test_a_grid_tells_whether_it_still_has_the_session(
    reply: Reply, session_id: str | None, answer: str
) -> None:
    status = reply.value
    if isinstance(status, dict) and "nodes" in status:
        status["nodes"] = list(status["nodes"])
    assert answers.grid_answer(reply, session_id)[0] == answer


@pytest.mark.parametrize(
    ("value", "answer", "detail"),
    [
        (["https://shop/", 200, "", False], "ok", "https://shop/"),
        (["https://shop/", 404, "", False], "ok", "https://shop/"),
        (["https://shop/", 500, "", False], "server_error", "500 https://shop/"),
        (["https://shop/", 503, "", False], "gateway", "503 https://shop/"),
        (["chrome-error://chromewebdata/", 0, " ERR_EMPTY_RESPONSE ", False], "error_page",
         "ERR_EMPTY_RESPONSE"),
        (["chrome-error://chromewebdata/", 500, "HTTP ERROR 500", False], "server_error",
         "500 chrome-error://chromewebdata/"),
        (["chrome-error://chromewebdata/", 404, "HTTP ERROR 404", False], "ok",
         "404 chrome-error://chromewebdata/"),
        (["chrome-error://chromewebdata/", 0, "ERR_CONNECTION_REFUSED", True], "error_page",
         "ERR_CONNECTION_REFUSED in a frame"),
        (["https://shop/", 200, "", True], "ok", "https://shop/"),
        (["https://shop/", 200, "HTTP ERROR 500", False], "ok", "https://shop/"),
        (["about:neterror?e=dnsNotFound", 0, "", False], "error_page",
         "about:neterror?e=dnsNotFound"),
    ],
)  # fmt: skip
def test_a_page_tells_whether_its_server_answered(value: object, answer: str, detail: str) -> None:
    assert answers.page_answer(Reply("ok", 200, value)) == (answer, detail)


def test_a_page_that_does_not_tell_is_an_error() -> None:
    assert answers.page_answer(Reply("ok", 500, {}, error="javascript error"))[0] == "error"
    assert answers.page_answer(Reply("ok", 200, None))[0] == "error"


def test_a_page_that_crashed_in_between_says_so() -> None:
    assert answers.page_answer(Reply("ok", 500, {}, error="tab crashed"))[0] == "crashed"


@pytest.mark.parametrize(
    ("error", "status", "message", "answer"),
    [
        ("no such alert", 404, "", "ok"),
        ("no such window", 404, "target window already closed", "ok"),
        ("tab crashed", 500, "tab crashed", "crashed"),
        ("unknown error", 500, "page crash", "crashed"),
        ("invalid session id", 404, "", "dead"),
        ("unknown error", 500, "disconnected: not connected to DevTools", "dead"),
        ("unknown error", 500, "Failed to decode response from marionette", "dead"),
        ("unknown error", 500, "Connection error (GET http://localhost:1/session/1)", "refused"),
        ("unknown error", 500, "Failed to execute request (POST http://n:1/session/1)", "refused"),
        ("unknown error", 500, "Unable to execute request for an existing session: Connection "
         "error (GET http://n:1/session/1)", "refused"),
        ("unknown error", 500, "something new", "error"),
        ("javascript error", 500, "javascript error: the crash reporter is not ready", "ok"),
        ("unknown error", 500, "Runtime.callFunctionOn threw exception: a crash", "ok"),
    ],
)  # fmt: skip
def test_a_session_tells_how_it_is(error: str, status: int, message: str, answer: str) -> None:
    reply = Reply("ok", status, {}, error=error, detail=message)
    assert answers.session_answer(reply)[0] == answer


@pytest.mark.parametrize(
    ("probe", "answer", "broken", "needs_driver"),
    [
        ("browser_process", "gone", True, False),
        ("browser_process", "stopped", True, False),
        ("browser_process", "alive", False, False),
        ("driver_process", "zombie", True, True),
        ("driver_status", "refused", True, True),
        ("driver_status", "silent", True, True),
        ("devtools", "silent", True, False),
        ("session", "crashed", True, False),
        ("session", "dead", True, False),
        ("session", "silent", True, False),
        ("session", "refused", True, False),
        ("session", "error", False, False),
        ("grid", "dead", True, False),
        ("grid", "busy", False, False),
        ("page", "error_page", False, False),
        ("latch", "browser", False, False),
    ],
)
def test_evidence_says_what_is_of_no_use_any_more(
    probe: str, answer: str, broken: bool, needs_driver: bool
) -> None:
    evidence = Evidence([ProbeResult(probe, answer)])
    assert (probes.broken(evidence), probes.needs_driver(evidence)) == (broken, needs_driver)


def test_no_evidence_breaks_nothing() -> None:
    assert not probes.broken(Evidence())


def test_a_remote_session_is_asked_through_its_grid(server: Server) -> None:
    server.answers["/status"] = (200, b'{"value": {"ready": true, "message": "here"}}')
    server.answers["/session/mine/alert/text"] = (404, b'{"value": {"error": "no such alert"}}')
    # What is near to that browser is not what is near to us, and is not asked from here.
    told = b'{"value": ["http://127.0.0.1/", 502, "", false]}'
    server.answers["/session/mine/execute/sync"] = (200, told)
    found = [(r.probe, r.answer) for r in probes.probe(remote_session(server.url))]
    assert found == [("grid", "ok"), ("session", "ok"), ("page", "gateway")]


def test_a_grid_that_is_down_is_not_asked_for_the_session() -> None:
    found = [(r.probe, r.answer) for r in probes.probe(remote_session("http://127.0.0.1:9"))]
    assert found == [("grid", "refused")]


def test_nothing_is_sent_to_a_session_that_is_busy_with_a_command(server: Server) -> None:
    server.answers["/status"] = (200, b'{"value": {"ready": true}}')
    session = remote_session(server.url, in_flight="get")
    assert [r.probe for r in probes.probe(session)] == ["grid"]
    assert server.seen == [("GET", "/status")]


def test_a_session_the_test_ended_has_only_its_past(server: Server) -> None:
    session = remote_session(server.url)
    session.begin("quit", 1, 0.0)
    assert [(r.probe, r.answer) for r in probes.probe(session)] == [("latch", "closed")]
    assert not probes.is_healthy(session)
    assert server.seen == []


def test_the_last_window_closed_is_an_end_by_the_test(server: Server) -> None:
    session = remote_session(server.url)
    session.begin("close", 1, 0.0)
    session.answered("close", {}, {"value": []})
    assert next(probes.probe(session)).answer == "closed"


def test_a_window_closed_among_others_is_no_end(server: Server) -> None:
    session = remote_session(server.url)
    session.begin("close", 1, 0.0)
    session.answered("close", {}, {"value": ["another"]})
    assert not session.closed_by_test


@pytest.mark.parametrize(
    ("session_id", "nodes", "answer"),
    [
        ("mine", [NODE_UP], "ok"),
        ("mine", [NODE_DRAINING], "ok"),
        ("mine", [NODE_FULL], "dead"),
        ("mine", [], "empty"),
        ("", [NODE_FULL], "ok"),
        ("", [], "ok"),
    ],
    ids=["has-session", "drains", "lost-session", "no-nodes", "queues", "queues-for-a-new-node"],
)
def test_while_a_command_hangs_a_grid_is_to_blame_for_sessions_it_lost(
    server: Server, session_id: str, nodes: list[object], answer: str
) -> None:
    """Not for a request that waits: a node may yet come for it."""
    server.answers["/status"] = (200, json.dumps({"value": {"nodes": nodes}}).encode())
    session = remote_session(server.url)
    session.session_id = session_id
    evidence = hangs.examine(session)
    assert evidence.answer("grid") == answer
    cause = hangs.cause_of(evidence, frozenset({"grid"}))
    assert (cause is not None) == (answer != "ok")


@pytest.mark.parametrize(
    ("address", "holder", "told"),
    [
        ("http://n:5555", "mine", ("node", "refused")),
        ("http://localhost:1234", "mine", ("driver_status", "refused")),
        ("http://n:5555", "other", None),
    ],
    ids=["node", "driver", "nobody-has-it"],
)
def test_who_refused_a_session_is_told_by_its_address(
    address: str, holder: str, told: tuple[str, str] | None
) -> None:
    """A hub that is a node as well words both in the same way."""
    node = {"uri": "http://n:5555", "slots": [{"session": {"sessionId": holder}}]}
    refused = (
        "Unable to execute request for an existing session: "
        f"Connection error (GET {address}/session/mine/alert/text)"
    )
    found = answers.refuser(Reply("ok", 200, {"nodes": [node]}), "mine", refused)
    assert (None if found is None else found[:2]) == told


@pytest.mark.parametrize("value", [None, [], {"nodes": None}, {"message": "no grid"}])
def test_who_is_no_grid_does_not_tell_who_refused(value: object) -> None:
    refused = "Connection error (GET http://localhost:1/session/mine)"
    assert answers.refuser(Reply("ok", 200, value), "mine", refused) is None


def test_a_grid_that_is_refused_by_a_driver_says_so(server: Server) -> None:
    nodes = [{**NODE_UP, "uri": "http://n:5555"}]
    server.answers["/status"] = (200, json.dumps({"value": {"nodes": nodes}}).encode())
    refused = {"error": "unknown error", "message": "Connection error (GET http://localhost:1/x)"}
    server.answers["/session/mine/alert/text"] = (500, json.dumps({"value": refused}).encode())
    evidence = Evidence(probes.probe(remote_session(server.url)))
    assert [(r.probe, r.answer) for r in evidence] == [
        ("grid", "ok"), ("session", "refused"), ("driver_status", "refused")
    ]  # fmt: skip
    assert probes.broken(evidence)
