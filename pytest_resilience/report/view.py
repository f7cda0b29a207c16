"""The summary in the shape in which the page shows it.

Invariant: plain values only, every text in them cleaned and of bounded length, so that
the template and the script of the page have nothing left to decide.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import ErrorType, Verdict
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.report.advice import advice
from pytest_resilience.report.summary import Summary, cause
from pytest_resilience.report.text import CLIP, clean, clip, headline, plural, seconds
from pytest_resilience.report.timeline import WIDTH, bar, kind, lanes

#: Tests of a section shown in full without JavaScript; the table has them all.
STATIC = 50
#: Test cards of a section that are unfolded from the start.
UNFOLDED = 3
#: Rows of the tables of errors and circuits.
ROWS = 100
#: Characters of tracebacks and messages in the static part, and in the table's data.
STATIC_TEXT = 400_000
TABLE_TEXT = 3_000_000

_OUTCOMES = {"rerun": "failed, then repeated", "passed": "passed", "failed": "failed"}


def _without_frames(message: str) -> str:
    """Leave out the driver's own stack, which is addresses; the traceback keeps it."""
    return message.partition("\nStacktrace:")[0]


def page(summary: Summary) -> dict[str, Any]:
    """Return what the static part of the page shows."""
    lost = [*summary.unrecovered, *summary.blocked]
    shown = [*lost[:STATIC], *summary.failed[:STATIC], *summary.recovered[:STATIC]]
    limit = text_limit(shown, STATIC_TEXT)
    ids = {id(test): f"t{index}" for index, test in enumerate(summary.tests)}

    def section(tests: list[TestResult], unfolded: int) -> dict[str, Any]:
        cards = [_card(test, limit, ids[id(test)]) for test in tests[:STATIC]]
        for index, card in enumerate(cards):
            card["open"] = index < unfolded
        return {"tests": cards, "total": len(tests), "more": len(tests) - len(cards)}

    return {
        "title": clean(summary.session.rootdir) or "test session",
        "headline": verdict_sentence(summary),
        "tone": _tone(summary),
        "counts": _counts(summary),
        "numbers": _numbers(summary),
        "warnings": _warnings(summary),
        "lost": section(lost, UNFOLDED),
        "failed": section(summary.failed, UNFOLDED),
        "recovered": section(summary.recovered, 1),
        "lanes": lanes(summary),
        "width": WIDTH,
        "span": _some(summary.session.duration_s) or "end",
        "strategies": _strategies(summary),
        "errors": _errors(summary),
        "circuits": _circuits(summary),
        "facts": _facts(summary),
        "total": len(summary.tests),
    }


def table(summary: Summary) -> dict[str, Any]:
    """Return what the script of the page shows: every test, with its attempts.

    A test with one clean attempt carries none, for there is nothing to tell of it.
    """
    limit = text_limit(summary.tests, TABLE_TEXT)
    return {
        "verdicts": [verdict.value for verdict in Verdict],
        "advice": {member.label: advice(member.label) for member in ErrorType},
        "tests": [_row(test, limit) for test in summary.tests],
    }


