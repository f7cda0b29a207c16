"""Rules about what drivers say of a browser, a tab or a graphics process that failed.

Invariant: every signature here can come from a broken browser alone, never from a page.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import BROWSER, any_of

_BROWSER = partial(BuiltinRule, error_type=ErrorType.BROWSER, strong=True)
_GPU = partial(BuiltinRule, error_type=ErrorType.GPU, strong=True)
_DRIVER = partial(BuiltinRule, error_type=ErrorType.DRIVER, strong=True)
_CRASHED = r"crash(?:ed|es)?\b"

_GRAPHICS = (
    _GPU(
        name="gpu-process-failed",
        message=rf"gpu process (?:isn't usable|exited|was (?:killed|lost)|{_CRASHED})",
    ),
    _GPU(
        name="graphics-context-lost",
        confidence=0.7,
        message=any_of(
            r"context_lost_webgl",
            r"webgl context (?:was )?lost",
            r"webgpu device (?:was )?lost",
            r"error_device_lost",
        ),
    ),
)

_TAB = (
    BuiltinRule(
        name="browser-out-of-memory",
        error_type=ErrorType.RESOURCE,
        confidence=0.75,
        strong=True,
        message=any_of(
            r"\bout of memory\b",
            r"oom-killer",
            r"killed process \d+",
            r"cannot allocate memory",
            r"(?:couldn't|could not|failed to) (?:allocate|create) shared memory",
            r"crash\w* .{0,30}\b(?:large|big|huge) pages?\b",
        ),
    ),
    # Drivers of this older wording ran, in nearly all reports, in containers whose
    # shared memory was too small; a crash while loading a page is the exception.
    BuiltinRule(
        name="page-crash-shared-memory",
        error_type=ErrorType.RESOURCE,
        confidence=0.5,
        strong=True,
        message=r"session deleted because of page crash",
        without="cannot determine loading status",
        unless={ev.HOST: {ev.OK}},
    ),
    _BROWSER(
        name="tab-crash-message",
        confidence=0.9,
        recovery="fresh_window",
        message=rf"\b(?:tab|target|page|renderer|(?:content|web) process) (?:has |was )?{_CRASHED}",
    ),
)

_PROCESS = (
    _BROWSER(
        name="browser-disconnected",
        confidence=0.9,
        message=any_of(
            r"browser has closed the connection",
            r"not connected to devtools",
            r"disconnected: ",
            r"(?:^|from )disconnected\b",
            r"lost connection to (?:the )?browser",
            r"unable to (?:receive|send) message (?:from|to) renderer",
            r"failed to check if window was closed",
            r"web ?view (?:is )?not reachable",
        ),
        without=r"pending navigation|navigation (?:is )?pending",
    ),
    _BROWSER(
        name="browser-not-reachable",
        confidence=0.85,
        message=any_of(
            r"unable to discover open pages",
            r"failed to close window in",
            r"failed to change window state",
            r"error communicating with the remote browser",
            r"cannot activate web ?view",
            rf"{BROWSER} not reachable",
            rf"cannot connect to {BROWSER} at",
            rf"{BROWSER} (?:has )?(?:{_CRASHED}|quit unexpectedly|exited unexpectedly)",
            rf"{BROWSER} was closed unexpectedly",
            r"safari (?:has )?(?:crashed|quit unexpectedly|unexpectedly quit)",
        ),
    ),
    _BROWSER(
        name="marionette-broke-off",
        confidence=0.9,
        message=any_of(
            r"(?:decode|read) (?:response|message) from marionette",
            r"marionette.{0,40}(?:broken pipe|reset)",
            r"webdriver session does not exist, or is not active",
            r"connection (?:refused|reset).{0,20}os error",
            r"exiting due to channel error",
        ),
    ),
    _BROWSER(
        name="browser-closed-under-client",
        confidence=0.75,
        types=("playwright.*", "TargetClosedError"),
        message=any_of(
            r"(?:target|page|context|browser|session).{0,40}(?:has been |was )?closed",
            r"browser.{0,20}disconnected",
        ),
    ),
)

_DEVICE = (
    BuiltinRule(
        name="device-not-answering",
        error_type=ErrorType.HARDWARE,
        confidence=0.7,
        recovery="driver_restart",
        strong=True,
        message=any_of(
            r"could not proxy command to (?:the )?remote server",
            r"device (?:offline|not found|disconnected)",
        ),
    ),
    _DRIVER(
        name="device-server-lost",
        confidence=0.75,
        message=any_of(
            r"socket hang ?up",
            r"instrumentation process (?:is not running|crashed|cannot be)",
            r"instrumentation_result",
            r"session is either terminated or not started",
            r"instruments (?:crashed|failed|process)",
            r"webdriveragent.{0,60}(?:not running|failed|unreachable)",
            r"uiautomator2? .{0,40}(?:died|crashed)",
        ),
    ),
    _DRIVER(
        name="client-lost-its-driver",
        confidence=0.75,
        message=any_of(
            r"connection closed while reading from the driver",
            r"driver (?:process )?(?:has )?exited",
            r"driver server has unexpectedly died",
        ),
    ),
)

_PICTURE = (
    _BROWSER(name="no-picture-of-screen", confidence=0.6, types=("ScreenshotException",)),
    BuiltinRule(
        name="no-picture-of-page",
        error_type=ErrorType.BROWSER,
        confidence=0.6,
        message=r"unable to capture screenshot",
    ),
)

# What DevTools answered was no answer to what the driver had asked.
_MISUNDERSTANDING = (
    BuiltinRule(
        name="driver-misreads-browser",
        error_type=ErrorType.DRIVER,
        confidence=0.5,
        message=any_of(
            r"call function result missing",
            r"is missing or empty in \w+\.\w+ response",
            r"unhandled inspector error: .{0,20}-32601\b",
        ),
    ),
    BuiltinRule(
        name="browser-fails-inside",
        error_type=ErrorType.BROWSER,
        confidence=0.5,
        message=r"unhandled inspector error: .{0,20}-32603\b",
    ),
)

RULES = (*_GRAPHICS, *_TAB, *_PROCESS, *_DEVICE, *_PICTURE, *_MISUNDERSTANDING)
