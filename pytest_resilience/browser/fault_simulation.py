"""Failures without a fault behind them: the exception that a test would see.

Invariant: what the driver would have answered is raised by selenium's own error handler;
nothing is sent, and nothing is changed.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any, NoReturn

import urllib3

from pytest_resilience.core.injection import REFUSED, RESET, SILENT, Simulation
from pytest_resilience.core.provenance import stamp

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Statuses of answers by their error codes, as the standard has them; 500 for all others.
_STATUSES = {
    "invalid session id": 404,
    "no such window": 404,
    "no such element": 404,
    "invalid argument": 400,
}
_NOBODY = "http://127.0.0.1:0"
#: Seconds selenium waits for an answer where nobody says otherwise.
_USUAL_LIMIT_S = 120


def simulate(simulation: Simulation, session: DriverSession | None = None) -> NoReturn:
    """Raise what a test would see of a fault.

    Args:
        session: The session that it would strike; None if there is none.

    Raises:
        WebDriverException: The driver would have answered, with an error.
        urllib3.exceptions.HTTPError: It would not have.
    """
    __tracebackhide__ = True
    endpoint = session.endpoint if session is not None else _NOBODY
    if simulation.error in (REFUSED, RESET, SILENT):
        loss = _loss(simulation.error, endpoint, repeats=not _is_looked_after(session))
        stamp(loss)
        raise loss
    from selenium.webdriver.remote.errorhandler import ErrorHandler

    try:
        ErrorHandler().check_response(answer(simulation))
    except Exception as error:
        stamp(error)
        raise
    raise ValueError(f"selenium takes {simulation!r} for no error")


def answer(simulation: Simulation) -> dict[str, Any]:
    """Return the answer of a driver as selenium's connection hands it on."""
    value = {"error": simulation.error, "message": simulation.message, "stacktrace": ""}
    status = _STATUSES.get(simulation.error, 500)
    return {"status": status, "value": json.dumps({"value": value})}


def _is_looked_after(session: DriverSession | None) -> bool:
    """Return whether urllib3 would repeat nothing unasked."""
    return session is not None and session.care.line is not None


def _loss(how: str, endpoint: str, *, repeats: bool) -> Exception:
    exceptions = urllib3.exceptions
    url = urllib3.util.parse_url(endpoint)
    pool = urllib3.HTTPConnectionPool(url.host or "127.0.0.1", url.port)
    if how == RESET:
        reset = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return exceptions.ProtocolError("Connection aborted.", reset)
    if how == SILENT:
        text = f"Read timed out. (read timeout={_USUAL_LIMIT_S})"
        return exceptions.ReadTimeoutError(pool, "/session", text)
    refusal = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    connection: Any = urllib3.connection.HTTPConnection(pool.host, pool.port)
    refused = exceptions.NewConnectionError(
        connection, f"Failed to establish a new connection: {refusal}"
    )
    refused.__cause__ = refusal
    return exceptions.MaxRetryError(pool, "/session", refused) if repeats else refused