def text_limit(tests: Iterable[TestResult], budget: int) -> int:
    """Return the characters each text may have so that all keep about within `budget`."""
    texts = sum(bool(attempt.traceback) for test in tests for attempt in test.attempts)
    return min(CLIP, max(600, budget // max(texts, 1)))


def verdict_sentence(summary: Summary) -> str:
    """Return the outcome of the session in one or two sentences."""
    total = len(summary.tests)
    if not total:
        return "No test was run."
    said = []
    if summary.failed:
        said.append(f"{plural(len(summary.failed), 'test')} failed in product or test code.")
    lost = len(summary.unrecovered) + len(summary.blocked)
    if lost:
        said.append(
            f"{plural(lost, 'test')} could not be judged: "
            "the infrastructure failed beyond recovery."
        )
    if summary.recovered:
        said.append(
            f"{plural(len(summary.recovered), 'test')} met an infrastructure failure, "
            "recovered and passed."
        )
    return " ".join(said) or f"{plural(total, 'test')}, and the infrastructure held."


def _tone(summary: Summary) -> str:
    if summary.failed:
        return "failed"
    if summary.unrecovered or summary.blocked:
        return "unrecovered"
    return "recovered" if summary.recovered else "passed"


def _counts(summary: Summary) -> list[dict[str, Any]]:
    always = {"passed", "recovered", "failed", "unrecovered"}
    total = max(len(summary.tests), 1)
    counts = []
    x = 0.0
    for verdict, count in summary.counts.items():
        width = count / total * WIDTH
        if count or verdict in always:
            counts.append(
                {
                    "verdict": clean(verdict),
                    "count": count,
                    "x": round(x, 1),
                    "width": round(width, 1),
                }
            )
        x += width
    return counts


def _numbers(summary: Summary) -> list[tuple[str, str]]:
    session = summary.session
    numbers = [
        ("started", _moment(session.started_us)),
        ("took", _some(session.duration_s)),
        ("attempts", f"{summary.attempts:,}"),
        ("in recovery", _some(summary.recovery_s)),
        ("in repeated attempts", _some(summary.superseded_s)),
        ("workers", str(len(session.workers)) if len(session.workers) > 1 else ""),
    ]
    return [(name, value) for name, value in numbers if value]


def _some(duration: float) -> str:
    return seconds(duration) if duration else ""


def _moment(microseconds: int) -> str:
    if not 0 < microseconds < 32_000_000_000_000_000:
        return ""
    moment = datetime.datetime.fromtimestamp(microseconds / 1e6, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _warnings(summary: Summary) -> list[str]:
    warnings = [clip(clean(warning), 1000) for warning in summary.warnings]
    if summary.events_lost:
        warnings.append(
            f"{plural(summary.events_lost, 'record')} of this session are missing from this page."
        )
    return warnings


def _card(test: TestResult, limit: int, anchor: str) -> dict[str, Any]:
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


_KNOWN = {verdict.value for verdict in Verdict}


def _advice(test: TestResult, first: Attempt | None) -> str:
    if test.verdict not in (Verdict.UNRECOVERED.value, Verdict.BLOCKED.value):
        return ""
    return advice(first.error_type if first else ErrorType.CIRCUIT_OPEN.label)


def _meta(test: TestResult) -> str:
    if not test.attempts:
        return "never started"
    tries = plural(len(test.attempts), "attempt")
    return f"{tries} · {seconds(test.duration_s)} · {clean(test.worker)}"


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


def _row(test: TestResult, limit: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": clip(clean(test.nodeid), 1000),
        "verdict": clean(test.verdict),
        "worker": clean(test.worker),
        "s": round(test.duration_s, 3),
        "reason": clip(clean(test.reason), limit),
        "recovery": round(sum(attempt.recovery_s for attempt in test.attempts), 3),
    }
    if len(test.attempts) != 1 or test.attempts[0].error_type or test.attempts[0].injected:
        row["attempts"] = [_row_attempt(attempt, limit) for attempt in test.attempts]
        row["bar"] = [[span.kind, span.x, span.width, span.title] for span in bar(test)]
    return {key: value for key, value in row.items() if value}


def _row_attempt(attempt: Attempt, limit: int) -> dict[str, Any]:
    values = {**_attempt(attempt, limit), "kind": kind(attempt)}
    return {key: value for key, value in values.items() if value}


def _strategies(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "strategy": clean(use.strategy),
            "level": use.level or "",
            "executions": use.executions,
            "successes": use.successes,
            "mean": seconds(use.mean_s),
            "total": seconds(use.total_s),
            "by_type": [
                f"{clean(label)} {successes} of {executions}"
                for label, (executions, successes) in use.by_error_type.items()
            ],
        }
        for use in summary.strategies()
    ]


def _errors(summary: Summary) -> dict[str, Any]:
    groups = summary.error_groups()
    rows = [
        {
            "error_type": clean(group.error_type),
            "infrastructure": group.infrastructure,
            "rule": clean(group.rule),
            "message": group.message if group.count > 1 else group.example,
            "count": group.count,
            "injected": group.injected,
            "tests": [clip(clean(nodeid), 300) for nodeid in group.tests[:5]],
            "touched": len(group.tests),
            "recovered": group.recovered,
        }
        for group in groups[:ROWS]
    ]
    return {"rows": rows, "more": len(groups) - len(rows)}


def _circuits(summary: Summary) -> list[dict[str, str]]:
    return [
        {
            "name": clip(clean(str(circuit.get("name", "unnamed"))), 200),
            "state": clean(str(circuit.get("state", "unknown"))),
            "rest": _listed(
                {key: value for key, value in circuit.items() if key not in ("name", "state")}
            ),
        }
        for circuit in summary.circuits[:ROWS]
    ]


def _facts(summary: Summary) -> list[tuple[str, str]]:
    session = summary.session
    facts = {
        "session": session.session_id,
        "exit status": session.exit_status,
        "pytest-resilience": session.plugin_version,
        "pytest": session.pytest_version,
        "Python": session.python_version,
        "platform": session.platform,
        "workers": ", ".join(map(str, session.workers)),
        **session.options,
        **session.facts,
    }
    return [
        (clip(clean(str(name)), 100), _shown(value))
        for name, value in facts.items()
        if value not in ("", None)
    ]


def _listed(values: Mapping[str, Any]) -> str:
    return clip(
        ", ".join(f"{clean(str(key))}: {_shown(item)}" for key, item in values.items()), 600
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return _listed(value)
    if isinstance(value, list | tuple):
        return clip(", ".join(_shown(item) for item in value), 600)
    if isinstance(value, float):
        return f"{value:.6g}"
    return clip(clean(str(value)), 600)
