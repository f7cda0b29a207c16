"""Rules about a session that was already lost, and about processes caught dead or stopped.

Invariant: nothing here reads a message except to recognise a session that a driver no
longer knows; what the probes saw decides.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import (
    BARE_SESSION_LOST,
    MISTAKES,
    NO_SUCH_WINDOW,
    SCRIPTS,
    SESSION_LOST,
    WIRE,
)

_DRIVER = partial(BuiltinRule, error_type=ErrorType.DRIVER, absent=MISTAKES, strong=True)
_BROWSER = partial(BuiltinRule, error_type=ErrorType.BROWSER, absent=MISTAKES, strong=True)
_RESOURCE = partial(BuiltinRule, error_type=ErrorType.RESOURCE, absent=MISTAKES, strong=True)
_OWN_END = {ev.LATCH: {ev.CLOSED}}

# What ends a session for good; a failed navigation, say, does not.
_SESSION_KILLERS = (
    ErrorType.BROWSER,
    ErrorType.DRIVER,
    ErrorType.GPU,
    ErrorType.RESOURCE,
    ErrorType.HARDWARE,
    ErrorType.WORKER,
    ErrorType.COORDINATOR,
    ErrorType.SYSTEM,
)

_LATCHED = tuple(
    BuiltinRule(
        name=f"session-failed-before-{member.label}",
        error_type=member,
        confidence=0.9,
        types=SESSION_LOST,
        message=BARE_SESSION_LOST,
        evidence={ev.LATCH: {member.label}},
        strong=True,
    )
    for member in _SESSION_KILLERS
)

_ENDED_BY_TEST = (
    BuiltinRule(
        name="session-ended-by-test",
        error_type=ErrorType.TEST_CODE,
        confidence=0.9,
        types=(*SESSION_LOST, *NO_SUCH_WINDOW, *WIRE, "playwright.*"),
        evidence={ev.LATCH: {ev.CLOSED}},
    ),
    # A driver that was quit is waited for, one that died stays a zombie of ours; the
    # same holds for a browser and its children.
    BuiltinRule(
        name="command-after-quit",
        error_type=ErrorType.TEST_CODE,
        confidence=0.8,
        types=WIRE,
        evidence={
            ev.DRIVER_PROCESS: {ev.GONE},
            ev.BROWSER_PROCESS: {ev.GONE},
            ev.LATCH: {ev.UNASKED},
        },
    ),
    BuiltinRule(
        name="command-after-last-window",
        error_type=ErrorType.TEST_CODE,
        confidence=0.6,
        types=SESSION_LOST,
        message=BARE_SESSION_LOST,
        without="without establishing a connection",
        evidence={
            ev.DRIVER_PROCESS: {ev.ALIVE},
            ev.BROWSER_PROCESS: {ev.GONE},
            ev.RENDERER_PROCESS: {ev.GONE, ev.UNASKED},
            ev.GPU_PROCESS: {ev.GONE, ev.UNASKED},
            ev.LATCH: {ev.UNASKED},
        },
    ),
)

_DEAD_OR_STOPPED = (
    _DRIVER(name="driver-stopped", confidence=0.95, evidence={ev.DRIVER_PROCESS: {ev.STOPPED}}),
    _DRIVER(
        name="driver-died",
        confidence=0.95,
        evidence={ev.DRIVER_PROCESS: {ev.ZOMBIE}},
        unless=_OWN_END,
    ),
    _DRIVER(
        name="driver-gone-browser-left",
        confidence=0.9,
        evidence={
            ev.DRIVER_PROCESS: {ev.GONE},
            ev.BROWSER_PROCESS: {ev.ALIVE, ev.STOPPED, ev.ZOMBIE},
        },
        unless=_OWN_END,
    ),
    _DRIVER(
        name="driver-gone-unbidden",
        confidence=0.8,
        types=WIRE,
        evidence={ev.DRIVER_PROCESS: {ev.GONE}},
        unless=_OWN_END,
    ),
    _BROWSER(name="browser-stopped", confidence=0.95, evidence={ev.BROWSER_PROCESS: {ev.STOPPED}}),
    _RESOURCE(
        name="browser-died-at-start",
        confidence=0.7,
        recovery="driver_restart",
        starting=True,
        evidence={ev.BROWSER_PROCESS: ev.LIFELESS},
    ),
    _RESOURCE(
        name="browser-died-host-short",
        confidence=0.85,
        recovery="browser_restart",
        evidence={ev.BROWSER_PROCESS: ev.LIFELESS, ev.HOST: {ev.SHORT}},
        unless={**_OWN_END, ev.DRIVER_PROCESS: {ev.GONE}},
    ),
    _BROWSER(
        name="browser-died",
        confidence=0.9,
        evidence={ev.BROWSER_PROCESS: ev.LIFELESS},
        unless={**_OWN_END, ev.DRIVER_PROCESS: {ev.GONE}},
    ),
    # A window that is closed leaves the session to the others; here it went along, and the
    # process will follow.
    _BROWSER(
        name="session-died-with-window",
        confidence=0.8,
        types=NO_SUCH_WINDOW,
        evidence={ev.BROWSER_PROCESS: {ev.ALIVE}, ev.SESSION: {ev.DEAD}},
        unless=_OWN_END,
    ),
    _RESOURCE(
        name="tab-crashed-at-start",
        confidence=0.7,
        recovery="driver_restart",
        starting=True,
        evidence={ev.SESSION: {ev.CRASHED}},
    ),
    _RESOURCE(
        name="tab-crashed-host-short",
        confidence=0.85,
        recovery="browser_restart",
        evidence={ev.SESSION: {ev.CRASHED}, ev.HOST: {ev.SHORT}},
    ),
    _BROWSER(
        name="tab-crashed",
        confidence=0.95,
        recovery="fresh_window",
        evidence={ev.SESSION: {ev.CRASHED}},
    ),
    _BROWSER(
        name="tab-crashed-page-probe",
        confidence=0.9,
        recovery="fresh_window",
        evidence={ev.PAGE: {ev.CRASHED}},
    ),
    _BROWSER(
        name="tab-stopped",
        confidence=0.9,
        evidence={
            ev.RENDERER_PROCESS: {ev.STOPPED},
            ev.SESSION: {ev.SILENT, ev.ERROR, ev.UNASKED},
        },
    ),
    # The page computes without end: its own fault, or that of the script sent to it.
    BuiltinRule(
        name="script-never-ends",
        error_type=ErrorType.TEST_CODE,
        confidence=0.7,
        commands=SCRIPTS,
        evidence={ev.SESSION: {ev.SILENT}, ev.RENDERER_PROCESS: {ev.BUSY}},
    ),
    BuiltinRule(
        name="page-never-idle",
        error_type=ErrorType.PAGE,
        confidence=0.7,
        absent=MISTAKES,
        evidence={ev.SESSION: {ev.SILENT}, ev.RENDERER_PROCESS: {ev.BUSY}},
    ),
    BuiltinRule(
        name="gpu-stopped",
        error_type=ErrorType.GPU,
        confidence=0.85,
        absent=MISTAKES,
        strong=True,
        evidence={ev.GPU_PROCESS: {ev.STOPPED}},
        unless={ev.SESSION: {ev.CRASHED}},
    ),
    BuiltinRule(
        name="gpu-died",
        error_type=ErrorType.GPU,
        confidence=0.7,
        types=("AssertionError", "JavascriptException", "TimeoutException", "WebDriverException"),
        absent=(*MISTAKES, *SESSION_LOST, "NoSuchElementException", "InvalidArgumentException"),
        strong=True,
        evidence={ev.GPU_PROCESS: ev.LIFELESS, ev.BROWSER_PROCESS: {ev.ALIVE}},
        unless={ev.SESSION: {ev.SILENT, ev.CRASHED, ev.DEAD}},
    ),
    # The graphics process was replaced, and the page says that it lost its graphics.
    BuiltinRule(
        name="gpu-replaced",
        error_type=ErrorType.GPU,
        confidence=0.7,
        types=("JavascriptException", "WebDriverException"),
        message=r"\b(?:web ?gl|web ?gpu|gpu|graphics)\w*\b|(?:context|device)\w* (?:is |was )?lost",
        evidence={ev.GPU_PROCESS: {ev.ALIVE}},
        details={ev.GPU_PROCESS: "started after the session"},
    ),
)

RULES = (*_LATCHED, *_ENDED_BY_TEST, *_DEAD_OR_STOPPED)
