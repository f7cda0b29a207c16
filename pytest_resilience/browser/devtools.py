"""A connection of our own to the DevTools of a Chromium: numbered questions and their answers.

Invariant: every wait is bounded; an answer that nobody waited for is passed over, and closing
waits for nobody. What happens to be said unasked is not listened to.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def _direct(url: str, limit_s: float) -> socket.socket:
    """Return a connection to whoever `url` names, past any proxy."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port or 80), timeout=limit_s)


class Devtools:
    """One connection, to a browser or to one of its pages; for one thread at a time.

    Args:
        socket: A connected websocket.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    @staticmethod
    def can_be_spoken() -> bool:
        """Return whether there is a library for it, which selenium's older versions do not bring.

        Loads it: what is forked while another thread imports waits for that for ever.
        """
        try:
            import websocket  # noqa: F401
        except ImportError:
            return False
        return True

    @classmethod
    def at(
        cls,
        url: str,
        *,
        limit_s: float,
        headers: Mapping[str, str] | None = None,
        direct: bool = False,
    ) -> Devtools:
        """Connect to `url`, of a websocket.

        Args:
            limit_s: Seconds for each step of the connection.
            headers: What else whoever answers wants to know.
            direct: Whether no proxy may be in between, whatever the environment says.

        Raises:
            Exception: There is no connection to be had, or no library to make it with.
        """
        import websocket

        return cls(
            websocket.create_connection(
                url,
                timeout=limit_s,
                # A browser distrusts whoever comes from a web page.
                suppress_origin=True,
                socket=_direct(url, limit_s) if direct else None,
                header=[f"{k}: {v}" for k, v in (headers or {}).items()],
            )
        )

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Ask `method`; return the number of the question."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, **({"params": params} if params else {})}
        self._socket.send(json.dumps(asked))
        return number

    def answer(self, number: int, *, limit_s: float) -> dict[str, Any]:
        """Return what is answered to the question with `number`, {} if it is refused.

        Raises:
            TimeoutError: Or a time-out of the library: nothing within `limit_s` seconds.
            Exception: The connection is closed.
        """
        deadline = time.monotonic() + limit_s
        answer: dict[str, Any] = {}
        # An earlier question may be answered only now.
        while answer.get("id") != number:
            left_s = deadline - time.monotonic()
            if answer and left_s <= 0:
                raise TimeoutError("much was said, but no answer")
            self._socket.settimeout(max(0.01, left_s))
            answer = json.loads(self._socket.recv())
        return dict(answer.get("result") or {})

    def close(self) -> None:
        """Close it without a good-bye, which could have to wait for an answer."""
        with contextlib.suppress(Exception):
            self._socket.shutdown()
