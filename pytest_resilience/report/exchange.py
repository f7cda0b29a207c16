"""The summary as JSON, for other tools and for rendering again.

Invariant: `from_json(to_json(summary))` is the same summary, but for paths of this
machine and for values JSON cannot carry. The keys of schema 1 are never renamed or
taken away; what the schema does not promise is under ``details``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.exceptions import ReportError
from pytest_resilience.report.files import write_whole
from pytest_resilience.report.summary import SessionInfo, StrategyUse, Summary

SCHEMA = 1

_PROMISED = (
    "number", "outcome", "phase", "duration_s", "error_type", "severity", "exception", "message",
    "rule", "evidence", "injected", "strategy", "level", "recovery_s", "worker",
)  # fmt: skip
_NULLABLE = frozenset(
    {"error_type", "severity", "exception", "message", "rule", "injected", "strategy", "level"}
)

T = TypeVar("T")


def to_json(summary: Summary) -> dict[str, Any]:
    """Return `summary` as JSON-plain values."""
    return {
        "schema": SCHEMA,
        "session": _plain(dataclasses.asdict(summary.session)),
        "counts": summary.counts,
        "tests": [_test(test) for test in summary.tests],
        "circuits": _plain(summary.circuits),
        "concurrency": _plain(summary.concurrency),
        "strategies": [_strategy(use) for use in summary.strategies()],
        "events_lost": summary.events_lost,
        "details": {
            "warnings": list(summary.warnings),
            "recoveries": [_plain(record.to_dict()) for record in summary.recoveries],
            "agreement": _plain(summary.agreement),
            "circuit_waited_s": _plain(summary.circuit_waited_s),
            "moved": summary.moved,
            "tests": [_test_details(test) for test in summary.tests],
        },
    }


def write_json(summary: Summary, path: str | os.PathLike[str]) -> None:
    """Write `summary` to `path`, whole or not at all.

    :raises ReportError: If the file cannot be written.
    """
    text = json.dumps(to_json(summary), ensure_ascii=False, indent=1, allow_nan=False)
    # A lone surrogate, as in an undecodable file name, has no UTF-8 form.
    data = (text + "\n").encode("utf-8", "replace")
    write_whole(path, data, option="--resilience-json")


def from_json(data: Any) -> Summary:
    """Return the summary written by `to_json`.

    :raises ReportError: If `data` is not such a summary, or of a newer schema.
    """
    if not isinstance(data, dict) or "schema" not in data or "tests" not in data:
        raise ReportError(
            "this is not a summary: it has no 'schema' and 'tests'; "
            "give the file that --resilience-json wrote"
        )
    if data["schema"] != SCHEMA:
        raise ReportError(
            f"this summary has schema {data['schema']!r} and only {SCHEMA} is understood here; "
            "use the version of pytest-resilience that wrote it"
        )
    try:
        return _summary(data)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ReportError(
            f"this summary is damaged ({error}); give the file that --resilience-json wrote"
        ) from error


def _summary(data: Mapping[str, Any]) -> Summary:
    details = data.get("details") or {}
    tests = list(data["tests"])
    extras = list(details.get("tests") or [])
    extras += [{}] * (len(tests) - len(extras))
    return Summary(
        session=_read(SessionInfo, data.get("session") or {}),
        tests=[_read_test(test, extra) for test, extra in zip(tests, extras, strict=False)],
        recoveries=[
            _read(RecoveryPerformanceRecord, record) for record in details.get("recoveries") or []
        ],
        circuits=[dict(circuit) for circuit in data.get("circuits") or []],
        concurrency=dict(data.get("concurrency") or {}),
        **_figures(details),
        events_lost=int(data.get("events_lost") or 0),
        warnings=[str(warning) for warning in details.get("warnings") or []],
    )


def _figures(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a summary that stand under ``details`` by their own names."""
    wanted = ("agreement", "circuit_waited_s", "moved")
    return {
        field.name: _typed(field, details[field.name])
        for field in dataclasses.fields(Summary)
        if field.name in wanted and details.get(field.name) is not None
    }


def _test(test: TestResult) -> dict[str, Any]:
    told = {
        "nodeid": test.nodeid,
        "verdict": test.verdict,
        "worker": test.worker,
        "attempts": [_attempt(attempt) for attempt in test.attempts],
    }
    return {**told, "kept": True} if test.kept else told


def _attempt(attempt: Attempt) -> dict[str, Any]:
    values = {key: _plain(getattr(attempt, key)) for key in _PROMISED}
    return {key: None if key in _NULLABLE and not value else value for key, value in values.items()}


def _test_details(test: TestResult) -> dict[str, Any]:
    details = {"started_us": test.started_us, "duration_s": test.duration_s, "reason": test.reason}
    attempts = [_attempt_details(attempt) for attempt in test.attempts]
    return _filled({**_plain(details), "attempts": attempts if any(attempts) else None})


def _attempt_details(attempt: Attempt) -> dict[str, Any]:
    return _filled(
        {key: _plain(value) for key, value in attempt.to_dict().items() if key not in _PROMISED}
    )


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _strategy(use: StrategyUse) -> dict[str, Any]:
    return {
        "strategy": use.strategy,
        "name": use.name,
        "level": use.level or None,
        "executions": use.executions,
        "successes": use.successes,
        "mean_s": round(use.mean_s, 3),
        "total_s": round(use.total_s, 3),
        "by_error_type": {
            error_type: {"executions": executions, "successes": successes}
            for error_type, (executions, successes) in use.by_error_type.items()
        },
    }


def _read_test(data: Mapping[str, Any], extra: Mapping[str, Any]) -> TestResult:
    attempts = list(data.get("attempts") or [])
    extras = list(extra.get("attempts") or [])
    extras += [{}] * (len(attempts) - len(extras))
    test: TestResult = _read(TestResult, {**extra, **data, "attempts": None})
    test.attempts = [
        _read(Attempt, {**more, **attempt}) for attempt, more in zip(attempts, extras, strict=False)
    ]
    return test


def _read(cls: type[T], data: Mapping[str, Any]) -> T:
    """Return an instance of the dataclass `cls`, each value made the type of its default."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        value = data.get(field.name)
        if value is not None:
            values[field.name] = _typed(field, value)
    return cls(**values)


def _typed(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type).partition("[")[0]
    if kind == "tuple":
        return tuple(dict(item) for item in value)
    readers = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
    typed = readers.get(kind, lambda same: same)(value)
    if isinstance(typed, float) and not math.isfinite(typed):
        raise ValueError(f"{field.name} is {typed}")
    return typed


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
