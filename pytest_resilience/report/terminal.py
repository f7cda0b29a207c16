"""The summary as lines for a terminal.

Invariant: every line is one line, free of control characters, and says nothing that
pytest's own summary already said.
"""

from __future__ import annotations

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.evidence import ASSERTED, TEARDOWN
from pytest_resilience.report.advice import advice
from pytest_resilience.report.circuits import BlockedGroup, blocked_groups, circuits
from pytest_resilience.report.concurrency import concurrency_line
from pytest_resilience.report.summary import Summary, cause
from pytest_resilience.report.text import clean, headline, plural, seconds

#: Text and the markup under which pytest's terminal writer shows it.
Line = tuple[str, dict[str, bool]]

#: Recovered tests, and blocked tests of a group, named unless more is asked for with ``-v``.
SHOWN = 30
#: Circuits named.
CIRCUITS = 8

_ALWAYS = ("passed", "recovered", "failed")
#: Exit statuses of pytest of a run with nothing to complain of: all passed, and nothing to run.
_FINE = (0, 5)


def summary_lines(summary: Summary, *, verbosity: int = 0, color: bool = True) -> list[Line]:
    """Return the lines to show at the end of a session.

    :param verbosity: pytest's: below 0 only the counts, and those only if there was
        an incident; from 1 on all recovered tests.
    :param color: False leaves all markup empty.
    """
    if verbosity < 0:
        lines = [_counts(summary)] if summary.had_incident else []
    else:
        lines = [
            _counts(summary),
            *_missing(summary),
            *_kept(summary),
            *_recovered(summary, verbosity),
            *_unrecovered(summary),
            *_blocked(summary, verbosity),
            *_circuits(summary),
            *_browsers(summary),
            *_time(summary),
            *_warnings(summary),
            *_artifacts(summary),
        ]
    return lines if color else [(text, {}) for text, _ in lines]


def _counts(summary: Summary) -> Line:
    counts = summary.counts
    shown = [
        f"{count} {clean(verdict)}"
        for verdict, count in counts.items()
        if count or verdict in _ALWAYS
    ]
    return "verdicts: " + ", ".join(shown), {**_tone(summary), "bold": True}


def _kept(summary: Summary) -> list[Line]:
    kept = sum(test.kept for test in summary.tests)
    if not kept:
        return []
    new = len(summary.tests) - kept
    return [(f"kept: {plural(kept, 'verdict')} of the run that was resumed; {new:,} are new", {})]


def _missing(summary: Summary) -> list[Line]:
    """Say which tests have no verdict, because they did not run or could not be found."""
    facts = summary.session.facts
    return [
        (f"{what}: {headline(str(facts[what]), 200)}", {"red": what == "not collected"})
        for what in ("not collected", "not run")
        if what in facts
    ]


def _tone(summary: Summary) -> dict[str, bool]:
    counts = summary.counts
    if counts["failed"] or counts["unrecovered"] or counts["blocked"]:
        return {"red": True}
    if counts["recovered"]:
        return {"yellow": True}
    # A run that could not collect its tests, or was ended, has no failed test and is not green.
    return {"red": True} if summary.session.exit_status not in _FINE else {"green": True}


def _recovered(summary: Summary, verbosity: int) -> list[Line]:
    tests = summary.recovered
    shown = tests if verbosity > 0 else tests[:SHOWN]
    lines: list[Line] = []
    for test in shown:
        lines += [(_recovered_line(test), {"yellow": True}), *_asserted(test)]
    if len(shown) < len(tests):
        lines.append((f"... and {len(tests) - len(shown)} more recovered (-v names all)", {}))
    return lines


def _asserted(test: TestResult) -> list[Line]:
    """Say what the teardown of an attempt demanded in vain, which then was run again."""
    told = [
        probe.get("detail", "")
        for attempt in test.attempts
        for probe in attempt.evidence
        if (probe.get("probe"), probe.get("answer")) == (TEARDOWN, ASSERTED)
    ]
    return [(f"  a teardown failed {headline(str(text), 200)}", {"yellow": True}) for text in told]


def _recovered_line(test: TestResult) -> str:
    strategies = dict.fromkeys(attempt.strategy for attempt in test.attempts if attempt.strategy)
    spent = seconds(sum(attempt.recovery_s for attempt in test.attempts))
    how = f"{clean(', '.join(strategies))} {spent}, " if strategies else ""
    return (
        f"RECOVERED {_name(test)} - {_why(cause(test))} "
        f"({how}{plural(len(test.attempts), 'attempt')})"
    )


