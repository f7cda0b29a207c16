"""The page a local Chromium is at, asked over DevTools, which takes its driver no time.

It says less than the driver: nothing of the driver itself, and of an alert only by silence.
So it is for sessions whose driver has just answered; and where the view is silent, the driver
is to be asked.

Invariant: one expression is evaluated, and no alert is closed by that; it is the window and the
document that the test is at, or nothing is seen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser.devtools import Devtools
from pytest_resilience.core.evidence import ERROR, OK

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.wire import Reply

#: Seconds for which an answer of a driver speaks for it.
_FRESH_S = 1.0
#: Seconds for each step of the connection (measured: 2 ms for all).
_CONNECT_S = 0.1
#: Seconds a page gets to answer (measured: 2 ms); the driver is asked after that.
_ANSWER_S = 0.1
_GET, _TO_WINDOW, _TO_FRAME = "get", "switchToWindow", "switchToFrame"
_CLOSE = "close"
#: Commands after whose answer a test may be elsewhere. One that goes to a parent frame is none:
#: whether that is a frame in turn is not known.
MOVES = frozenset({_GET, _TO_WINDOW, _TO_FRAME, _CLOSE})
#: What a driver raises that works, and so does its session. Of everything else it is not known
#: whether the driver has answered at all, or lives on without its browser.
SAID = frozenset(
    {
        "ElementClickInterceptedException",
        "ElementNotInteractableException",
        "ElementNotSelectableException",
        "ElementNotVisibleException",
        "InvalidArgumentException",
        "InvalidCookieDomainException",
        "InvalidElementStateException",
        "InvalidSelectorException",
        "JavascriptException",
        "MoveTargetOutOfBoundsException",
        "NoAlertPresentException",
        "NoSuchCookieException",
        "NoSuchElementException",
        "NoSuchFrameException",
        "NoSuchShadowRootException",
        "StaleElementReferenceException",
        "TimeoutException",
        "UnableToSetCookieException",
        "UnknownMethodException",
    }
)
#: In what a driver says of an address that could not be loaded; it works, too.
_NETWORK = "net::ERR_"


class View:
    """The way to the page of one session; opened when it is first needed, and kept.

    One thread may ask while another tells of moves or closes it.
    """

    __slots__ = ("_closings", "_devtools", "_doubtful", "_in_frame", "_lock", "_pid", "_window")

    def __init__(self) -> None:
        self._devtools: Devtools | None = None
        self._window: object = None
        self._in_frame = False
        #: Number of the last command after which the driver may not work, or did not answer.
        self._doubtful = -1
        self._pid = os.getpid()
        self._closings = 0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether asking takes no longer than to send a few bytes."""
        return self._devtools is not None

    def moved(self, command: str, parameters: Mapping[str, Any]) -> None:
        """Note that `command` was answered well; of `MOVES`, all have to be told."""
        if command not in MOVES:
            return
        self._in_frame = command == _TO_FRAME and parameters.get("id") is not None
        if command == _CLOSE or (
            command == _TO_WINDOW and parameters.get("handle") != self._window
        ):
            self.close()
            self._window = parameters.get("handle")

    def raised(self, session: DriverSession, error: BaseException) -> None:
        """Note that the command in flight of `session` raised `error`; all have to be told."""
        if type(error).__name__ in SAID or _NETWORK in str(getattr(error, "msg", "")):
            return
        self._doubtful = session.commands
        if session.last_command in MOVES and session.last_command != _GET:
            # Whether it was carried out is not known. As good as in a frame: nothing is seen
            # before the next move is told.
            self.close()
            self._in_frame = True

    def can_see(self, session: DriverSession) -> bool:
        """Return whether `session` may be asked this way: its driver has just answered."""
        answered = max(session.in_flight_since, session.care.slow_until)
        return (
            not (self._in_frame or session.remote or session.care.is_busy(session))
            # Where a session was taken over, nobody has seen whether it is in a frame.
            and session.requested is not None
            and time.monotonic() - answered < _FRESH_S
            and self._doubtful != session.commands
        )

    def ask(self, session: DriverSession, script: str) -> Glance | None:
        """Ask the page of `session`, which is idle, to run the body of a function.

        Args:
            script: It changes nothing; its value is plain data.

        Returns:
            None if it is not to be asked this way, or cannot be.
        """
        if not self.can_see(session):
            return None
        try:
            if self._pid != os.getpid():
                # A fork has the connection of its parent, which would get its answers.
                self.close()
                self._pid = os.getpid()
            devtools = self._devtools or self._opened(session)
            if devtools is None:
                return None
            expression = f"(function () {{{script}}})()"
            params = {"expression": expression, "returnByValue": True}
            return Glance(self, devtools, devtools.send("Runtime.evaluate", params))
        except Exception:  # noqa: BLE001 - one way less to see it
            self.close()
            return None

    def _opened(self, session: DriverSession) -> Devtools | None:
        from pytest_resilience.browser.answers import debugger_address

        address = debugger_address(session.capabilities)
        if not address:
            return None
        closings, window = self._closings, self._window
        if window is None:
            path = f"/session/{session.session_id}/window"
            told = session.wire.ask("GET", path, limit_s=_CONNECT_S)
            if not told.good:
                return None
            window = told.value
        # Older drivers put something before it.
        page = str(window).removeprefix("CDwindow-")
        url = f"ws://{address}/devtools/page/{page}"
        devtools = Devtools.at(url, limit_s=_CONNECT_S, direct=True)
        with self._lock:
            if self._closings == closings and self._devtools is None:
                self._devtools, self._window = devtools, window
                return devtools
        # The session has moved on, or ended, meanwhile; or somebody else has opened it.
        devtools.close()
        return None

    def close(self) -> None:
        """Close the way to the page, if there is one."""
        with self._lock:
            devtools, self._devtools, self._window = self._devtools, None, None
            self._closings += 1
        if devtools is not None:
            devtools.close()


class Glance:
    """A question to a page that was sent, and whose answer was not read yet."""

    def __init__(self, view: View, devtools: Devtools, number: int) -> None:
        self._view = view
        self._devtools = devtools
        self._number = number

    def answer(self) -> Reply:
        """Return what the page says; an error if it has not done so within a tenth of a second."""
        from pytest_resilience.browser.wire import Reply

        try:
            said = self._devtools.answer(self._number, limit_s=_ANSWER_S)
        except Exception as failure:  # noqa: BLE001 - every way of failing is an answer
            # Whoever does not listen to us now would answer one day, and we not read it.
            self._view.close()
            return Reply(ERROR, detail=f"{type(failure).__name__}: {failure}"[:300])
        if "exceptionDetails" in said or "result" not in said:
            return Reply(ERROR, detail=str(said)[:300])
        return Reply(OK, 200, said["result"].get("value"))
