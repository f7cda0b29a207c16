"""A way through a grid to the DevTools of a browser, opened while all is well and kept.

It is never opened to a browser that may be stopped: a grid (measured with Selenium Grid
4.48) waits for that browser on a thread that serves other sessions, too.

Invariant: nothing but the browser's version and its processes is ever asked, so nothing is
changed; one question is asked at a time.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pytest_resilience.browser.devtools import Devtools
from pytest_resilience.core.evidence import ERROR, OK, SILENT

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

# How DevTools call them.
_RENDERER, _GPU = "renderer", "gpu"


@dataclass(frozen=True, slots=True)
class FarProcesses:
    """The processes of a browser on another machine, by their ids there.

    Attributes:
        renderers: Those that render pages, and the processor time each has had, seconds.
        graphics: Those that draw; at most one, and none while another one is started.
    """

    renderers: dict[int, float]
    graphics: frozenset[int]


class Tunnel:
    """One such way.

    Args:
        devtools: A connection to the browser.

    Attributes:
        begun_with: The browser's processes when it was opened, None if it did not tell.
    """

    def __init__(self, devtools: Devtools) -> None:
        self._devtools = devtools
        self._one_at_a_time = threading.Lock()
        self.begun_with: FarProcesses | None = None

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
        url, headers = _address(session.endpoint, offered), session.wire.credentials
        try:
            devtools = Devtools.at(url, limit_s=limit_s, headers=headers)
        except Exception:  # noqa: BLE001 - one way less to know
            return None
        opened = cls(devtools)
        opened.begun_with = opened.processes(limit_s=limit_s)
        return opened

    def ask(self, *, limit_s: float) -> tuple[str, str]:
        """Ask the browser for its version: `ok`, `silent`, or `error` if the way is closed."""
        try:
            return OK, str(self._call("Browser.getVersion", limit_s).get("product", ""))
        except Exception as error:  # noqa: BLE001 - every way of failing is an answer
            silent = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
            return (SILENT if silent else ERROR), f"{type(error).__name__}: {error}"[:300]

    def processes(self, *, limit_s: float) -> FarProcesses | None:
        """Return the processes of the browser, None if it does not tell in time."""
        try:
            told = self._call("SystemInfo.getProcessInfo", limit_s)["processInfo"]
            kinds = [(str(p["type"]).lower(), int(p["id"]), float(p["cpuTime"])) for p in told]
        except Exception:  # noqa: BLE001 - then it is not known
            return None
        return FarProcesses(
            {pid: seconds for kind, pid, seconds in kinds if kind == _RENDERER},
            frozenset(pid for kind, pid, _seconds in kinds if kind == _GPU),
        )

    def has_new_graphics(self, now: FarProcesses) -> bool:
        """Return whether another process draws `now` than when the way was opened."""
        known = self.begun_with.graphics if self.begun_with else frozenset[int]()
        return bool(known and now.graphics) and known.isdisjoint(now.graphics)

    def _call(self, method: str, limit_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + limit_s
        if not self._one_at_a_time.acquire(timeout=limit_s):
            raise TimeoutError("an earlier question is not answered yet")
        try:
            number = self._devtools.send(method)
            return self._devtools.answer(number, limit_s=deadline - time.monotonic())
        finally:
            self._one_at_a_time.release()

    def close(self) -> None:
        """Close it without a good-bye, which could have to wait for an answer."""
        self._devtools.close()


def _address(endpoint: str, offered: str) -> str:
    # A grid often does not know by which address its clients reach it, but they do.
    base = urlsplit(endpoint)
    scheme = "wss" if base.scheme == "https" else "ws"
    return urlunsplit((scheme, base.netloc.rpartition("@")[2], urlsplit(offered).path, "", ""))
