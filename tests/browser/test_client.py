"""Connections of selenium's own executor, to servers that misbehave."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError

from pytest_resilience.browser.client import Line, Lines

BODY = b'{"value": null}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + BODY


class Server:
    """Accepts connections, reads one request of each and does with it as it is told."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self.requests = 0
        self._behave = behave
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            # A client may have given up already.
            with contextlib.suppress(OSError):
                if connection.recv(65536):
                    self.requests += 1
                    self._behave(connection)

    def close(self) -> None:
        """Stop serving."""
        for held in (self._socket, *self._open):
            held.close()


Serve = Callable[[Callable[[socket.socket], None]], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server."""
    started: list[Server] = []

    def start(behave: Callable[[socket.socket], None]) -> Server:
        started.append(Server(behave))
        return started[-1]

    yield start
    for server in started:
        server.close()


def hang_up(connection: socket.socket) -> None:
    connection.close()


def keep_silent(_connection: socket.socket) -> None:
    """Answer nothing."""


def answer(connection: socket.socket) -> None:
    connection.sendall(OK)


def executor_to(server: Server, **config: Any) -> RemoteConnection:
    return RemoteConnection(client_config=ClientConfig(server.url, **config))


def title(executor: RemoteConnection) -> Any:
    return executor.execute("getTitle", {"sessionId": "1"})


def limits_of(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that will hold the time-outs of all requests that reach urllib3."""
    seen: list[Any] = []
    original = urllib3.HTTPConnectionPool.urlopen

    def urlopen(pool: Any, *rest: Any, **named: Any) -> Any:
        seen.append(named.get("timeout"))
        return original(pool, *rest, **named)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", urlopen)
    return seen


def test_unguarded_a_lost_question_is_asked_four_times(serve: Serve) -> None:
    """What the guard is for; should urllib3 or selenium change, this says so."""
    server = serve(hang_up)
    with pytest.raises(MaxRetryError):
        title(executor_to(server))
    assert server.requests == 4


def test_a_lost_question_is_asked_once(serve: Serve) -> None:
    """And the error is the one of that request, with the name of urllib3's own class in it."""
    server = serve(hang_up)
    executor = executor_to(server)
    line = Lines().of(executor)
    with pytest.raises(ProtocolError):
        title(executor)
    assert server.requests == 1
    assert line.adjustments[0] == "urllib3's repetition of GET and DELETE switched off"


@pytest.mark.parametrize("chosen", [2, 0], ids=["more", "none"])
def test_repetitions_the_user_chose_are_left_alone(serve: Serve, chosen: int) -> None:
    server = serve(hang_up)
    inner = {"init_args_for_pool_manager": {"retries": urllib3.Retry(chosen)}}
    executor = executor_to(server, init_args_for_pool_manager=inner)
    line = Lines().of(executor)
    with pytest.raises(HTTPError):
        title(executor)
    assert server.requests == 1 + chosen
    assert not [a for a in line.adjustments if "repetition" in a]


def test_repetitions_can_be_allowed(serve: Serve) -> None:
    server = serve(hang_up)
    executor = executor_to(server)
    Lines(repeats=True).of(executor)
    with pytest.raises(MaxRetryError):
        title(executor)
    assert server.requests == 4


@pytest.mark.parametrize(
    ("chosen", "set_ms", "expected"),
    [
        pytest.param(None, {}, 310, id="none-set"),
        pytest.param(None, {"pageLoad": 400_000}, 410, id="none-set-long-page-load"),
        pytest.param(None, {"script": None}, None, id="a-script-without-end"),
        pytest.param(77, {"pageLoad": 400_000}, 77, id="the-users-own"),
        pytest.param(120, {}, 120, id="seleniums-own"),
        pytest.param(120, {"pageLoad": 400_000}, 410, id="seleniums-own-too-short"),
        pytest.param(120, {"pageLoad": 30_000}, 120, id="seleniums-own-long-enough"),
    ],
)
def test_a_client_waits_longer_than_its_driver(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    chosen: int | None,
    set_ms: dict[str, Any],
    expected: float | None,
) -> None:
    """Where the user chose nothing; each change is told, and made on the request alone."""
    seen = limits_of(monkeypatch)
    executor = executor_to(serve(answer), timeout=chosen)
    line = Lines().of(executor)
    line.nest(set_ms, {"pageLoad": 300_000, "script": 30_000})
    title(executor)
    assert seen == [expected]
    told = [a for a in line.adjustments if "time-out" in a]
    assert len(told) == (expected != chosen)
    assert executor.client_config.timeout == chosen


def test_nesting_can_be_forgone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = limits_of(monkeypatch)
    executor = executor_to(serve(answer), timeout=None)
    Lines(nests=False).of(executor).nest({"pageLoad": 400_000}, {})
    title(executor)
    assert seen == [None]


def test_a_time_out_in_the_pool_alone_is_the_users(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions of selenium keep it there, and pass none with a request."""
    seen = limits_of(monkeypatch)
    executor: Any = executor_to(serve(answer))
    Lines().of(executor).nest({}, {"pageLoad": 300_000})
    executor._conn.connection_pool_kw["timeout"] = 5
    url = executor.client_config.remote_server_addr
    executor._conn.request("GET", url)
    executor._conn.clear()
    executor._conn.connection_pool_kw["timeout"] = None
    executor._conn.request("GET", url)
    assert seen == [None, 310]


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept-alive", "one-for-each"])
def test_a_waiting_request_is_cut(serve: Serve, keep_alive: bool) -> None:
    """From another thread, and it fails at once, as a broken connection does."""
    executor = executor_to(serve(keep_silent), keep_alive=keep_alive, timeout=60)
    line = Lines().of(executor)
    cut: list[int] = []

    def watch() -> None:
        while not (severed := line.cut()):
            time.sleep(0.02)
        cut.append(severed)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with pytest.raises(ProtocolError):
        title(executor)
    watcher.join(60)  # the request may be woken before the one who cut it has said so
    assert cut == [1]


def test_nothing_is_cut_where_nothing_is_open(serve: Serve) -> None:
    executor: Any = executor_to(serve(answer))
    line = Lines().of(executor)
    assert line.cut() == 0
    title(executor)
    executor.close()
    assert line.cut() == 0


def test_a_cut_connection_is_replaced(serve: Serve) -> None:
    executor = executor_to(serve(answer))
    line = Lines().of(executor)
    title(executor)
    assert line.cut() == 1
    assert title(executor) == {"value": None}


def test_a_severed_line_opens_no_connection(serve: Serve) -> None:
    """Not even if the user had chosen repetitions: a command that was ended stays ended."""
    server = serve(answer)
    inner = {"init_args_for_pool_manager": {"retries": urllib3.Retry(2)}}
    executor = executor_to(server, init_args_for_pool_manager=inner)
    line = Lines().of(executor)
    severed = True
    line.severed_if(lambda: severed)
    with pytest.raises(HTTPError, match="the command was ended"):
        title(executor)
    assert server.requests == 0
    severed = False
    assert title(executor) == {"value": None}


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept-alive", "one-for-each"])
def test_an_executor_is_taken_over_once_and_given_back_whole(
    serve: Serve, keep_alive: bool
) -> None:
    executor = executor_to(serve(answer), keep_alive=keep_alive)
    before = dict(executor.__dict__)
    classes = getattr(getattr(executor, "_conn", None), "pool_classes_by_scheme", None)
    lines = Lines()
    assert lines.of(executor) is lines.of(executor)
    lines.release()
    lines.release()
    assert executor.__dict__ == before
    assert getattr(getattr(executor, "_conn", None), "pool_classes_by_scheme", None) is classes
    title(executor)


def test_the_messages_of_urllib3_stay_what_they_were(serve: Serve) -> None:
    executor = executor_to(serve(keep_silent), timeout=0.05)
    Lines().of(executor)
    with pytest.raises(ReadTimeoutError, match=r"^HTTPConnectionPool\(host='127.0.0.1', port=\d+"):
        title(executor)


def test_an_executor_can_be_collected(serve: Serve) -> None:
    executor = executor_to(serve(answer))
    lines = Lines()
    lines.of(executor)
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None


def test_an_executor_of_another_kind_is_left_alone() -> None:
    class Other:
        """Sends commands its own way."""

    line = Lines().of(Other())
    assert isinstance(line, Line)
    assert line.cut() == 0
