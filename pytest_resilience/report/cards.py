"""One test in the shape in which the page shows it: as a card, and as a row of the table.

Invariant: plain values only, every text in them cleaned and of bounded length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.report.advice import advice
from pytest_resilience.report.summary import cause, made
from pytest_resilience.report.text import clean, clip, headline, plural, seconds
from pytest_resilience.report.timeline import bar, kind

_OUTCOMES = {"rerun": "failed, then repeated", "passed": "passed", "failed": "failed"}
_KNOWN = {verdict.value for verdict in Verdict}


def card(test: TestResult, limit: int, anchor: str) -> dict[str, Any]:
    """Return the card of `test`, its texts of at most `limit` characters."""
    first = cause(test)
    file, name = _split(test.nodeid)
    return {
        "anchor": anchor,
        "file": file,
        "name": name,
        "verdict": test.verdict if test.verdict in _KNOWN else "skipped",
        "meta": _meta(test),
        "reason": clip(clean(test.reason), limit),
        "why": f"{clean(first.error_type)}: {headline(first.message, 140)}" if first else "",
        "how": _how(test),
        "advice": _advice(test, first),
        "bar": bar(test),
        "attempts": [
            {**_attempt(attempt, limit), "kind": kind(attempt)} for attempt in test.attempts
        ],
    }


def row(test: TestResult, limit: int) -> dict[str, Any]:
    """Return the row of `test`; one clean attempt is left out."""
    attempts = made(test)
    values: dict[str, Any] = {
        "id": clip(clean(test.nodeid), 1000),
        "verdict": clean(test.verdict),
        "worker": clean(test.worker),
        "kept": test.kept,
        "s": round(test.duration_s, 3),
        "reason": clip(clean(test.reason), limit),
        "recovery": round(sum(attempt.recovery_s for attempt in attempts), 3),
    }
    if len(attempts) != 1 or attempts[0].error_type or attempts[0].injected:
        values["attempts"] = [_row_attempt(attempt, limit) for attempt in attempts]
        values["bar"] = [[span.kind, span.x, span.width, span.title] for span in bar(test)]
    return {key: value for key, value in values.items() if value}


def _row_attempt(attempt: Attempt, limit: int) -> dict[str, Any]:
    values = {**_attempt(attempt, limit), "kind": kind(attempt)}
    return {key: value for key, value in values.items() if value}


def _advice(test: TestResult, first: Attempt | None) -> str:
    return advice(first.error_type) if first and test.verdict == Verdict.UNRECOVERED.value else ""


def _meta(test: TestResult) -> str:
    if not test.attempts:
        return "never started"
    tries = plural(len(test.attempts), "attempt")
    kept = " · kept from the run that was resumed" if test.kept else ""
    return f"{tries} · {seconds(test.duration_s)} · {clean(test.worker)}{kept}"


def _how(test: TestResult) -> str:
    if test.verdict != Verdict.RECOVERED.value:
        return ""
    strategies = dict.fromkeys(attempt.strategy for attempt in test.attempts if attempt.strategy)
    spent = seconds(sum(attempt.recovery_s for attempt in test.attempts))
    return f"Recovered by {clean(', then '.join(strategies))} in {spent}" if strategies else ""


def _split(nodeid: str) -> tuple[str, str]:
    file, mark, name = clip(clean(nodeid), 1000).partition("::")
    return (file, name) if mark else ("", file)


def _attempt(attempt: Attempt, limit: int) -> dict[str, Any]:
    level = int(attempt.level)
    return {
        "number": attempt.number,
        "outcome": _OUTCOMES.get(attempt.outcome, clean(attempt.outcome)),
        "phase": clean(attempt.phase),
        "time": seconds(attempt.duration_s),
        "browser": clean(attempt.browser),
        "worker": clean(attempt.worker),
        "error_type": clean(attempt.error_type),
        "infrastructure": bool(attempt.infrastructure),
        "severity": clean(attempt.severity),
        "rule": clean(attempt.rule),
        "confidence": f"{attempt.confidence:.0%}" if attempt.confidence else "",
        "exception": clip(clean(attempt.exception), 300),
        "message": clip(clean(_without_frames(attempt.message)), min(limit, 4000)),
        "evidence": [_probe(probe) for probe in attempt.evidence[:40]],
        "injected": clip(clean(attempt.injected), 300),
        "strategy": clean(attempt.strategy),
        "level": f"level {level}, {_level_name(level)}" if level else "",
        "recovery": seconds(attempt.recovery_s) if attempt.strategy else "",
        "reason": clip(clean(attempt.reason), 1000),
        "chosen": clip(clean(attempt.chosen), 500) if attempt.strategy else "",
        "candidates": [_candidate(weighed) for weighed in attempt.candidates[:20]],
        "traceback": clip(clean(attempt.traceback), limit),
    }


def _level_name(level: int) -> str:
    try:
        return ProgressiveRecoveryLevel(level).name.lower()
    except ValueError:
        return "unknown"


def _candidate(weighed: Mapping[str, Any]) -> dict[str, str]:
    def number(name: str, digits: int) -> str:
        value = weighed.get(name)
        return f"{value:.{digits}f}" if isinstance(value, int | float) else ""

    return {
        "strategy": clip(clean(str(weighed.get("strategy", ""))), 100),
        "p": number("p", 2),
        "cost": number("cost_s", 1),
        "index": number("index", 1),
        "samples": number("samples", 0),
        "score": number("score", 2),
    }


def _probe(probe: Mapping[str, Any]) -> dict[str, str]:
    cost = probe.get("cost_s")
    return {
        "probe": clip(clean(str(probe.get("probe", ""))), 100),
        "answer": clip(clean(str(probe.get("answer", ""))), 100),
        "detail": clip(clean(str(probe.get("detail", ""))), 500),
        "cost": _milliseconds(cost) if isinstance(cost, int | float) else "",
    }


def _milliseconds(cost_s: float) -> str:
    return f"{cost_s * 1000:,.1f} ms" if cost_s >= 0.0001 else "< 0.1 ms"


def _without_frames(message: str) -> str:
    """Leave out the driver's own stack, which is addresses; the traceback keeps it."""
    return message.partition("\nStacktrace:")[0]
