"""Talks with a browser: JSON over a websocket, as DevTools and WebDriver BiDi have it.

A connection of our own: what is said on it is no WebDriver command, waits for none, and is
not seen by the test. What Chromium is told on it to pretend holds only while it is open.

Invariant: a call is bounded in time, and none is made by who hears an event; closing waits
for nobody.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pytest_resilience.browser import answers
from pytest_resilience.browser.fault_applied import FaultError

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Seconds a browser gets for an answer.
CALL_LIMIT_S = 5.0

Message = Mapping[str, Any]
Hear = Callable[["Talk", Message], object]


def deaf(_talk: Talk, _event: Message) -> None:
    """Hear nothing."""


class Talk:
    """One connection.

    Args:
        url: Address of the websocket.
        headers: What else whoever answers wants to know.
        hear: Called with this and each event, in a thread of its own; it may `tell`, but not
            `call`.

    Raises:
        FaultError: There is no connection to be had.
    """

    def __init__(self, url: str, headers: Mapping[str, str], hear: Hear) -> None:
        try:
            # Selenium brings it, though its older versions did not.
            import websocket

            self._socket: Any = websocket.create_connection(
                url,
                timeout=CALL_LIMIT_S,
                # A browser distrusts whoever comes from a web page.
                suppress_origin=True,
                header=[f"{k}: {v}" for k, v in headers.items()],
            )
        except Exception as error:
            raise FaultError(f"the browser cannot be reached at {url}: {error}") from error
        self._socket.settimeout(None)
        self._hear = hear
        self._numbers = itertools.count(1)
        self._answers: dict[int, Message] = {}
        self._news = threading.Condition()
        #: Set once the other side, or we, have closed it.
        self.ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="resilience-fault").start()

    def call(
        self,
        method: str,
        params: Message | None = None,
        *,
        limit_s: float = CALL_LIMIT_S,
        **more: str,
    ) -> dict[str, Any]:
        """Return the result of `method`.

        Args:
            limit_s: Seconds to wait for it.
            more: What else belongs to the message, such as ``sessionId``.

        Raises:
            FaultError: It was refused, or not answered in time.
        """
        number = self.tell(method, params, **more)
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self.ended.is_set(), limit_s)
            answer = self._answers.pop(number, None)
        if answer is None:
            how = "is gone" if self.ended.is_set() else f"has not answered within {limit_s:g} s"
            raise FaultError(f"{method}: the browser {how}.")
        if "error" in answer:
            told = answer["error"]
            reason = told.get("message") if isinstance(told, dict) else answer.get("message")
            raise FaultError(f"{method}: the browser refuses: {reason or told}")
        result: dict[str, Any] = answer.get("result") or {}
        return result

    def tell(self, method: str, params: Message | None = None, **more: str) -> int:
        """Send `method` and wait for nothing; return its number."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": dict(params or {}), **more}
        # Whether it is heard shows in what comes back.
        with contextlib.suppress(Exception):
            self._socket.send(json.dumps(message))
        return number

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(Exception):
            # Closing alone would not wake who listens, and so would not reach the browser.
            self._socket.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            self._socket.shutdown()
        self._end()

    def _listen(self) -> None:
        with contextlib.suppress(Exception):
            while True:
                message = json.loads(self._socket.recv())
                if "id" in message:
                    with self._news:
                        self._answers[message["id"]] = message
                        self._news.notify_all()
                else:
                    self._hear(self, message)
        self._end()

    def _end(self) -> None:
        with self._news:
            self.ended.set()
            self._news.notify_all()


def devtools_address(session: DriverSession) -> tuple[str, Mapping[str, str]]:
    """Return where the DevTools of the browser of `session` are, and what to say there.

    Raises:
        FaultError: They cannot be reached from here.
    """
    offered = session.capabilities.get("se:cdp")
    if isinstance(offered, str):
        return _through_grid(session, offered)
    address = answers.debugger_address(session.capabilities)
    if not address or (session.remote and not _is_near(session.endpoint)):
        raise FaultError(f"{session.endpoint} offers no way to the DevTools of its browsers.")
    told = session.wire.ask_elsewhere(f"http://{address}/json/version", limit_s=CALL_LIMIT_S)
    url = told.value.get("webSocketDebuggerUrl") if isinstance(told.value, Mapping) else None
    if not isinstance(url, str):
        raise FaultError(f"the DevTools at {address} do not answer: {told.detail or told.answer}")
    return url, {}


def bidi_address(session: DriverSession) -> tuple[str, Mapping[str, str]]:
    """Return where WebDriver BiDi is spoken with the browser of `session`, and what to say.

    Raises:
        FaultError: It is not spoken.
    """
    offered = session.capabilities.get("webSocketUrl")
    if not isinstance(offered, str):
        raise FaultError(
            "this needs WebDriver BiDi; start the session with options.enable_bidi = True."
        )
    return _through_grid(session, offered) if "/se/" in offered else (offered, {})


def _through_grid(session: DriverSession, offered: str) -> tuple[str, Mapping[str, str]]:
    # A grid often does not know by which address its clients reach it, but they do.
    base, path = urlsplit(session.endpoint), urlsplit(offered).path
    scheme = "wss" if base.scheme == "https" else "ws"
    host = base.netloc.rpartition("@")[2]
    return urlunsplit((scheme, host, path, "", "")), session.wire.credentials


def _is_near(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
