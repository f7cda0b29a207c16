"""Rules about Selenium Grid and its kin: hub, queue, nodes, and hosted grids.

Invariant: "no session for you" is held against the test only where what was missing is a
node of the wanted kind: none offers it, or a slot was free and not known to fit.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import (
    BARE_SESSION_LOST,
    NAVIGATION,
    SCRIPTS,
    SESSION_LOST,
    WIRE,
    any_of,
)

_HUB = partial(BuiltinRule, error_type=ErrorType.COORDINATOR, strong=True)
_NODE = partial(BuiltinRule, error_type=ErrorType.WORKER, strong=True)
_TEST_CODE = partial(BuiltinRule, error_type=ErrorType.TEST_CODE)

_WAITED = r"new session request timed out|timed out creating session"
_NO_SESSION = any_of(
    _WAITED,
    r"no nodes support the capabilities",
)
_QUEUE = any_of(
    _WAITED,
    r"empty pool of vm",
    r"request timed out waiting for a node",
    r"could not start a new session.{0,80}timeout",
    r"unable to execute request: .{0,60}timeout",
    r"httptimeoutexception",
    r"(?:all|maximum|limit).{0,30}parallel (?:tests|sessions)",
    r"new session queue",
    r"session request.{0,40}(?:rejected|cleared|queue)",
)

_NEW_SESSION = (
    _TEST_CODE(
        name="no-node-of-that-kind",
        confidence=0.6,
        message=_NO_SESSION,
        evidence={ev.GRID: {ev.OK, ev.MISFIT}},
    ),
    _HUB(
        name="grid-without-nodes",
        confidence=0.9,
        message=_NO_SESSION,
        evidence={ev.GRID: {ev.EMPTY}},
    ),
    _HUB(
        name="grid-full",
        confidence=0.9,
        recovery="delayed_retry",
        message=_NO_SESSION,
        evidence={ev.GRID: {ev.BUSY}},
    ),
    # It had a node for it and let the request wait: the slot came free, or the start was too slow.
    _HUB(
        name="grid-too-slow",
        confidence=0.7,
        recovery="delayed_retry",
        message=_WAITED,
        evidence={ev.GRID: {ev.FREE}},
    ),
    _TEST_CODE(
        name="no-node-supports-capabilities",
        confidence=0.5,
        message=r"no nodes support the capabilities",
    ),
    _HUB(name="grid-queue-timed-out", confidence=0.85, message=_QUEUE),
)

_LOST_DRIVER = partial(
    BuiltinRule, error_type=ErrorType.DRIVER, recovery="node_switch", strong=True
)

_LEGS = (
    _LOST_DRIVER(
        name="driver-refuses-node",
        confidence=0.95,
        message=r"(?:existing session: |^)(?:connection error|failed to execute request) \(",
        evidence={ev.GRID: {ev.OK}, ev.DRIVER_STATUS: {ev.REFUSED}},
    ),
    _NODE(
        name="node-lost-with-session",
        confidence=0.95,
        message=r"unable to execute request for an existing session",
    ),
    _NODE(
        name="node-unreachable-for-hub",
        confidence=0.9,
        message=any_of(
            r"(?:connection error|failed to execute request).{0,200}/se/grid/node",
            r"forwarding (?:the new session|to the node)",
            r"forwarding_to_node_failed",
        ),
    ),
    _LOST_DRIVER(
        name="node-lost-its-driver",
        confidence=0.85,
        message=r"(?:connection error|failed to execute request) \(?(?:get|post|delete|put) http",
    ),
    _HUB(
        name="browser-server-unreachable",
        confidence=0.7,
        types=("playwright.*",),
        message=r"browser_?type\.connect\w*: .{0,200}(?:econn\w+|websocket|timeout|socket)",
    ),
    _HUB(
        name="grid-error-inside",
        confidence=0.6,
        message=any_of(
            r"\bjava\.(?:net|io|nio)\.[\w.]*(?:exception|error)\b",
            r"cannot forward the request",
            r"error forwarding the (?:new session|request)\b",
            r"could not start browser / emulator",
            r"could not find a (?:free )?node",
        ),
    ),
    _HUB(
        name="grid-gave-up-on-command",
        confidence=0.8,
        types=("TimeoutException", "TimeoutError", "WebDriverException", "WebDriverError"),
        message=any_of(
            r"timeout when executing request",
            r"httptimeoutexception",
            r"java\.util\.concurrent\.timeout",
        ),
    ),
)

_SESSION = (
    _TEST_CODE(
        name="session-quit-before",
        confidence=0.85,
        message=r"unable to find session.{0,300}reason: .{0,40}quit",
    ),
    _NODE(
        name="node-took-session-along",
        confidence=0.95,
        message=r"unable to find session.{0,300}reason: .{0,40}node (?:was|is|has)",
    ),
    _HUB(
        name="grid-lost-session",
        confidence=0.8,
        message=any_of(
            r"unable to find session",
            r"cannot find session\b",
            r"session not started or terminated",
            r"^error:? job is not in progress",
            r"session timed out or not found",
            r"session .{0,80}was terminated due to",
            r"not among the last \d+ terminated",
            r"ended after .{0,40}inactivity",
            r"session timed out due to",
            r"did not see a new command",
            r"\bnosuchsession(?:exception)?\b",
            r"exceeded maximum duration",
            r"infrastructure error",
            r"maximum session duration",
        ),
    ),
    _NODE(
        name="session-lost-with-node",
        confidence=0.8,
        types=SESSION_LOST,
        message=BARE_SESSION_LOST,
        evidence={ev.GRID: {ev.EMPTY, ev.DEAD}},
    ),
)

_WIRE = (
    _HUB(
        name="hub-unreachable",
        confidence=0.9,
        types=WIRE,
        evidence={ev.GRID: {ev.REFUSED, ev.SILENT, ev.ERROR}},
    ),
    _NODE(
        name="node-silent",
        confidence=0.8,
        types=WIRE,
        evidence={ev.GRID: {ev.EMPTY, ev.DEAD}},
    ),
    _TEST_CODE(
        name="script-outlived-client-on-grid",
        confidence=0.5,
        types=WIRE,
        message=r"read timed out",
        commands=SCRIPTS,
        evidence={ev.GRID: {ev.OK, ev.BUSY}},
    ),
    BuiltinRule(
        name="page-outlived-client-on-grid",
        error_type=ErrorType.NETWORK,
        confidence=0.4,
        types=WIRE,
        message=r"read timed out",
        commands=NAVIGATION,
        evidence={ev.GRID: {ev.OK, ev.BUSY}},
    ),
    _HUB(
        name="hub-silent-meanwhile",
        confidence=0.7,
        types=WIRE,
        message=r"read timed out",
        evidence={ev.GRID: {ev.OK, ev.BUSY}},
    ),
)

RULES = (*_NEW_SESSION, *_LEGS, *_SESSION, *_WIRE)
