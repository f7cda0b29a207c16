"""The first question to a session whose test has failed, sent before its answer is needed.

The browser answers it while pytest writes the report, which takes longer than the answer.
Where the driver has just answered a command, the page of a Chromium is asked past it; elsewhere,
and if that shows nothing, the driver is asked for an alert and then for the page.

Invariant: it goes only to a session on this machine whose driver is idle and whose processes
live; the page is asked by the driver only where no alert can be open, because a driver closes
an alert that is in the way of a script.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_resilience.browser import answers, latch, processes
from pytest_resilience.browser.devtools import Devtools
from pytest_resilience.browser.wire import Reply
from pytest_resilience.core.evidence import ERROR, LIFELESS, OK, STOPPED
from pytest_resilience.core.failures import ErrorType

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.view import Glance
    from pytest_resilience.browser.wire import Question

_NO_ALERT = Reply(OK, 404, error="no such alert")
_NOT_SENT = Reply(ERROR, detail="the question could not be sent")
#: First failures after which a session is as good as before.
_OF_PAGES = frozenset({ErrorType.NETWORK.label, ErrorType.TEST_CODE.label})
#: Seconds a driver on this machine gets to take a connection.
_CONNECT_S = 0.1
#: Commands that do nothing to a page and that an open alert makes fail.
_OBSERVING = frozenset(
    {
        "findElement",
        "findElements",
        "findChildElement",
        "findChildElements",
        "getCurrentUrl",
        "getElementTagName",
        "getElementText",
        "getElementValueOfCssProperty",
        "getPageSource",
        "getTitle",
        "isElementEnabled",
        "isElementSelected",
    }
)
#: How these fail where no alert is open.
_OBSERVED = frozenset({"NoSuchElementException", "StaleElementReferenceException"})
#: Seconds for which no alert is taken to open by itself.
_NO_ALERT_S = 0.1
_ALERT_AWARE = frozenset({"chrome", "chromium", "msedge", "microsoftedge", "firefox"})


class First:
    """The first questions to one session: for the text of an alert, then for its page.

    Args:
        session: Which one.
        alert: The first of them, which its driver was asked.
        page: The second one, if the driver was asked that at once.
        glance: Both, if its page was asked past the driver.

    Where none of these is given, the way past the driver has to be opened first.
    """

    def __init__(
        self,
        session: DriverSession,
        *,
        alert: Question | None = None,
        page: Question | None = None,
        glance: Glance | None = None,
    ) -> None:
        self._session = session
        self._failed = session.first_failure
        self._commands = session.commands
        self._alert = alert
        self._page = page
        self._glance = glance
        self._begun = bool(alert or page or glance)
        self._said = _NO_ALERT if page is not None else None
        self._seen: Reply | None = None
        self._forgotten = False
        self._relay: threading.Thread | None = None

    def speaks_for(self, session: DriverSession) -> bool:
        """Return whether nothing went wrong with `session` since the question was sent."""
        return session.first_failure is self._failed

    def go_on(self, *, limit_s: float) -> None:
        """Ask on as soon as that can be done, without waiting here."""
        if self._alert is not None or not self._begun:
            self._relay = threading.Thread(
                target=self._ask_on, args=(limit_s,), daemon=True, name="resilience-first"
            )
            self._relay.start()

    def alert(self, *, limit_s: float) -> Reply:
        """Return what is said to the question for the text of an alert."""
        if self._relay is not None:
            self._relay.join()
        if not self._begun:
            self._begin()
        if self._glance is not None:
            self._look(self._glance)
        if self._said is None:
            self._said = self._alert.answer(limit_s=limit_s) if self._alert else _NOT_SENT
        return self._said

    def page(self, *, limit_s: float) -> Reply:
        """Return what the page says; to be asked only if no alert is open."""
        if self._seen is not None:
            return self._seen
        question = self._page or send_script(self._session, answers.PAGE_SCRIPT, limit_s)
        return question.answer(limit_s=limit_s) if question is not None else _NOT_SENT

    def forget(self) -> None:
        """Do without the answers."""
        self._forgotten = True
        for question in (self._alert, self._page):
            if question is not None:
                question.close()

    def _look(self, glance: Glance) -> None:
        """Take what was seen of the page; if that is nothing, ask the driver."""
        self._glance = None
        seen = glance.answer()
        if seen.good:
            # While an alert is open, a page runs no script.
            self._seen, self._said = seen, _NO_ALERT
        elif not self._session.care.is_busy(self._session):
            self._alert = _send_alert(self._session)

    def _begin(self) -> None:
        """Ask past the driver, or else the driver for an alert."""
        self._begun = True
        self._glance = self._session.care.view.ask(self._session, answers.PAGE_SCRIPT)
        if self._glance is None and not self._session.care.is_busy(self._session):
            self._alert = _send_alert(self._session)

    def _ask_on(self, limit_s: float) -> None:
        """Begin, where that was not done; ask for the page once no alert is known to be open."""
        if not self._begun:
            self._begin()
        if self._alert is None:
            return
        if self._forgotten:
            self._alert.close()
            return
        self._said = self._alert.answer(limit_s=limit_s)
        idle = self._session.commands == self._commands and not self._session.care.is_busy(
            self._session
        )
        if self._said.error == "no such alert" and idle and not self._forgotten:
            self._page = send_script(self._session, answers.PAGE_SCRIPT, _CONNECT_S)
            if self._forgotten and self._page is not None:
                self._page.close()


class Asked:
    """The first questions to several sessions; what is not read has to be forgotten."""

    def __init__(self, sessions: Iterable[DriverSession], *, limit_s: float) -> None:
        """Ask those of `sessions` that can be asked and whose processes live."""
        self._questions: dict[DriverSession, First] = {}
        for session in sessions:
            first = ask(session) if _lives(session) else None
            if first is not None:
                self._questions[session] = first
                first.go_on(limit_s=limit_s)

    def of(self, session: DriverSession) -> First | None:
        """Return the questions to `session`, None if it was not asked."""
        return self._questions.get(session)

    def forget(self) -> None:
        """Do without the answers that were not read."""
        for first in self._questions.values():
            first.forget()


def ask(session: DriverSession) -> First | None:
    """Ask `session`, which lives; return None if it is not to be asked or cannot be."""
    failed = session.first_failure
    if session.care.is_busy(session) or (failed and latch.label_of(failed) not in _OF_PAGES):
        return None
    view = session.care.view
    if view.is_open:
        glance = view.ask(session, answers.PAGE_SCRIPT)
        if glance is not None:
            return First(session, glance=glance)
    if no_alert_is_open(session):
        # At once, so that it is the page of the failure, whatever a hook does to it.
        page = send_script(session, answers.PAGE_SCRIPT, _CONNECT_S)
        return First(session, page=page) if page is not None else None
    near = answers.debugger_address(session.capabilities)
    if near and view.can_see(session) and Devtools.can_be_spoken():
        return First(session)
    alert = _send_alert(session)
    return First(session, alert=alert) if alert is not None else None


def _send_alert(session: DriverSession) -> Question | None:
    path = f"/session/{session.session_id}/alert/text"
    return session.wire.send("GET", path, limit_s=_CONNECT_S)


def send_script(session: DriverSession, script: str, limit_s: float) -> Question | None:
    """Send `script`, which must change nothing, to the page of `session`."""
    path = f"/session/{session.session_id}/execute/sync"
    return session.wire.send("POST", path, limit_s=limit_s, body={"script": script, "args": []})


def no_alert_is_open(session: DriverSession) -> bool:
    """Return whether the last command of `session` has just shown that no alert is open."""
    number, error = session.care.last_error
    return (
        session.last_command in _OBSERVING
        and time.monotonic() - session.in_flight_since < _NO_ALERT_S
        and (number != session.commands or error in _OBSERVED)
        and session.browser in _ALERT_AWARE
    )


def _lives(session: DriverSession) -> bool:
    if session.remote or session.closed or session.discarded or session.quitting:
        return False
    known = (session.driver_process, session.browser_process)
    lost = LIFELESS | {STOPPED}
    return not any(processes.state(process) in lost for process in known if process is not None)
