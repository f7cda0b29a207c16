"""An application that fails in every way one can: by status, by silence, by breaking off.

Invariant: a path always does the same, and nothing outlives `stop`.
"""

from __future__ import annotations

import http.server
import socket
import struct
import threading
from typing import Any

HOME = """<!doctype html><title>Shop</title>
<h1>Welcome</h1>
<p id="note">Server Error: tab crashed, disconnected: not connected to DevTools.</p>
<p id="log">net::ERR_CONNECTION_REFUSED [Errno 111] Connection refused</p>
<button id="buy" onclick="this.textContent = 'Bought'">Buy</button>
<input id="hidden" style="display: none">
<div id="covered" style="position: absolute; left: 0; top: 300px">Covered</div>
<div id="cover" style="position: absolute; left: 0; top: 290px; width: 99%; height: 99px"></div>
<a id="broken" href="/close">broken</a>
<a id="missing" href="/status/404">missing</a>
"""
#: Asked how long anything took, it throws.
OWN_CLOCK = "<script>performance.getEntriesByType = () => { throw new Error('no'); }</script>"


class Application(http.server.BaseHTTPRequestHandler):
    """Answers by path: ``/``, ``/status/N``, ``/bare/N``, ``/slow``, ``/waiting``, …"""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _empty, what, *rest = self.path.partition("?")[0].split("/")
        ways = {
            "status": lambda: self._answer(int(rest[0]), "<title>Oh</title><h1>Server Error</h1>"),
            "bare": lambda: self._answer(int(rest[0]), ""),
            "slow": lambda: (self._wait(), self._answer(200, HOME)),
            "waiting": lambda: self._answer(200, HOME + '<script src="/slow"></script>'),
            "to": lambda: self._answer(302, "", Location="/".join(rest).replace(":/", "://", 1)),
            "frame": lambda: self._answer(200, f"<iframe src=http://127.0.0.1:{rest[0]}></iframe>"),
            "own-clock": lambda: self._answer(200, OWN_CLOCK + '<script src="/slow"></script>'),
            "close": self._close,
            "reset": self._reset,
            "loop": lambda: self._answer(302, "", Location="/loop"),
            "hog": lambda: self._answer(
                200,
                "<title>Hog</title><script>setTimeout(() => {"
                "let kept = []; for (;;) kept.push(Array(1e5).fill({}));}, 300)</script>",
            ),
            "busy": lambda: self._answer(
                200, "<title>Busy</title><script>setTimeout(() => {for (;;);}, 300)</script>"
            ),
        }
        ways.get(what, lambda: self._answer(200, HOME))()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _wait(self) -> None:
        self.server.stopping.wait(60)  # type: ignore[attr-defined]

    def _close(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    """Runs the application until it is stopped."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Application)
        self.stopping = threading.Event()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> Server:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer nobody any more, not even on connections that are kept alive."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, too."""
        self._connections.append(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection; one that is to be reset gets no farewell."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers break connections off as they like."""


#: Bound, so that nobody else can listen there.
_held: list[socket.socket] = []


def unused_port() -> int:
    """Return a port nobody listens on as long as this process lives."""
    _held.append(socket.socket())
    _held[-1].bind(("127.0.0.1", 0))
    return int(_held[-1].getsockname()[1])
