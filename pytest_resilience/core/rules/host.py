"""Rules about the machine, its devices, workers and databases.

Invariant: an error of the test's own Python code counts here only where its text names
a shortage or a loss that no product can cause.
"""

from __future__ import annotations

from functools import partial

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule
from pytest_resilience.core.rules.words import OTHER_CLIENTS, SERVER_DOWN, SLOWING, TIMEOUTS, any_of

_RESOURCE = partial(BuiltinRule, error_type=ErrorType.RESOURCE)
#: Libraries that speak to databases.
DATABASES = (
    "sqlite3.*",
    "duckdb.*",
    "_duckdb.*",
    "psycopg.*",
    "psycopg2.*",
    "pymysql.*",
    "MySQLdb.*",
    "mysql.*",
    "sqlalchemy.*",
    "oracledb.*",
    "asyncpg.*",
    "pymongo.*",
    "redis.*",
)
_NO_NAMES = r"temporary failure in name resolution|getaddrinfo failed"

RULES = (
    BuiltinRule(
        name="worker-lost",
        error_type=ErrorType.WORKER,
        confidence=0.9,
        recovery="immediate_retry",
        message=any_of(
            r"\bworker ['\"]?gw\d+['\"]? (?:has )?(?:crashed|died|was lost)",
            r"node down: not properly",
        ),
        strong=True,
    ),
    _RESOURCE(
        name="disk-full",
        confidence=0.85,
        recovery="environment_reset",
        types=("builtins.OSError",),
        # With its number: the words alone may be those of the application.
        message=r"\[(?:errno (?:28|122)|winerror (?:112|39))\]",
    ),
    _RESOURCE(
        name="descriptors-or-memory-used-up",
        confidence=0.75,
        types=("builtins.OSError",),
        absent=OTHER_CLIENTS,
        message=r"\[(?:errno (?:24|23|12)|winerror 10055)\]",
    ),
    _RESOURCE(
        name="no-more-processes",
        confidence=0.75,
        types=("builtins.OSError",),
        origin="subprocess.py:_execute_child",
        message=r"errno 11\]|resource temporarily unavailable",
    ),
    _RESOURCE(
        name="no-more-processes-for-driver",
        confidence=0.75,
        starting=True,
        types=("builtins.OSError",),
        message=r"errno 11\]|resource temporarily unavailable",
    ),
    _RESOURCE(
        name="no-more-threads",
        confidence=0.75,
        types=("builtins.RuntimeError",),
        message=r"^can't start new thread$",
    ),
    _RESOURCE(
        name="memory-short",
        confidence=0.75,
        types=("builtins.MemoryError",),
        evidence={ev.HOST: {ev.SHORT}},
        details={ev.HOST: r"\bmemory\b"},
    ),
    _RESOURCE(
        name="device-out-of-memory",
        confidence=0.75,
        types=("builtins.RuntimeError", "torch.*", "tensorflow.*", "jax.*"),
        message=any_of(
            r"(?:cuda|hip|mps|device).{0,30}out of memory",
            r"resource_exhausted",
        ),
    ),
    BuiltinRule(
        name="device-failed",
        error_type=ErrorType.HARDWARE,
        confidence=0.7,
        types=("builtins.RuntimeError", "torch.*", "tensorflow.*", "jax.*"),
        message=any_of(
            r"cuda (?:driver )?(?:error|failure)",
            r"hip error",
            r"no cuda-capable device",
            r"nvml",
        ),
    ),
    BuiltinRule(
        name="database-unavailable",
        error_type=ErrorType.DATABASE,
        confidence=0.7,
        types=DATABASES,
        message=any_of(
            r"could not connect",
            r"connection (?:refused|reset|timed out|to server.{0,200}failed)",
            r"server closed the connection",
            r"terminating connection",
            r"has gone away",
            r"lost connection",
            r"too many (?:clients|connections)",
            r"could not set lock",
            r"database is locked",
            r"database system is (?:starting|shutting)",
            r"error while reading from",
        ),
    ),
    BuiltinRule(
        name="name-service-failed",
        error_type=ErrorType.NETWORK,
        confidence=0.5,
        types=("socket.gaierror", "builtins.OSError"),
        absent=OTHER_CLIENTS,
        message=rf"\[errno -?\d+\] (?:{_NO_NAMES})",
    ),
    BuiltinRule(
        name="slow-host",
        error_type=ErrorType.TIMEOUT,
        confidence=0.7,
        types=TIMEOUTS,
        message=any_of(
            r"from renderer",
            r"navigation timed out",
            r"page load",
            r"navigating to",
            r"\.(?:goto|reload)\b",
        ),
        evidence={ev.HOST: {ev.SHORT}},
        details={ev.HOST: SLOWING},
        unless={ev.TARGET: SERVER_DOWN},
        of_driver=True,
    ),
)
