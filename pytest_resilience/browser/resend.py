"""Sends a command again that was lost on its way to the driver.

Invariant: only what may be carried out twice without a trace is sent twice: questions, and
the few commands that set what they say. Nothing is sent again that merely took too long,
or to a driver that is not there any more.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3

from pytest_resilience.browser import processes
from pytest_resilience.core.evidence import ALIVE, DRIVER_PROCESS, GRID, OK, ProbeResult

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Seconds before each time a command is sent again.
PAUSES_S = (0.1, 0.5)
#: Seconds a grid gets to say that it is there.
_STATUS_LIMIT_S = 1.5

_ELEMENT = r"(?:element|shadow)/[^/]+"
_QUESTIONS = re.compile(
    r"(?:url|title|source|screenshot|cookie(?:/[^/]+)?|alert/text|timeouts"
    r"|window(?:/handles|/rect)?|element/active"
    rf"|{_ELEMENT}/(?:text|name|rect|enabled|selected|displayed|screenshot|shadow"
    r"|computedrole|computedlabel|(?:attribute|property|css)/[^/]+))"
)
_REPEATABLE = re.compile(rf"(?:elements?|{_ELEMENT}/elements?|timeouts)")
_PLACE = re.compile(r"/session/[^/]+/([^?]+)$")


@dataclass(frozen=True, slots=True)
class Resent:
    """A command that was lost on the wire and sent again.

    Attributes:
        session: The session it belongs to.
        command: As selenium calls it.
        error: How it was lost, for people.
        times: How often it was sent again, from 1.
        seconds: What that took, from the loss to the end.
        evidence: Who was there to answer it, None if it was lost again.
    """

    session: DriverSession
    command: str
    error: Exception
    times: int
    seconds: float
    evidence: ProbeResult | None

    @property
    def success(self) -> bool:
        """True if it was answered in the end, if only by an error of the driver."""
        return self.evidence is not None


class Resender:
    """Sends lost commands again, and tells who wants to know.

    Args:
        session: Returns the session whose command is in flight.
        tell: Called with each command that was sent again.
    """

    def __init__(self, session: DriverSession, tell: Callable[[Resent], None]) -> None:
        self._session = session
        self._tell = tell

    def may(self, lost: Exception, method: str, path: str) -> bool:
        """Return whether a request that failed with `lost` may be sent again at all."""
        session = self._session
        gone = session.closed or session.care.is_severed(session)
        return not gone and is_repeatable(method, path) and is_loss(lost)

    def answer(self, lost: Exception, send: Callable[[], Any]) -> Any:
        """Return the answer to a request that failed with `lost`, by sending it again.

        Raises:
            Exception: `lost`, or how the request was lost the last time.
        """
        begun, times, latest = time.monotonic(), 0, lost
        for pause_s in PAUSES_S:
            time.sleep(pause_s)
            evidence = self._presence()
            if evidence is None or self._session.care.is_severed(self._session):
                break
            times += 1
            try:
                answer = send()
            except Exception as error:  # noqa: BLE001 - raised below
                latest = error
                if not is_loss(error):
                    break
            else:
                self._told(lost, times, begun, evidence)
                return answer
        if times:
            self._told(lost, times, begun, None)
        raise latest

    def _told(
        self, lost: Exception, times: int, begun: float, evidence: ProbeResult | None
    ) -> None:
        session, seconds = self._session, time.monotonic() - begun
        self._tell(Resent(session, session.in_flight, lost, times, seconds, evidence))

    def _presence(self) -> ProbeResult | None:
        """Return the sign of life of what must answer, None if there is none."""
        begun, process = time.monotonic(), self._session.driver_process
        if process is not None:
            probe, answer, detail = DRIVER_PROCESS, processes.state(process), f"pid {process.pid}"
        else:
            reply = self._session.wire.ask("GET", "/status", limit_s=_STATUS_LIMIT_S)
            probe, answer, detail = GRID, reply.answer, reply.detail
        if answer not in (ALIVE, OK):
            return None
        return ProbeResult(probe, answer, detail, time.monotonic() - begun)


def is_repeatable(method: str, path: str) -> bool:
    """Return whether a request may be carried out twice without a trace."""
    found = _PLACE.search(path)
    known = {"GET": _QUESTIONS, "POST": _REPEATABLE}.get(method)
    return found is not None and known is not None and known.fullmatch(found[1]) is not None


def is_loss(error: Exception) -> bool:
    """Return whether a request or its answer was lost: refused, cut off, or torn."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        reason = error.__cause__ or error.__context__
        return isinstance(reason, ConnectionRefusedError)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        inner = error.args[-1] if error.args else None
        return not isinstance(inner, TimeoutError)
    return isinstance(error, ConnectionError | http.client.IncompleteRead)
