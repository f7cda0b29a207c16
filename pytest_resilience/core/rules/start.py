"""Rules about sessions that could not be created.

Invariant: what no repetition can cure (a wrong version, a missing binary, a bad
capability) says so: its recovery is ``escalate`` or ``none``.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import BROWSER, any_of

_SYSTEM = partial(BuiltinRule, error_type=ErrorType.SYSTEM, strong=True)
_RESOURCE = partial(
    BuiltinRule,
    error_type=ErrorType.RESOURCE,
    starting=True,
    recovery="driver_restart",
    strong=True,
)
_DRIVER = partial(BuiltinRule, error_type=ErrorType.DRIVER, strong=True)
_TEST_CODE = partial(BuiltinRule, error_type=ErrorType.TEST_CODE)
_EXITED = "unexpectedly exited"
_INVALID_ARGUMENT = ("InvalidArgumentException", "InvalidArgumentError")

# A geckodriver calls it a time-out, or an argument that was invalid.
_FIREFOX = (
    BuiltinRule(
        name="firefox-did-not-come-up",
        error_type=ErrorType.BROWSER,
        confidence=0.7,
        recovery="driver_restart",
        strong=True,
        types=("WebDriverException", "WebDriverError", "TimeoutException", *_INVALID_ARGUMENT),
        message=r"failed to read marionette port|can't kill an exited process",
    ),
)

_CONFIGURATION = (
    _SYSTEM(
        name="version-mismatch",
        confidence=0.95,
        message=any_of(
            r"this version of .{1,60} (?:only supports|does not support|has not been tested)",
            rf"only supports (?:{BROWSER}|firefox) version",
            r"(?:driver|firefox|chrome) version .{0,60}(?:is not compatible|not supported)",
            r"expected browser version",
            r"must be (?:firefox|chrome) (?:version )?>=",
        ),
    ),
    _SYSTEM(
        name="browser-missing",
        confidence=0.95,
        message=any_of(
            rf"no {BROWSER} binary at",
            rf"cannot find (?:{BROWSER}|firefox|safari) (?:web)?(?:binary|driver)",
            r"unable to find (?:the )?(?:browser |firefox )?binary in default location",
            r"expected browser binary location",
            r"executable doesn't exist at",
            r"host system is missing dependencies",
        ),
    ),
    _SYSTEM(
        name="browser-binary-invalid",
        confidence=0.9,
        types=(*_INVALID_ARGUMENT, "WebDriverException", "SessionNotCreatedException"),
        message=any_of(
            r"binary is not a firefox executable",
            r"invalid (?:browser )?binary",
            r"firefox_binary",
            r"not a valid (?:browser|chrome|firefox) (?:binary|executable)",
            r"unrecognized (?:chrome|browser) version",
            r"failed to parse .{0,20}version",
        ),
    ),
    BuiltinRule(
        name="driver-download-failed",
        error_type=ErrorType.NETWORK,
        confidence=0.8,
        types=("NoSuchDriverException", "requests.*", "urllib3.*", "urllib.error.*", "ValueError"),
        message=any_of(
            r"chromedriver\.storage",
            r"storage\.googleapis",
            r"googlechromelabs\.github",
            r"msedgedriver\.",
            r"msedgewebdriverstorage",
            r"api\.github\.com",
            r"mozilla/geckodriver",
            r"api rate limit exceeded for",
            r"error sending request",
            r"dns error",
            r"failed to lookup address",
        ),
    ),
    _SYSTEM(
        name="driver-missing",
        confidence=0.9,
        types=("NoSuchDriverException",),
    ),
    _SYSTEM(
        name="driver-not-found",
        confidence=0.85,
        message=any_of(
            r"unable to (?:obtain|locate) (?:or obtain )?(?:the )?(?:\w+ ?)?driver\b",
            r"path to (?:the )?driver executable",
        ),
    ),
    _SYSTEM(
        name="permission-denied-at-start",
        confidence=0.7,
        types=("WebDriverException", "WebDriverError"),
        message=r"^permission denied\W*(?:os error 13\W*)?$",
    ),
    _SYSTEM(
        name="driver-not-executable",
        confidence=0.9,
        message=any_of(
            r"may have wrong permissions",
            r"needs to be in path",
            r"executable may have",
        ),
    ),
    _SYSTEM(
        name="driver-cannot-run",
        confidence=0.85,
        starting=True,
        types=("builtins.OSError",),
        message=r"exec format error|permission denied|no such file|bad cpu type",
    ),
    _SYSTEM(
        name="no-display-or-sandbox",
        confidence=0.9,
        message=any_of(
            r"missing x server",
            r"\$display",
            r"(?:cannot|unable to|can't) open display",
            r"no display specified",
            r"without --no-sandbox",
            r"no usable sandbox",
            r"allow remote automation",
        ),
    ),
    _SYSTEM(
        name="profile-unusable",
        confidence=0.7,
        recovery="driver_restart",
        message=any_of(
            r"user data directory is already in use",
            r"(?:cannot create|unable to create) .{0,20}(?:profile|data|temp) dir",
            r"failed to write (?:prefs file|local state)",
            r"singleton ?lock",
            r"process ?singleton",
            r"profile cannot be loaded",
        ),
    ),
    _TEST_CODE(
        name="capability-refused",
        confidence=0.9,
        starting=True,
        types=_INVALID_ARGUMENT,
    ),
    _TEST_CODE(
        name="capability-refused-in-words",
        confidence=0.85,
        starting=True,
        message=any_of(
            r"cannot parse capability",
            r"unrecognized capability",
            r"cannot process extension",
            r"invalid argument",
            r"invalid (?:page load strategy|capabilit)",
            r"matching (?:set of )?capabilities",
            r"misconfigured",
            r"(?:invalid|wrong) (?:user ?name|access key|credentials)",
        ),
    ),
    _TEST_CODE(
        name="grid-refuses-credentials",
        confidence=0.7,
        starting=True,
        types=("WebDriverException", "WebDriverError"),
        message=r"^(?:authorization required|unauthorized|forbidden|access denied)\b",
    ),
)

_PROCESS = (
    BuiltinRule(
        name="driver-exited-short-of-resources",
        error_type=ErrorType.RESOURCE,
        confidence=0.7,
        recovery="driver_restart",
        strong=True,
        # A signal (negative) or "unavailable" (69): killed, or its port was taken.
        message=rf"service .{{0,300}}{_EXITED}.{{0,20}}status code was: (?:-\d|69\b|13[4-9]\b)",
    ),
    # A real driver exits at start when its port is taken or the machine denies it something.
    BuiltinRule(
        name="driver-denied-by-host",
        error_type=ErrorType.RESOURCE,
        confidence=0.6,
        recovery="driver_restart",
        strong=True,
        message=rf"service \S{{0,300}}(?:chrome|gecko|edge|safari)driver\S{{0,20}} {_EXITED}",
    ),
    _DRIVER(
        name="driver-exited-at-start",
        confidence=0.6,
        message=any_of(
            rf"service .{{0,300}}{_EXITED}",
            r"can ?not connect to the service",
            r"timed out waiting for driver server",
            r"cannot start the driver service",
            r"server terminated early with status",
            r"unable to connect to (?:chrome|gecko|edge|safari)driver",
        ),
    ),
    _DRIVER(
        name="safari-session-stuck",
        confidence=0.85,
        message=any_of(
            r"safari instance is already paired",
            r"timed out while connecting to a safari",
            r"session is already started",
            r"maximum number of active sessions",
        ),
    ),
    _DRIVER(
        name="driver-cannot-reach-renderer",
        confidence=0.6,
        starting=True,
        message=r"unable to connect to renderer",
    ),
    BuiltinRule(
        name="browser-died-answering-grid",
        error_type=ErrorType.BROWSER,
        confidence=0.7,
        strong=True,
        starting=True,
        message=r"(?:decode|read) response from marionette",
    ),
    # No exit status: a signal ended the browser.
    BuiltinRule(
        name="browser-killed-at-start",
        error_type=ErrorType.BROWSER,
        confidence=0.7,
        recovery="driver_restart",
        strong=True,
        message=r"process unexpectedly closed with status:? (?:\{?unknown|signal)",
    ),
    _RESOURCE(
        name="start-short-of-resources",
        confidence=0.8,
        message=any_of(
            r"port number file contents",
            r"cannot allocate memory",
            r"out of memory",
            r"no space left",
            r"too many open files",
            r"resource temporarily unavailable",
            r"spawn e(?:again|nomem|mfile)\b",
            r"/dev/shm",
            r"shared memory",
        ),
    ),
    BuiltinRule(
        name="browser-not-reachable-at-start",
        error_type=ErrorType.BROWSER,
        starting=True,
        confidence=0.6,
        recovery="driver_restart",
        strong=True,
        message=rf"{BROWSER} not reachable",
        without=r"failed to start|crash",
    ),
    BuiltinRule(
        name="browser-exited-at-start",
        error_type=ErrorType.RESOURCE,
        confidence=0.6,
        recovery="driver_restart",
        strong=True,
        message=any_of(
            rf"{BROWSER} instance exited",
            rf"{BROWSER} failed to start",
            rf"failed to create {BROWSER} process",
            r"devtoolsactiveport",
            r"exited abnormally",
            r"process unexpectedly closed with status",
            r"marionette ?active ?port",
            r"unable to connect to marionette",
            r"failed to launch",
        ),
    ),
    _RESOURCE(
        name="browser-slow-to-start",
        confidence=0.6,
        types=("playwright.*",),
        message=r"\.launch\w*: timeout .{1,12}exceeded",
    ),
    _RESOURCE(
        name="browser-lost-at-start",
        confidence=0.6,
        message=any_of(
            r"crash",
            r"disconnected",
            r"closed the connection",
            r"target closed",
            r"has been closed",
        ),
    ),
    BuiltinRule(
        name="driver-unreachable-at-start",
        error_type=ErrorType.DRIVER,
        confidence=0.7,
        starting=True,
        remote=False,
        types=("urllib3.*",),
        message=any_of(
            r"errno 111",
            r"winerror 10061",
            r"connection refused",
            r"remotedisconnected",
        ),
        evidence={ev.DRIVER_STATUS: {ev.REFUSED}},
    ),
)

#: Rules for the end: a session was not created, and nothing says why.
LAST = (
    BuiltinRule(
        name="grid-could-not-start-session",
        error_type=ErrorType.COORDINATOR,
        confidence=0.4,
        recovery="node_switch",
        starting=True,
        message=r"could not start a new session",
        without="without establishing a connection",
    ),
    _RESOURCE(
        name="session-not-created",
        confidence=0.4,
        types=("SessionNotCreatedException", "SessionNotCreatedError"),
        without="without establishing a connection",
    ),
)

RULES = (*_FIREFOX, *_CONFIGURATION, *_PROCESS)
