"""A way through a grid to the DevTools of a browser, opened while all is well and kept.

It is never opened to a browser that may be stopped: a grid (measured with Selenium Grid
4.48) waits for that browser on a thread that serves other sessions, too.

Invariant: nothing but the browser's version is ever asked, so nothing is changed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pytest_resilience.core.evidence import ERROR, OK, SILENT

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession


class Tunnel:
    """One such way.

    Args:
        socket: A connected websocket.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    @classmethod
    def to(cls, session: DriverSession, *, limit_s: float) -> Tunnel | None:
        """Return the way to the browser of `session`; None if the grid offers none.

        Args:
            session: Its browser works.
            limit_s: Seconds for each step of the connection.
        """
        offered = session.capabilities.get("se:cdp")
        if not isinstance(offered, str):
            return None
        try:
            import websocket

            socket = websocket.create_connection(
                _address(session.endpoint, offered),
                timeout=limit_s,
                suppress_origin=True,
                header=[f"{k}: {v}" for k, v in session.wire.credentials.items()],
            )
        except Exception:  # noqa: BLE001 - one way less to know
            return None
        return cls(socket)

    def ask(self, *, limit_s: float) -> tuple[str, str]:
        """Ask the browser for its version: `ok`, `silent`, or `error` if the way is closed."""
        number = next(self._numbers)
        deadline = time.monotonic() + limit_s
        try:
            self._socket.send(json.dumps({"id": number, "method": "Browser.getVersion"}))
            answer: dict[str, Any] = {}
            # An earlier question may be answered only now.
            while answer.get("id") != number:
                self._socket.settimeout(max(0.01, deadline - time.monotonic()))
                answer = json.loads(self._socket.recv())
            return OK, str(answer.get("result", {}).get("product", ""))
        except Exception as error:  # noqa: BLE001 - every way of failing is an answer
            silent = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
            return (SILENT if silent else ERROR), f"{type(error).__name__}: {error}"[:300]

    def close(self) -> None:
        """Close it without a good-bye, which could have to wait for an answer."""
        with contextlib.suppress(Exception):
            self._socket.shutdown()


def _address(endpoint: str, offered: str) -> str:
    # A grid often does not know by which address its clients reach it, but they do.
    base = urlsplit(endpoint)
    scheme = "wss" if base.scheme == "https" else "ws"
    return urlunsplit((scheme, base.netloc.rpartition("@")[2], urlsplit(offered).path, "", ""))
