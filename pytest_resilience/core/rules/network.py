"""Rules about pages that could not be loaded: the browser's network, or the application.

Invariant: where our own request to the same server failed too, the application is
named, not the network.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import MISTAKES, SERVER_DOWN, TIMEOUTS, any_of

_NETWORK = partial(BuiltinRule, error_type=ErrorType.NETWORK)
_PAGE = partial(BuiltinRule, error_type=ErrorType.PAGE)


def _chromium(*codes: str) -> str:
    return rf"net::err_(?:{'|'.join(codes)})\b"


def _firefox(*codes: str) -> str:
    return rf"about:\w+error\?e=(?:{'|'.join(codes)})\b"


def _gecko(*codes: str) -> str:
    return rf"\bns_error_(?:{'|'.join(codes)})\b"


# Errors of the way out of the browser, whatever server is asked for.
_OWN_WAY = any_of(
    r"\berr_(?:internet_disconnected|network_changed|network_io_suspended|network_access_denied)",
    r"\berr_(?:proxy_\w+|tunnel_connection_failed|socks_\w+)",
    r"\?e=(?:netoffline|proxyconnectfailure|proxyresolvefailure|unknownproxyhost)",
    _gecko("offline", r"proxy_\w+", "unknown_proxy_host"),
)
# Errors that a broken network and a broken server can both cause.
_ON_THE_WAY = any_of(
    _chromium(r"name_\w+", r"dns_\w+", "icann_name_collision", "address_unreachable"),
    _chromium("connection_(?:timed_out|reset|closed|aborted|failed)", "timed_out"),
    _chromium("empty_response", "socket_not_connected", r"network_\w+", r"http2_\w+"),
    _chromium(r"quic_\w+", r"incomplete_\w+", "content_length_mismatch", r"ssl_\w+"),
    _firefox("dnsnotfound", "connectionfailure", "netreset", "netinterrupt", "nettimeout"),
    _firefox("netchanged", r"unknownsocket\w*", "nssfailure2"),
    _gecko("net_(?:reset|interrupt|timeout|empty_response)", "unknown_host"),
    r"could not resolve host",
)
_NOT_THERE = any_of(
    _chromium("connection_refused"),
    _gecko("connection_refused"),
    r"could not connect to (?:the )?server",
)
_ANY_ERROR_PAGE = any_of(
    r"\bnet::err_\w+",
    r"\babout:(?:neterror|certerror|blocked)",
    r"\bns_error_\w+",
    r"reached error page",
)
# Errors before the server was asked anything, as error pages write them.
_NEVER_ASKED = any_of(
    r"\berr_(?:name_\w+|dns_\w+|address_unreachable|(?:connection_)?timed_out)\b",
    r"\berr_(?:connection_(?:refused|failed)|network_\w+|internet_disconnected)\b",
    r"\?e=(?:dnsnotfound|connectionfailure|nettimeout|netoffline|netchanged)\b",
)
# Whoever is asked, a browser does not go there; without `net::` where an error page says so.
_BAD_ADDRESS = any_of(
    r"(?:^|net::)err_(?:unsafe_port|invalid_url|\w+_url_scheme)\b",
    r"about:\w+error\?e=(?:malformeduri|deniedportaccess|unknownprotocolfound)\b",
)
_PAGE_LOAD = any_of(
    r"timed out receiving message from renderer",
    r"navigation timed out after",
    r"loading timed out",
    r"page load(?:ing)? time(?:d )?out",
    r"^(?:page|frame|locator)\.(?:goto|reload|go_back|go_forward)\b.*timeout .{1,12}exceeded",
    r"^(?:page|frame)\.wait_for_(?:load_state|url|navigation)\b.*timeout .{1,12}exceeded",
    r"timeout .{1,12}exceeded during page\.goto",
)

#: The page is there by now: a network error before it is an old one, and was dealt with.
_ARRIVED = {ev.PAGE: {ev.OK}}


_ERRORS = (
    BuiltinRule(
        name="address-refused-by-browser",
        error_type=ErrorType.TEST_CODE,
        confidence=0.6,
        message=_BAD_ADDRESS,
    ),
    _NETWORK(
        name="browser-offline",
        confidence=0.9,
        message=_OWN_WAY,
        unless=_ARRIVED,
        strong=True,
    ),
    _PAGE(
        name="server-vanished",
        confidence=0.8,
        recovery="delayed_retry",
        message=_ANY_ERROR_PAGE,
        evidence={ev.TARGET: {ev.VANISHED}},
        transient=True,
    ),
    # A name that led somewhere a moment ago: nobody changed the test meanwhile.
    _NETWORK(
        name="name-lost",
        confidence=0.8,
        message=_ANY_ERROR_PAGE,
        evidence={ev.TARGET: {ev.DNS}},
        details={ev.TARGET: "reached earlier"},
    ),
    _PAGE(
        name="server-down",
        confidence=0.85,
        message=_ANY_ERROR_PAGE,
        evidence={ev.TARGET: SERVER_DOWN},
    ),
    _NETWORK(
        name="server-up-browser-cannot",
        confidence=0.85,
        message=rf"{_ON_THE_WAY}|{_NOT_THERE}",
        evidence={ev.TARGET: {ev.OK}},
        unless=_ARRIVED,
        strong=True,
    ),
    _NETWORK(name="broken-on-the-way", confidence=0.6, message=_ON_THE_WAY, unless=_ARRIVED),
    _PAGE(name="server-not-there", confidence=0.6, message=_NOT_THERE),
    BuiltinRule(
        name="browser-short-of-resources",
        error_type=ErrorType.RESOURCE,
        message=r"net::err_(?:insufficient_resources|out_of_memory)",
        strong=True,
    ),
    _PAGE(name="page-refused-by-browser", confidence=0.6, message=_ANY_ERROR_PAGE),
)

# The exception may be anything: a missing element, a failed assertion.
_BEHIND_THE_EXCEPTION = (
    # Whoever cuts the browser off, and then looks at what it shows, wants to see that.
    _PAGE(
        name="error-page-network-cut-by-test",
        confidence=0.85,
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}, ev.OWN_NETWORK: {ev.CUT}},
        details={ev.PAGE: r"\berr_internet_disconnected\b"},
    ),
    BuiltinRule(
        name="error-page-address-refused",
        error_type=ErrorType.TEST_CODE,
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}},
        details={ev.PAGE: _BAD_ADDRESS},
    ),
    _NETWORK(
        name="error-page-offline",
        confidence=0.85,
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}},
        details={ev.PAGE: _OWN_WAY},
    ),
    _PAGE(
        name="error-page-server-vanished",
        recovery="delayed_retry",
        absent=MISTAKES,
        evidence={
            ev.PAGE: {ev.ERROR_PAGE, ev.GATEWAY, ev.SERVER_ERROR},
            ev.TARGET: {ev.VANISHED},
        },
        transient=True,
    ),
    _NETWORK(
        name="error-page-name-lost",
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}, ev.TARGET: {ev.DNS}},
        details={ev.TARGET: "reached earlier"},
    ),
    # An answer that broke off may be the application's own doing, even if it answers us:
    # what the page sent cannot be sent again.
    _NETWORK(
        name="error-page-server-up",
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}, ev.TARGET: {ev.OK}},
        details={ev.PAGE: _NEVER_ASKED},
    ),
    _PAGE(
        name="error-page-shown",
        confidence=0.75,
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.ERROR_PAGE}},
    ),
    _PAGE(
        name="gateway-page-shown",
        confidence=0.75,
        recovery="delayed_retry",
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.GATEWAY}},
    ),
    _PAGE(
        name="server-error-page-shown",
        absent=MISTAKES,
        evidence={ev.PAGE: {ev.SERVER_ERROR}},
    ),
)

# A page that took too long, as a driver says it; a test may use the same words of its own.
_LATE = partial(
    BuiltinRule, types=(*TIMEOUTS, "WebDriverException"), message=_PAGE_LOAD, of_driver=True
)
_LATE_PAGE = partial(_LATE, error_type=ErrorType.PAGE)

_TIMED_OUT = (
    _LATE(
        name="page-load-browser-hangs",
        error_type=ErrorType.BROWSER,
        confidence=0.7,
        evidence={ev.SESSION: {ev.SILENT}},
    ),
    _LATE_PAGE(
        name="page-load-server-vanished",
        recovery="delayed_retry",
        evidence={ev.TARGET: {ev.VANISHED}},
        transient=True,
    ),
    _LATE_PAGE(
        name="page-load-slowed-by-test",
        evidence={ev.OWN_NETWORK: {ev.CUT, ev.SLOWED}},
    ),
    _LATE_PAGE(
        name="page-load-server-down",
        evidence={ev.TARGET: SERVER_DOWN},
    ),
    _LATE_PAGE(
        name="page-load-slow",
        confidence=0.7,
        evidence={ev.PAGE: {ev.OK}},
    ),
    _LATE(
        name="page-load-timed-out",
        error_type=ErrorType.NETWORK,
        confidence=0.5,
        evidence={ev.SESSION: {ev.OK}},
    ),
    # chromedriver lets every command wait for a page that does not finish loading.
    _NETWORK(
        name="navigation-pending",
        confidence=0.5,
        message=r"pending navigation|navigation (?:is )?pending",
    ),
    BuiltinRule(
        name="renderer-timed-out",
        of_driver=True,
        error_type=ErrorType.BROWSER,
        confidence=0.5,
        types=(*TIMEOUTS, "WebDriverException"),
        message=r"timed out receiving message from renderer",
    ),
    _LATE(
        name="page-load-unexplained",
        error_type=ErrorType.TIMEOUT,
        confidence=0.4,
    ),
)

RULES = (*_ERRORS, *_BEHIND_THE_EXCEPTION, *_TIMED_OUT)
