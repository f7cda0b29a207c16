"""Time as bars: one test's attempts, and the session by workers and by circuits.

Invariant: a picture has a bounded number of spans, whatever the number of tests, and
an incident is never hidden under the passing tests around it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.report.circuits import Circuit
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import clean, seconds

#: Width of a picture in its own units.
WIDTH = 1000
#: Distinguishable moments of a session.
SLOTS = 500
#: Workers drawn; more would be a carpet.
LANES = 32

# From what may be painted over to what must be seen.
_ORDER = ("skipped", "passed", "recovery", "rerun", "blocked", "failed", "lost")
_STATES = ("unknown", *map(str, (
    CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN, CircuitState.ISOLATED
)))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a bar: from `x`, `width` wide, both in units of `WIDTH`."""

    kind: str
    x: float
    width: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """What one worker did over the session."""

    worker: str
    spans: list[Span]


def kind(attempt: Attempt) -> str:
    """Return what an attempt is painted as: its outcome, ``lost`` if infrastructure won."""
    if attempt.outcome == "failed" and attempt.infrastructure:
        return "lost"
    return attempt.outcome if attempt.outcome in _ORDER else "skipped"


def bar(test: TestResult) -> list[Span]:
    """Return the attempts of `test` and the recoveries after them, to scale."""
    pieces = list(_pieces(test))
    total = sum(length for _, length, _ in pieces)
    spans: list[Span] = []
    x = 0.0
    for name, length, title in pieces:
        width = length / total * WIDTH if total else 0.0
        spans.append(Span(name, round(x, 1), round(width, 1), title))
        x += width
    return [span for span in spans if span.width]


def _pieces(test: TestResult) -> Iterator[tuple[str, float, str]]:
    for attempt in test.attempts:
        yield kind(attempt), max(attempt.duration_s, 0.0), f"attempt {attempt.number}"
        if attempt.recovery_s > 0:
            yield "recovery", attempt.recovery_s, clean(attempt.strategy)


def lanes(summary: Summary) -> list[Lane]:
    """Return one lane for each worker, none if times are not known."""
    start, end = _limits(summary)
    if end <= start:
        return []
    slots: dict[str, list[int]] = {}
    for worker, name, begin, length in _moments(summary):
        lane = slots.setdefault(worker, [-1] * SLOTS)
        first = _slot(begin, start, end)
        for index in range(first, max(first, _slot(begin + length, start, end)) + 1):
            lane[index] = max(lane[index], _ORDER.index(name))
    return [
        Lane(clean(worker), _spans(slots[worker])) for worker in sorted(slots, key=_natural)[:LANES]
    ]


def states(circuit: Circuit, span_s: float) -> list[Span]:
    """Return where `circuit` stood, from the session's start to `span_s` seconds later.

    Where a moment saw more than one state, the one that holds tests back is shown.
    """
    if span_s <= 0:
        return []
    stays = list(_stays(circuit, span_s))
    slots = [-1] * SLOTS
    for index, (state, begin, end) in enumerate(stays):
        for slot in range(_slot(begin, 0.0, span_s), _slot(end, 0.0, span_s) + 1):
            if slots[slot] < 0 or _STATES.index(stays[slots[slot]][0]) < _STATES.index(state):
                slots[slot] = index
    spans: list[Span] = []
    x, unit = 0.0, WIDTH / SLOTS
    for state, run in itertools.groupby(slots, key=lambda index: stays[index][0]):
        same = list(run)
        begin, end = stays[same[0]][1], stays[same[-1]][2]
        title = f"{state}, {seconds(begin)} to {seconds(end)}"
        spans.append(Span(state, round(x, 1), round(len(same) * unit, 1), title))
        x += len(same) * unit
    return spans


def _stays(circuit: Circuit, span_s: float) -> Iterator[tuple[str, float, float]]:
    """Yield each state that `circuit` was in, with when it came and went."""
    state = circuit.moves[0].from_state if circuit.moves else circuit.state
    begin = 0.0
    for move in circuit.moves:
        yield state, begin, move.at_s
        state, begin = move.to_state, move.at_s
    yield state, begin, max(begin, span_s)


def _limits(summary: Summary) -> tuple[float, float]:
    moments = list(_moments(summary))
    starts = [begin for _, _, begin, _ in moments]
    ends = [begin + length for _, _, begin, length in moments]
    return min(starts, default=0.0), max(ends, default=0.0)


def _moments(summary: Summary) -> Iterator[tuple[str, str, float, float]]:
    """Yield worker, kind, start and length in seconds of attempts and recoveries."""
    for test in summary.tests:
        # What was kept was run by the workers of another session.
        for attempt in () if test.kept else test.attempts:
            if attempt.started_us > 0:
                begin = attempt.started_us / 1e6
                length = max(attempt.duration_s, 0.0)
                blocked = test.verdict == Verdict.BLOCKED.value
                yield attempt.worker, "blocked" if blocked else kind(attempt), begin, length
                if attempt.recovery_s > 0:
                    yield attempt.worker, "recovery", begin + length, attempt.recovery_s


def _slot(moment: float, start: float, end: float) -> int:
    return min(SLOTS - 1, max(0, int((moment - start) / (end - start) * SLOTS)))


def _spans(slots: Iterable[int]) -> list[Span]:
    unit = WIDTH / SLOTS
    spans: list[Span] = []
    for index, value in enumerate([*slots]):
        if value < 0:
            continue
        x, name = index * unit, _ORDER[value]
        last = spans[-1] if spans else None
        if last and last.kind == name and last.x + last.width == x:
            spans[-1] = Span(name, last.x, last.width + unit)
        else:
            spans.append(Span(name, x, unit))
    return spans


def _natural(worker: str) -> tuple[str, int]:
    name = worker.rstrip("0123456789")
    digits = worker[len(name) :]
    return name, int(digits[:9]) if digits.isdecimal() else -1
