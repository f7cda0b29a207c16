"""Is the application under test there? Asked from here, apart from the browser.

Invariant: nothing is asked but what the browser was told to load itself, once, without
cookies or credentials, and in bounded time; an answer is never followed to another place.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_resilience.browser import latch
from pytest_resilience.core.evidence import (
    DNS,
    ERROR,
    ERROR_PAGE,
    GATEWAY,
    HOST,
    OK,
    PAGE,
    PRESENT,
    REFUSED,
    RESET,
    SERVER_ERROR,
    SHORT,
    SILENT,
    TARGET,
    TLS,
    VANISHED,
    Evidence,
    ProbeResult,
)
from pytest_resilience.core.failures import ErrorType, ExceptionFact

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Seconds the application's server gets for the head of an answer.
LIMIT_S = 1.5
#: Seconds it gets where a page of it is shown.
_PRESENCE_LIMIT_S = 0.3
#: The same for one on this machine, where an absence shows at once.
_NEAR_PRESENCE_LIMIT_S = 0.05
#: Seconds the driver gets to name the page it shows.
_URL_LIMIT_S = 0.7
_SCHEMES = ("http", "https")
_IN_QUESTION = frozenset({ERROR_PAGE, GATEWAY, SERVER_ERROR})
_OF_LOADING = frozenset({ErrorType.NETWORK.label, ErrorType.TIMEOUT.label})
#: HTTP statuses with which something before the application says that it is not there.
GATEWAY_STATUSES = frozenset({502, 503, 504})
#: Behind what is said of an error page in a frame, of which a Chromium tells no address.
IN_FRAME = " in a frame"
#: Said in the detail where a server was there before.
REACHED_BEFORE = "reached earlier in this run"


def is_of_loading(failure: ExceptionFact) -> bool:
    """Return whether `failure` is one of a page that could not be loaded, or not in time."""
    return latch.label_of(failure) in _OF_LOADING


def origin(url: object) -> str:
    """Return scheme, host and port of a web address, "" if `url` is something else."""
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in _SCHEMES or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port or _usual_port(parts.scheme)}"


def examine(session: DriverSession, evidence: Evidence) -> ProbeResult | None:
    """Ask the server of the page of `session`, if a failure may be its or the network's.

    Args:
        evidence: What the session itself answered. Where it shows a page that its server
            answered well, and no loading failed, nothing is asked.

    Returns:
        None if nothing was asked: there is no need, the page is no web page, a proxy or
        another machine stands between, so that our way would not be the browser's.
    """
    if not _in_question(session, evidence):
        return None
    begun = time.monotonic()
    url = _page_url(session, evidence)
    if not origin(url) or not _same_way(session, url):
        return None
    reached = origin(url) in session.reached
    shown = evidence.answer(PAGE) == OK
    limit_s = _presence_limit_s(url) if shown else LIMIT_S
    if shown and _took_too_long(session) and evidence.answer(HOST) != SHORT:
        # It was slow for the browser: only its absence would tell anything.
        answer, detail = presence(url, limit_s=limit_s)
    else:
        verify = not session.capabilities.get("acceptInsecureCerts")
        answer, detail = ask(url, verify=verify, limit_s=limit_s)
    if answer == REFUSED and reached:
        answer = VANISHED
    if reached:
        detail = f"{detail}; {REACHED_BEFORE}"
    return ProbeResult(TARGET, answer, detail, time.monotonic() - begun)


def examine_again(session: DriverSession, evidence: Evidence) -> ProbeResult | None:
    """Ask the server that was only connected to, if it may have been the machine that was slow.

    A server that is slow for us, too, is not excused by a shortage of the machine.
    """
    if evidence.answer(TARGET) == PRESENT and evidence.answer(HOST) == SHORT:
        return examine(session, evidence)
    return None


def ask(url: str, *, verify: bool = True, limit_s: float = LIMIT_S) -> tuple[str, str]:
    """GET the head of the answer to `url`.

    Args:
        verify: False to take any certificate.
        limit_s: Seconds for everything, the look-up of the name included.

    Returns:
        ``ok`` (any status below 500), ``server_error``, ``gateway``, ``dns``, ``refused``,
        ``reset``, ``tls``, ``silent`` or ``error``; and what there is to say about it.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + limit_s
    unknown = _unresolved(parts.hostname or "", limit_s)
    if unknown:
        return DNS, f"{parts.hostname}: {unknown}"
    authority = parts.netloc.rpartition("@")[2]
    bare = parts._replace(netloc=authority, fragment="").geturl()
    status, failure = _status(bare, verify=verify, limit_s=max(0.05, deadline - time.monotonic()))
    if failure is not None:
        return _how(failure), f"{authority}: {failure}"[:300]
    return status_answer(status), f"{status} {bare}"[:300]


