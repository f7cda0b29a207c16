"""Rules about what is not infrastructure: the page, the product, the test itself.

Invariant: no rule of this table excuses anybody, so it may be broad.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import (
    BARE_SESSION_LOST,
    MISTAKES,
    NO_SUCH_WINDOW,
    OTHER_CLIENTS,
    SESSION_LOST,
    TIMEOUTS,
    any_of,
)
from pytest_resilience.core.statement import ASSERTIONS

_PRODUCT = partial(BuiltinRule, error_type=ErrorType.PRODUCT)
_PAGE = partial(BuiltinRule, error_type=ErrorType.PAGE)
_TEST_CODE = partial(BuiltinRule, error_type=ErrorType.TEST_CODE)
_UNKNOWN = partial(BuiltinRule, error_type=ErrorType.UNKNOWN)

#: What a page's script threw into a Playwright call: its words are the page's.
FIRST = (
    _PRODUCT(
        name="page-script-threw",
        confidence=0.85,
        types=("playwright.*",),
        message=r"\.(?:evaluate|eval_on_selector|wait_for_function)\w*: (?:uncaught )?\w*error:",
        without=r"protocol error",
    ),
)

# Something hangs although nothing died. A page can do that to its own session, so an
# assertion is excused only if the whole browser is silent.
_SILENT = (
    BuiltinRule(
        name="browser-silent",
        error_type=ErrorType.BROWSER,
        confidence=0.7,
        absent=MISTAKES,
        evidence={ev.SESSION: {ev.SILENT}, ev.DEVTOOLS: {ev.SILENT}},
        unless={ev.LATCH: {ev.CLOSED}},
    ),
    BuiltinRule(
        name="session-silent",
        error_type=ErrorType.BROWSER,
        of_driver=True,
        confidence=0.6,
        types=("TimeoutException", "WebDriverException", "playwright.*"),
        absent=(*MISTAKES, *ASSERTIONS, "NoSuchElementException", "JavascriptException"),
        evidence={ev.SESSION: {ev.SILENT}},
        unless={ev.LATCH: {ev.CLOSED}},
    ),
)

_ASSERTED = (
    _PRODUCT(name="assertion", confidence=0.95, types=ASSERTIONS),
    _PRODUCT(
        name="skipped",
        confidence=0.95,
        severity=ErrorSeverity.INFO,
        types=("Skipped", "SkipTest"),
    ),
)

_PAGE_RACES = (
    _PAGE(
        name="stale-element",
        confidence=0.9,
        severity=ErrorSeverity.LOW,
        types=(
            "StaleElementReferenceException",
            "StaleElementReferenceError",
            "DetachedShadowRootException",
        ),
    ),
    _PAGE(
        name="node-replaced",
        confidence=0.85,
        severity=ErrorSeverity.LOW,
        message=any_of(
            r"node with given id does not belong",
            r"no node with given id",
            r"stale element",
            r"not attached to the (?:dom|page)",
            r"element is not attached",
            r"node is detached",
        ),
    ),
    _PAGE(
        name="page-replaced-meanwhile",
        severity=ErrorSeverity.LOW,
        message=any_of(
            r"document was unloaded",
            r"navigated or closed",
            r"frame (?:was |got )?detached",
            r"execution context was destroyed",
            r"cannot determine loading status",
            r"aborted by navigation",
            r"no frame for given id",
            r"cannot find context with specified id",
            r"uniquecontextid not found",
            r"no such execution context",
            r"actor '\w+' destroyed before query",
        ),
    ),
    _PAGE(
        name="document-unloaded",
        severity=ErrorSeverity.LOW,
        types=("JavascriptException", "JavascriptError"),
        message=r"document was unloaded|execution context was destroyed",
    ),
    _PAGE(
        name="element-covered",
        confidence=0.9,
        severity=ErrorSeverity.LOW,
        types=("ElementClickInterceptedException", "ElementClickInterceptedError"),
    ),
    _PAGE(
        name="element-not-interactable",
        confidence=0.9,
        severity=ErrorSeverity.LOW,
        types=(
            "ElementNotInteractableException",
            "ElementNotInteractableError",
            "ElementNotVisibleException",
            "ElementNotSelectableException",
        ),
    ),
    _PAGE(
        name="unexpected-alert",
        confidence=0.9,
        types=(
            "UnexpectedAlertPresentException",
            "UnexpectedAlertOpenError",
            "UnhandledAlertException",
        ),
    ),
    _PAGE(
        name="certificate-refused",
        types=("InsecureCertificateException", "InsecureCertificateError"),
    ),
    _PAGE(
        name="script-navigated-away",
        confidence=0.6,
        types=TIMEOUTS,
        message=r"^(?:timeout: )?script timeout",
        commands=("executeasync",),
    ),
    _TEST_CODE(
        name="script-timed-out",
        confidence=0.6,
        types=(*TIMEOUTS, "WebDriverException"),
        message=any_of(
            r"^(?:timeout: )?script timeout",
            r"asynchronous script timeout",
            r"^timed out after \d+ ?m?s",
        ),
        unless={ev.SESSION: {ev.SILENT}},
    ),
)

_WINDOWS = (
    _PAGE(
        name="window-or-frame-vanished",
        confidence=0.6,
        types=NO_SUCH_WINDOW,
        message=any_of(
            r"browsing context has been discarded",
            r"\(session info: webview",
            r"webview\)",
        ),
    ),
    _TEST_CODE(name="no-such-window", confidence=0.6, types=NO_SUCH_WINDOW),
    _TEST_CODE(
        name="session-unknown",
        confidence=0.5,
        types=SESSION_LOST,
    ),
    _TEST_CODE(
        name="session-ended-earlier",
        confidence=0.5,
        message=rf"{BARE_SESSION_LOST}|without establishing a connection",
        without=r"^\s*$",
    ),
)

_MISSING = (
    _PRODUCT(
        name="element-missing",
        confidence=0.9,
        types=(
            "NoSuchElementException",
            "NoSuchElementError",
            "NoSuchFrameException",
            "NoSuchFrameError",
            "NoSuchShadowRootException",
            "NoSuchAttributeException",
            "NoSuchCookieException",
            "UnexpectedTagNameException",
        ),
        without=r"instead of stale",
    ),
    _PAGE(
        name="element-missing-instead-of-stale",
        confidence=0.6,
        types=("NoSuchElementException", "NoSuchElementError"),
    ),
    _PRODUCT(
        name="alert-missing",
        confidence=0.9,
        types=("NoAlertPresentException", "NoSuchAlertError", "NoAlertOpenError"),
    ),
    _PRODUCT(
        name="script-threw",
        confidence=0.9,
        types=("JavascriptException", "JavascriptError"),
    ),
    _TEST_CODE(
        name="locator-ambiguous",
        types=("playwright.*",),
        message=any_of(
            r"strict mode violation",
            r"is not a valid selector",
            r"unknown engine",
            r"unexpected token .{0,40}selector",
        ),
    ),
    _PRODUCT(
        name="element-never-came",
        confidence=0.85,
        types=("playwright.*",),
        message=any_of(
            r"timeout .{1,12}exceeded",
            r"waiting for (?:selector|locator|event)",
        ),
    ),
    _PRODUCT(
        name="wait-timed-out",
        confidence=0.85,
        types=("TimeoutException", "selenium.common.exceptions.TimeoutException"),
    ),
)

_OWN_MISTAKES = (
    _TEST_CODE(
        name="command-misused",
        confidence=0.9,
        types=(
            "InvalidArgumentException",
            "InvalidArgumentError",
            "InvalidSelectorException",
            "InvalidSelectorError",
            "InvalidElementStateException",
            "InvalidElementStateError",
            "InvalidCookieDomainException",
            "InvalidCookieDomainError",
            "InvalidCoordinatesException",
            "InvalidSwitchToTargetException",
            "UnableToSetCookieException",
            "MoveTargetOutOfBoundsException",
            "MoveTargetOutOfBoundsError",
            "UnknownMethodException",
            "ImeNotAvailableException",
            "ImeActivationFailedException",
        ),
    ),
    _TEST_CODE(
        name="wrong-endpoint",
        confidence=0.85,
        message=any_of(
            r"unable to find handler for",
            r"unknown (?:command|method|url)",
            r"http method not allowed",
            r"unknown endpoint",
        ),
    ),
    _TEST_CODE(
        name="python-mistake",
        confidence=0.8,
        types=(
            *MISTAKES,
            "TypeError",
            "AttributeError",
            "LookupError",
            "ValueError",
            "ArithmeticError",
            "NotImplementedError",
            "RecursionError",
            "UnexpectedFixtureError",
        ),
    ),
    _UNKNOWN(
        name="application-not-answering-test",
        confidence=0.5,
        types=OTHER_CLIENTS,
    ),
    _UNKNOWN(
        name="error-of-unknown-origin",
        confidence=0.4,
        types=("builtins.OSError", "builtins.RuntimeError", "builtins.MemoryError"),
    ),
    _UNKNOWN(
        name="webdriver-error-unexplained",
        confidence=0.3,
        types=("WebDriverException", "WebDriverError", "playwright.*", "UnknownError"),
    ),
)

RULES = (*_SILENT, *_ASSERTED, *_PAGE_RACES, *_WINDOWS, *_MISSING, *_OWN_MISTAKES)
