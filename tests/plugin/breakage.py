"""What the inner suites of these tests break, and how they tell what happened to them.

The inner suites import this module. Failures are the ones Selenium raises; `Grid` serves
driver sessions over HTTP that can be lost like real ones, without a browser behind them.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

from selenium.common.exceptions import InvalidSessionIdException, WebDriverException

from pytest_resilience.core.provenance import stamp

LOST = (
    "invalid session id: session deleted as the browser has closed the connection\n"
    "from disconnected: not connected to DevTools"
)


def note(line: str) -> int:
    """Write `line` down for the module that calls; return how often it did so by now.

    The notes of module ``test_it`` are in ``test_it.txt`` in the folder of the suite, so
    that they count over processes.
    """
    path = Path(f"{sys._getframe(1).f_globals['__name__']}.txt")
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return path.read_text(encoding="utf-8").splitlines().count(line)


def of_driver(error: BaseException) -> BaseException:
    """Return `error` as if a command of a driver had raised it."""
    stamp(error)
    return error


def lose_browser() -> NoReturn:
    """Fail as a command does whose browser has just died."""
    raise of_driver(InvalidSessionIdException(LOST))


def crash_tab() -> NoReturn:
    """Fail as a command does whose page has crashed."""
    raise of_driver(WebDriverException("tab crashed"))


class Grid:
    """A WebDriver endpoint in a thread, whose sessions answer every command with null."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.started: list[str] = []
        grid = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for `grid`."""

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                status, value = grid.answer(self.command, self.path, body)
                data = json.dumps({"value": value}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _do  # noqa: N815 - named by the base class

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return HTTP status and value for a command."""
        parts = path.strip("/").split("/")
        if parts == ["status"]:
            return 200, {"ready": True, "message": "ready"}
        if parts == ["session"]:
            session = uuid.uuid4().hex
            self.sessions.add(session)
            self.started.append(session)
            return 200, {"sessionId": session, "capabilities": {"browserName": "chrome"}}
        if parts[1] not in self.sessions:
            return 404, {"error": "invalid session id", "message": LOST, "stacktrace": ""}
        if method == "DELETE" and len(parts) == 2:
            self.sessions.remove(parts[1])
            return 200, None
        if parts[2:] == ["alert", "text"]:
            return 404, {"error": "no such alert", "message": "no such alert", "stacktrace": ""}
        if parts[2:] == ["execute", "sync"]:
            return 200, [self.url, 200, "", False] if "navigation" in body["script"] else 1
        return 200, "a page" if parts[2:] == ["title"] else None

    def driver(self) -> Any:
        """Return a driver with a new session."""
        from selenium import webdriver

        return webdriver.Remote(self.url, options=webdriver.ChromeOptions())

    def lose(self, driver: Any) -> None:
        """Lose the session of `driver`, as a grid does whose browser has died."""
        self.sessions.discard(driver.session_id)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