def presence(url: str, *, limit_s: float) -> tuple[str, str]:
    """Connect to the server of `url` and ask it nothing.

    Args:
        limit_s: Seconds for the look-up of the name, and again for the connection.

    Returns:
        ``present`` if it takes connections, else what `ask` returns.
    """
    parts = urlsplit(url)
    unknown = _unresolved(parts.hostname or "", limit_s)
    if unknown:
        return DNS, f"{parts.hostname}: {unknown}"
    address = parts.hostname or "", parts.port or _usual_port(parts.scheme)
    try:
        socket.create_connection(address, timeout=limit_s).close()
    except OSError as failure:
        return _how(failure), f"{address[0]}:{address[1]}: {failure}"[:300]
    return PRESENT, f"{address[0]}:{address[1]} takes connections"


def status_answer(status: int) -> str:
    """Return what an HTTP status says of the server: ``ok``, ``gateway`` or ``server_error``."""
    if status < 500:
        return OK
    return GATEWAY if status in GATEWAY_STATUSES else SERVER_ERROR


def _in_question(session: DriverSession, evidence: Evidence) -> bool:
    if evidence.answer(PAGE) in _IN_QUESTION:
        return True
    failed = session.first_failure
    return failed is not None and is_of_loading(failed)


def _took_too_long(session: DriverSession) -> bool:
    failed = session.first_failure
    return failed is not None and latch.label_of(failed) == ErrorType.TIMEOUT.label


def _presence_limit_s(url: str) -> float:
    near = _is_loopback(urlsplit(url).hostname or "")
    return _NEAR_PRESENCE_LIMIT_S if near else _PRESENCE_LIMIT_S


def _page_url(session: DriverSession, evidence: Evidence) -> str:
    """Return the address the browser shows, or tried to show; "" if nobody can know it."""
    detail = evidence.detail(PAGE)
    if detail.startswith("about:"):
        # Firefox names it in the address of its error page.
        return "".join(parse_qs(urlsplit(detail).query).get("u", ()))
    if detail.endswith(IN_FRAME):
        # The address of the window is that of another page.
        return ""
    # A server may have sent the browser on to where it failed.
    if session.last_command == "get" and evidence.answer(PAGE) != ERROR_PAGE:
        return session.asked_for
    # The address of a page that its server answered badly is said behind the status.
    shown = detail.rpartition(" ")[2]
    if evidence.answer(PAGE) in (GATEWAY, SERVER_ERROR) and origin(shown):
        return shown
    if evidence.answer(PAGE) in (*_IN_QUESTION, OK):
        path = f"/session/{session.session_id}/url"
        reply = session.wire.ask("GET", path, limit_s=_URL_LIMIT_S)
        if reply.good and origin(reply.value):
            return str(reply.value)
    return session.asked_for


def _same_way(session: DriverSession, url: str) -> bool:
    """Return whether a request from here takes the way that the browser's takes."""
    host = urlsplit(url).hostname or ""
    if _is_loopback(host):
        return not session.remote
    if session.capabilities.get("proxy") or _names_proxy(session.requested):
        return False
    return urlsplit(url).scheme not in getproxies() or bool(proxy_bypass(host))


def _names_proxy(requested: Mapping[str, Any] | None) -> bool:
    return "--proxy-" in str(requested or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unresolved(host: str, limit_s: float) -> str:
    """Return why the name `host` leads nowhere, "" if it leads somewhere."""
    try:
        ipaddress.ip_address(host)
        return ""
    except ValueError:
        pass
    outcome: list[str] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            outcome.append("")
        except Exception as error:  # noqa: BLE001 - a name may be wrong in many ways
            outcome.append(str(error))

    # A look-up knows no time-out of its own.
    thread = threading.Thread(target=look_up, daemon=True, name="resilience-look-up")
    thread.start()
    thread.join(limit_s)
    return outcome[0] if outcome else f"not resolved within {limit_s:.1f} s"


def _status(url: str, *, verify: bool, limit_s: float) -> tuple[int, Exception | None]:
    import urllib3

    pool = urllib3.PoolManager(cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            response = pool.request(
                "GET",
                url,
                headers={"User-Agent": "pytest-resilience", "Accept": "*/*"},
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=limit_s),
            )
        response.close()
        return int(response.status), None
    except Exception as failure:  # noqa: BLE001 - every way of failing is an answer
        return 0, failure
    finally:
        pool.clear()


def _how(failure: Exception) -> str:
    from urllib3 import exceptions

    reasons = _reasons(failure)
    if any(isinstance(reason, ConnectionRefusedError) for reason in reasons):
        return REFUSED
    if any(isinstance(reason, socket.gaierror) for reason in reasons):
        return DNS
    if isinstance(failure, exceptions.SSLError):
        return TLS
    if isinstance(failure, exceptions.TimeoutError | TimeoutError) and not isinstance(
        failure, exceptions.NewConnectionError
    ):
        return SILENT
    # Closed without an answer is a kind of reset too.
    if any(isinstance(reason, ConnectionError) for reason in reasons):
        return RESET
    return ERROR


def _reasons(failure: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while failure is not None and failure not in found:
        found.append(failure)
        failure = failure.__cause__ or failure.__context__
    return found


def _usual_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
