"""What each strategy of the package is, and to which error types it is applicable.

Invariant: a strategy that measured facts rule out for an error type (a bare retry in a
dead session) is not applicable to it, and `APPLICABILITY` says why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pytest_resilience.core.deferral import DEFER
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel as Level

BATCH, PRECISION = "batch", "precision"
WORKER_SWITCH = "worker_switch"
WORKER_RESTART = "worker_restart"
#: Strategies that bring an item to another worker.
WORKER_CHANGES = frozenset({WORKER_SWITCH, WORKER_RESTART})
#: After these the item is not run again where it failed.
LEAVING = WORKER_CHANGES | {DEFER}


class Fit(NamedTuple):
    """What a built-in strategy is, and where it may help.

    Attributes:
        nominal_s: See `RecoveryStrategy`.
        error_types: Error types it is applicable to.
        reason: Why to these and to no others.
    """

    level: Level
    nominal_s: float
    error_types: frozenset[ErrorType]
    reason: str


def _fit(level: Level, nominal_s: float, error_types: Collection[ErrorType], reason: str) -> Fit:
    return Fit(level, nominal_s, frozenset(error_types), reason)


_E = ErrorType
_EVERYTHING = frozenset(ErrorType) - {_E.CIRCUIT_OPEN}
_OURS = {_E.PRODUCT, _E.TEST_CODE, _E.PAGE, _E.UNKNOWN}
_OF_A_WORKER = _EVERYTHING - _OURS - {_E.COORDINATOR}
_TRANSIENT = {_E.PAGE, _E.CONNECTION, _E.NETWORK, _E.TIMEOUT, _E.RESOURCE, _E.TASK}

#: What each strategy is, by name, in the order of levels.
APPLICABILITY: Mapping[str, Fit] = {
    "immediate_retry": _fit(
        Level.BASIC,
        1.0,
        _OURS | _TRANSIENT | {_E.CIRCUIT_OPEN},
        "A bare retry cured none of 76 browser and 19 driver failures, but 23 of 58 on the wire; "
        "a grid that is down is down a moment later, and a connection to a database that is lost "
        "stays in its fixture. Where a circuit refused, its closing was waited for before.",
    ),
    "delayed_retry": _fit(
        Level.ENHANCED,
        2.0,
        _TRANSIENT | {_E.DATABASE, _E.COORDINATOR},
        "What others provide comes back by itself; a browser or driver that died does not.",
    ),
    "extended_timeout_retry": _fit(
        Level.ENHANCED,
        10.0,
        {_E.TIMEOUT},
        "Only what was too slow needs more time; what waits for the product never gets it.",
    ),
    "fresh_window": _fit(
        Level.ENHANCED,
        1.5,
        {_E.BROWSER, _E.RESOURCE},
        "A tab can die alone: its browser then opens another one in 0.2 to 0.4 s.",
    ),
    "browser_restart": _fit(
        Level.COMPONENT,
        3.0,
        _EVERYTHING - {_E.DRIVER},
        "A new session cured 62 of 73 browser failures; a driver that died can start none.",
    ),
    "driver_restart": _fit(
        Level.COMPONENT,
        3.5,
        _EVERYTHING,
        "A new driver cured 19 of 19 driver failures, and costs no more than a new session.",
    ),
    "database_reconnect": _fit(
        Level.COMPONENT,
        1.0,
        {_E.DATABASE},
        "A connection that was lost stays lost until another one is opened.",
    ),
    "node_switch": _fit(
        Level.SYSTEM,
        5.0,
        {_E.WORKER, _E.COORDINATOR, _E.CONNECTION, _E.NETWORK, _E.DRIVER, _E.BROWSER, _E.RESOURCE},
        "Where one grid fails, its nodes included, another one may not.",
    ),
    "batch_reduction": _fit(
        Level.SYSTEM,
        2.5,
        {_E.RESOURCE, _E.BROWSER, _E.GPU, _E.TIMEOUT},
        "What ran short for many at once, or for much at once, is enough for fewer, or for less.",
    ),
    "precision_reduction": _fit(
        Level.SYSTEM,
        2.8,
        {_E.RESOURCE, _E.BROWSER, _E.GPU, _E.TIMEOUT},
        "Numbers of half the size need half the memory; a test must say that they will do.",
    ),
    WORKER_SWITCH: _fit(
        Level.SYSTEM,
        6.0,
        _OF_A_WORKER,
        "What is wrong with one process and its surroundings need not be with another; a grid "
        "is the same for all.",
    ),
    WORKER_RESTART: _fit(
        Level.SYSTEM,
        9.0,
        _OF_A_WORKER,
        "A new process has what an old one has lost or used up; it must import and collect first.",
    ),
    "environment_reset": _fit(
        Level.CRITICAL,
        15.0,
        _EVERYTHING - _OURS,
        "Whatever is left over from earlier can break what comes; never worth it for the product.",
    ),
    "coordinator_recovery": _fit(
        Level.CRITICAL,
        10.0,
        {_E.COORDINATOR, _E.WORKER, _E.CONNECTION},
        "A hub that restarts needs some seconds, and has lost its sessions then.",
    ),
}
