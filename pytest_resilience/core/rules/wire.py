"""Rules about the HTTP connection between a test and its driver or grid.

Invariant: only a request that can have been a WebDriver one is judged here; trouble of
other HTTP clients is the application's or the test's.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import (
    LOOPBACK,
    NAVIGATION,
    NOT_WEBDRIVER,
    OTHER_CLIENTS,
    SCRIPTS,
    SERVER_DOWN,
    SLOWING,
    WIRE,
    any_of,
)

_wire = partial(BuiltinRule, types=WIRE, absent=OTHER_CLIENTS, without=NOT_WEBDRIVER)
_CONNECTION = partial(_wire, error_type=ErrorType.CONNECTION)
_READ_TIMEOUT = r"read timed out|read timeout"
_REFUSED = any_of(
    r"errno (?:111|61)\]",
    r"winerror 10061",
    r"connection refused",
    r"actively refused",
)
_REPLY = ("WebDriverException", "WebDriverError", "UnknownError")

_PORTS_AND_FILES = (
    _wire(
        name="client-short-of-ports-or-files",
        error_type=ErrorType.RESOURCE,
        confidence=0.9,
        recovery="delayed_retry",
        strong=True,
        message=any_of(
            r"errno (?:99|98|24|12|11|105)\]",
            r"cannot assign requested address",
            r"too many open files",
            r"winerror 1005[05]",
            r"no buffer space",
            r"address already in use",
        ),
    ),
)

_TIMED_OUT = (
    _wire(
        name="selenium-server-hangs",
        error_type=ErrorType.COORDINATOR,
        confidence=0.6,
        message=r"selenium (?:server|grid|hub)",
    ),
    _wire(
        name="command-timed-out-on-short-host",
        error_type=ErrorType.TIMEOUT,
        message=_READ_TIMEOUT,
        evidence={ev.HOST: {ev.SHORT}},
        details={ev.HOST: SLOWING},
        unless={ev.TARGET: SERVER_DOWN},
    ),
    _CONNECTION(
        name="reply-lost-session-healthy",
        message=_READ_TIMEOUT,
        evidence={ev.SESSION: {ev.OK}},
    ),
    _CONNECTION(
        name="loopback-silent",
        confidence=0.7,
        recovery="delayed_retry",
        message=_READ_TIMEOUT,
        evidence={ev.DRIVER_STATUS: {ev.SILENT}, ev.DEVTOOLS: {ev.SILENT, ev.ERROR}},
    ),
    _wire(
        name="script-outlived-client",
        error_type=ErrorType.TEST_CODE,
        confidence=0.6,
        message=_READ_TIMEOUT,
        commands=SCRIPTS,
        evidence={ev.SESSION: {ev.SILENT}},
    ),
    _wire(
        name="page-server-silent",
        error_type=ErrorType.PAGE,
        confidence=0.7,
        message=_READ_TIMEOUT,
        commands=NAVIGATION,
        evidence={ev.SESSION: {ev.SILENT}, ev.TARGET: SERVER_DOWN},
    ),
    _wire(
        name="page-load-outlived-client",
        error_type=ErrorType.NETWORK,
        confidence=0.5,
        message=_READ_TIMEOUT,
        commands=NAVIGATION,
        evidence={ev.SESSION: {ev.SILENT}, ev.TARGET: {ev.UNASKED}},
    ),
    # A driver that waits for its browser may have no time for us; who computes all the time is
    # the page.
    _wire(
        name="page-never-idle-driver-silent",
        error_type=ErrorType.PAGE,
        confidence=0.6,
        message=_READ_TIMEOUT,
        evidence={
            ev.DRIVER_PROCESS: {ev.ALIVE},
            ev.DRIVER_STATUS: {ev.SILENT},
            ev.RENDERER_PROCESS: {ev.BUSY},
        },
    ),
    _wire(
        name="driver-silent",
        error_type=ErrorType.DRIVER,
        confidence=0.6,
        message=_READ_TIMEOUT,
        evidence={ev.DRIVER_STATUS: {ev.SILENT}},
    ),
    _wire(
        name="session-silent-after-timeout",
        error_type=ErrorType.BROWSER,
        confidence=0.6,
        message=_READ_TIMEOUT,
        evidence={ev.SESSION: {ev.SILENT}},
    ),
    _wire(
        name="local-command-timed-out",
        error_type=ErrorType.BROWSER,
        confidence=0.5,
        remote=False,
        types=("urllib3.*",),
        message=rf"{LOOPBACK}.{{0,400}}(?:{_READ_TIMEOUT})",
    ),
    _CONNECTION(name="command-timed-out", confidence=0.5, message=_READ_TIMEOUT),
)

_CUT = (
    _wire(
        name="driver-refuses",
        error_type=ErrorType.DRIVER,
        confidence=0.7,
        message=_REFUSED,
        remote=False,
        evidence={ev.DRIVER_STATUS: {ev.REFUSED}},
    ),
    _CONNECTION(
        name="refused-once-driver-healthy",
        message=_REFUSED,
        evidence={ev.DRIVER_STATUS: {ev.OK}},
    ),
    _wire(
        name="grid-refuses",
        error_type=ErrorType.COORDINATOR,
        confidence=0.7,
        message=_REFUSED,
        remote=True,
    ),
    _wire(
        name="grid-port-refuses",
        error_type=ErrorType.COORDINATOR,
        confidence=0.6,
        message=r"(?:port=4444\b|/wd/hub/).{0,400}connection refused",
    ),
    # Quit, and used again: says the same as a driver that died, and is the usual cause.
    _wire(
        name="refused-without-evidence",
        error_type=ErrorType.TEST_CODE,
        confidence=0.5,
        remote=False,
        message=rf"{LOOPBACK}.{{0,100}}/session/.{{0,400}}(?:newconnectionerror|{_REFUSED})",
    ),
    _wire(
        name="driver-hung-up",
        error_type=ErrorType.DRIVER,
        confidence=0.6,
        message=r"remotedisconnected|closed connection without response",
        evidence={ev.DRIVER_PROCESS: {ev.UNASKED}, ev.DRIVER_STATUS: {ev.UNASKED, ev.REFUSED}},
    ),
    _CONNECTION(
        name="name-not-resolved",
        confidence=0.7,
        recovery="delayed_retry",
        message=any_of(
            r"name or service not known",
            r"getaddrinfo",
            r"nameresolutionerror",
            r"name resolution",
            r"gaierror",
        ),
    ),
    _CONNECTION(name="connection-broke", confidence=0.8),
)

# A driver answers in JSON; whatever else answers stands between it and the test.
_FOREIGN_REPLY = (
    BuiltinRule(
        name="gateway-answered",
        error_type=ErrorType.CONNECTION,
        confidence=0.85,
        recovery="delayed_retry",
        types=_REPLY,
        message=any_of(
            r"^\s*<(?:!doctype|html|head|\?xml)",
            r"\b50[234] (?:bad gateway|service (?:temporarily )?unavailable|gateway time-?out)",
            r"^(?:bad gateway|service unavailable|gateway time-?out|request timeout)[.\s]*$",
            r"^(?:too many requests|internal server error|proxy error|upstream .{0,60})[.\s]*$",
        ),
        strong=True,
    ),
    BuiltinRule(
        name="request-to-webdriver-lost",
        error_type=ErrorType.CONNECTION,
        confidence=0.6,
        types=_REPLY,
        message=any_of(
            r"http request to the remote webdriver server",
            r"request failed with error code e[a-z]+",
            r"timeout awaiting 'request'",
        ),
    ),
    BuiltinRule(
        name="credentials-refused-midway",
        error_type=ErrorType.CONNECTION,
        confidence=0.6,
        recovery="delayed_retry",
        types=_REPLY,
        starting=False,
        message=r"^(?:(?:proxy )?auth\w+ required|unauthorized|forbidden)[.\s]*$",
    ),
    BuiltinRule(
        name="socket-error-with-dead-driver",
        error_type=ErrorType.DRIVER,
        confidence=0.6,
        types=("builtins.ConnectionError", "builtins.TimeoutError", "socket.timeout"),
        absent=OTHER_CLIENTS,
        evidence={ev.DRIVER_STATUS: {ev.REFUSED, ev.SILENT}},
        remote=False,
    ),
    BuiltinRule(
        name="socket-error-names-webdriver",
        error_type=ErrorType.DRIVER,
        of_driver=True,
        confidence=0.5,
        types=("builtins.ConnectionError",),
        absent=OTHER_CLIENTS,
        message=any_of(
            r"\bselenium\b",
            r"\w*webdriver\b",
            r"\b(?:chrome|gecko|edge|safari)driver\b",
            r"\bget_screenshot_as_",
        ),
    ),
)

RULES = (*_PORTS_AND_FILES, *_TIMED_OUT, *_CUT, *_FOREIGN_REPLY)
