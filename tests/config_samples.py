"""Values of every type of option, good and bad, and the ways in which they are given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.config import Settings, resolve
from pytest_resilience.options import OPTIONS, Option

ROOTDIR = Path("/project")
INVOCATION_DIR = Path("/project/suite")
SOURCES = ("cli", "env", "ini")

#: Two valid texts of each kind with what they mean, before paths get their base.
SAMPLES: dict[str, tuple[tuple[str, Any], tuple[str, Any]]] = {
    "flag": (("yes", True), ("off", False)),
    "int": (("2", 2), ("3", 3)),
    "seconds": (("2.5", 2.5), ("45", 45.0)),
    "share": (("0.5", 0.5), ("1", 1.0)),
    "faults": (
        ("crash", ("crash",)),
        (" hang:mild@before:3 ,crash\n timeout", ("hang:mild@before:3", "crash", "timeout")),
    ),
    "path": (("out/one.file", Path("out/one.file")), ("two.file", Path("two.file"))),
    "list": (
        ("http://hub:4444", ("http://hub:4444",)),
        (" https://me:pw@a:1/wd/hub , http://b ", ("https://me:pw@a:1/wd/hub", "http://b")),
    ),
}

BAD_NUMBERS: tuple[Any, ...] = (
    *("nan", "inf", "-inf", "1e999", "-1", "abc", "", "1,5"),
    *(math.nan, math.inf, True, []),
)

#: Values of each kind that must be refused, besides numbers just outside the limits.
BAD: dict[str, tuple[Any, ...]] = {
    "flag": ("maybe", "2", "truee", "-1"),
    "choice": ("", "sometimes", "0", True, []),
    "int": (*BAD_NUMBERS, "1.5", 1.5),
    "seconds": BAD_NUMBERS,
    "share": BAD_NUMBERS,
    "faults": ("", " , ", "\n", True, 3, [], [3]),
    "path": ("", "  ", "\t\n", True, 3),
    "list": (
        *("", " , ", "hub:4444", "ftp://hub", "http://", "http://a b", "http://hub:99999"),
        *("http://hub:0", "http://hub,nonsense", True, 3, [], [3]),
    ),
}

#: The names users have in their files: option, flag, ini key, environment variable, default.
PUBLISHED = (
    ("enabled", "--resilience", "resilience", "PYTEST_RESILIENCE", False),
    (
        "retry",
        "--resilience-retry",
        "resilience_retry",
        "PYTEST_RESILIENCE_RETRY",
        "infrastructure",
    ),
    (
        "max_attempts",
        "--resilience-max-attempts",
        "resilience_max_attempts",
        "PYTEST_RESILIENCE_MAX_ATTEMPTS",
        4,
    ),
    (
        "max_level",
        "--resilience-max-level",
        "resilience_max_level",
        "PYTEST_RESILIENCE_MAX_LEVEL",
        5,
    ),
    ("budget", "--resilience-budget", "resilience_budget", "PYTEST_RESILIENCE_BUDGET", None),
    (
        "endpoints",
        "--resilience-endpoints",
        "resilience_endpoints",
        "PYTEST_RESILIENCE_ENDPOINTS",
        None,
    ),
    ("strict", "--resilience-strict", "resilience_strict", "PYTEST_RESILIENCE_STRICT", False),
    (
        "db",
        "--resilience-db",
        "resilience_db",
        "PYTEST_RESILIENCE_DB",
        Path(".resilience/history.duckdb"),
    ),
    (
        "report",
        "--resilience-report",
        "resilience_report",
        "PYTEST_RESILIENCE_REPORT",
        Path(".resilience/report.html"),
    ),
    ("json", "--resilience-json", "resilience_json", "PYTEST_RESILIENCE_JSON", None),
    (
        "inject_failure",
        "--inject-failure",
        "resilience_inject_failure",
        "PYTEST_RESILIENCE_INJECT_FAILURE",
        None,
    ),
    (
        "inject_rate",
        "--inject-rate",
        "resilience_inject_rate",
        "PYTEST_RESILIENCE_INJECT_RATE",
        0.0,
    ),
    (
        "inject_seed",
        "--inject-seed",
        "resilience_inject_seed",
        "PYTEST_RESILIENCE_INJECT_SEED",
        0,
    ),
    (
        "inject_learn",
        "--inject-learn",
        "resilience_inject_learn",
        "PYTEST_RESILIENCE_INJECT_LEARN",
        False,
    ),
)

each_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def named(name: str) -> Option:
    return next(option for option in OPTIONS if option.name == name)


def given_as(option: Option, source: str, raw: Any) -> dict[str, Any]:
    """Return the argument of `resolve` that says `raw` in `source`."""
    return {source: {option.env if source == "env" else option.name: raw}}


def resolved(**sources: Any) -> Settings:
    return resolve(
        sources.get("cli", {}),
        sources.get("env", {}),
        sources.get("ini", {}),
        invocation_dir=INVOCATION_DIR,
        rootdir=ROOTDIR,
    )


def samples(option: Option) -> tuple[tuple[str, Any], tuple[str, Any]]:
    if option.kind == "choice":
        first, second, *_ = option.choices
        return (first, first), (second, second)
    return SAMPLES[option.kind]


def seen_from(source: str, value: Any) -> Any:
    """Return `value` as `source` means it: a path starts at the directory of its source."""
    base = ROOTDIR if source == "ini" else INVOCATION_DIR
    return base / value if isinstance(value, Path) else value


def source_name(option: Option, source: str) -> str:
    return {
        "cli": option.flag,
        "env": f"environment variable {option.env}",
        "ini": f"ini key {option.ini}",
    }[source]
