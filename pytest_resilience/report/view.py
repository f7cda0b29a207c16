"""The summary in the shape in which the page shows it.

Invariant: plain values only, every text in them cleaned and of bounded length, so that
the template and the script of the page have nothing left to decide.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_resilience.core.events import TestResult
from pytest_resilience.core.failures import ErrorType, Verdict
from pytest_resilience.core.hindsight import NEAR_S, NEAR_SHARE
from pytest_resilience.report.advice import advice
from pytest_resilience.report.cards import card, row
from pytest_resilience.report.circuit_view import blocked_cards, circuit_section, root_text
from pytest_resilience.report.circuits import BlockedGroup, blocked_groups, number
from pytest_resilience.report.concurrency import concurrency_section
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import CLIP, clean, clip, plural, seconds
from pytest_resilience.report.timeline import WIDTH, lanes

#: Tests of a section shown in full without JavaScript; the table has them all.
STATIC = 50
#: Test cards of a section that are unfolded from the start.
UNFOLDED = 3
#: Rows of the table of errors.
ROWS = 100
#: Characters of tracebacks and messages in the static part, and in the table's data.
STATIC_TEXT = 400_000
TABLE_TEXT = 3_000_000


def page(summary: Summary) -> dict[str, Any]:
    """Return what the static part of the page shows."""
    parts = (summary.unrecovered, summary.failed, summary.recovered)
    shown = [test for part in parts for test in part[:STATIC]]
    limit = text_limit(shown, STATIC_TEXT)
    wanted = {id(test) for test in shown}
    anchors = {id(t): f"t{n}" for n, t in enumerate(summary.tests) if id(t) in wanted}
    groups = blocked_groups(summary)
    lost, failed, recovered = (
        _section(tests, limit, anchors, unfolded)
        for tests, unfolded in zip(parts, (UNFOLDED, UNFOLDED, 1), strict=True)
    )
    lost["groups"] = blocked_cards(groups, anchors)
    lost["total"] += len(summary.blocked)
    return {
        "title": clean(summary.session.rootdir) or "test session",
        "headline": verdict_sentence(summary),
        "tone": _tone(summary),
        "counts": _counts(summary),
        "numbers": _numbers(summary),
        "warnings": _warnings(summary),
        "lost": lost,
        "failed": failed,
        "recovered": recovered,
        "lanes": lanes(summary),
        "width": WIDTH,
        "span": _some(summary.session.duration_s) or "end",
        "strategies": _strategies(summary),
        "agreement": _agreement(summary),
        "errors": _errors(summary),
        "circuits": circuit_section(summary, groups),
        "concurrency": concurrency_section(summary),
        "facts": _facts(summary),
        "total": len(summary.tests),
    }


def table(summary: Summary) -> dict[str, Any]:
    """Return what the script of the page shows: every test, with its attempts.

    A test with one clean attempt carries none, for there is nothing to tell of it.
    """
    limit = text_limit(summary.tests, TABLE_TEXT)
    group_of = {id(test): group for group in blocked_groups(summary) for test in group.tests}
    return {
        "verdicts": [verdict.value for verdict in Verdict],
        "advice": {member.label: advice(member.label) for member in ErrorType},
        "tests": [
            {**row(test, limit), **_blocked(group_of.get(id(test)))} for test in summary.tests
        ],
    }


def _section(
    tests: list[TestResult], limit: int, anchors: Mapping[int, str], unfolded: int
) -> dict[str, Any]:
    cards = [
        {**card(test, limit, anchors[id(test)]), "open": index < unfolded}
        for index, test in enumerate(tests[:STATIC])
    ]
    return {"tests": cards, "groups": [], "total": len(tests), "more": len(tests) - len(cards)}


def _blocked(group: BlockedGroup | None) -> dict[str, str]:
    """Return what the row of a blocked test says besides."""
    if group is None:
        return {}
    root = root_text(group)
    return {"todo": group.todo, "root": root} if root else {"todo": group.todo}


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
        ("waiting for circuits", _some(summary.circuit_waited_s)),
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


def _agreement(summary: Summary) -> str:
    """Return how good the choices were in a sentence, "" if nothing is known of that."""
    best, cases = (number(summary.agreement.get(name)) for name in ("best", "cases"))
    if best is None or not cases:
        return ""
    return (
        f"The first choice was the best in hindsight in {best:,.0f} of "
        f"{plural(int(cases), 'case')} (a difference of {NEAR_S:g} s or {NEAR_SHARE:.0%} "
        "does not count)."
    )


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