def _unrecovered(summary: Summary) -> list[Line]:
    lines: list[Line] = []
    for test in summary.unrecovered:
        failure = cause(test)
        lines.append(
            (
                f"{test.verdict.upper()} {_name(test)} - {_why(failure)}{_tries(test)}",
                {"red": True},
            )
        )
        if test.reason:
            lines.append((f"  reason: {headline(test.reason, 200)}", {}))
        done = tried(test)
        if done:
            lines.append((f"  tried: {done}", {}))
        todo = advice(failure.error_type) if failure else ""
        if todo:
            lines.append((f"  what to do: {todo}", {}))
    return lines


def tried(test: TestResult) -> str:
    """Return which recoveries ran for `test` and what they took, in order; "" if none did."""
    return ", ".join(
        f"{clean(attempt.strategy)} {seconds(attempt.recovery_s)}"
        for attempt in test.attempts
        if attempt.strategy
    )


def _blocked(summary: Summary, verbosity: int) -> list[Line]:
    groups = blocked_groups(summary)
    lines = [line for group in groups[:SHOWN] for line in _group(group, verbosity)]
    rest = sum(len(group.tests) for group in groups[SHOWN:])
    if rest:
        lines.append((f"... and {rest:,} more blocked for other reasons (see report)", {}))
    return lines


def _group(group: BlockedGroup, verbosity: int) -> list[Line]:
    count = plural(len(group.tests), "test")
    lines: list[Line] = [(f"BLOCKED {count} - {group.reason or 'not run'}", {"red": True})]
    if group.root and group.origin:
        lines.append((f"  root error: {_name(group.origin)} - {_why(group.root)}", {}))
    lines.append((f"  what to do: {group.todo}", {}))
    shown = group.tests if verbosity > 0 else group.tests[:SHOWN]
    lines += [(f"  {_name(test)}", {}) for test in shown]
    if len(shown) < len(group.tests):
        lines.append((f"  ... and {len(group.tests) - len(shown):,} more (-v names all)", {}))
    return lines


def _circuits(summary: Summary) -> list[Line]:
    """Say which circuits were not closed all the time, and what that cost."""
    moved = [circuit for circuit in circuits(summary) if circuit.moved]
    said = [f"{circuit.label} {circuit.story}" for circuit in moved[:CIRCUITS]]
    if len(moved) > CIRCUITS:
        said.append(f"{len(moved) - CIRCUITS:,} more (see report)")
    if summary.circuit_waited_s > 0:
        said.append(f"waited {seconds(summary.circuit_waited_s)}")
    if summary.moved > 0:
        said.append(f"{plural(summary.moved, 'test')} put behind others")
    return [(f"circuits: {', '.join(said)}", {})] if said else []


def _browsers(summary: Summary) -> list[Line]:
    said = concurrency_line(summary)
    return [(f"browsers: {said}", {})] if said else []


def _tries(test: TestResult) -> str:
    return f" ({plural(len(test.attempts), 'attempt')})" if test.attempts else ""


def _name(test: TestResult) -> str:
    return headline(test.nodeid, 400)


def _why(failure: Attempt | None) -> str:
    if failure is None:
        return "not run"
    what = headline(failure.message, 80) or clean(failure.exception)
    injected = f" [injected: {headline(failure.injected, 40)}]" if failure.injected else ""
    return f"{clean(failure.error_type)}: {what}{injected}"


def _time(summary: Summary) -> list[Line]:
    if not (summary.recovery_s or summary.superseded_s):
        return []
    count = len(summary.recoveries)
    return [
        (
            f"time: {seconds(summary.recovery_s)} in "
            f"{plural(count, 'recovery') if count else 'recovery'}, "
            f"{seconds(summary.superseded_s)} in attempts that were repeated",
            {},
        )
    ]


def _warnings(summary: Summary) -> list[Line]:
    warnings = [headline(warning, 400) for warning in summary.warnings]
    if summary.events_lost:
        warnings.append(
            f"{plural(summary.events_lost, 'record')} of this session are missing from the history"
        )
    return [(f"warning: {warning}", {"yellow": True}) for warning in warnings]


def _artifacts(summary: Summary) -> list[Line]:
    return [
        (f"{clean(name)}: {headline(path, 400)}", {}) for name, path in summary.artifacts.items()
    ]
