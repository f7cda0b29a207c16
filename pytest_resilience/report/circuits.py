"""What the circuits of a session did, and which tests they kept from running.

Invariant: whatever the summary holds of a circuit, what is read of it here is typed, finite
and of bounded length; and every blocked test is in exactly one group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.report.advice import advice
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import headline

#: What is counted of a circuit, in the order in which it is shown.
FIGURES = ("successes", "failures", "ignored", "refused", "stale")
#: Characters of a name, and of a reason.
NAME, REASON = 200, 400

_STATES = {state.value: state.value for state in CircuitState}
_CLOSED, _OPEN = CircuitState.CLOSED.value, CircuitState.OPEN.value
# Far above any count or time of a session, and far below what cannot be computed with.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a circuit's state.

    Attributes:
        at_s: Seconds since the session's start.
        worker: Who saw it.
    """

    at_s: float
    from_state: str
    to_state: str
    reason: str
    worker: str


@dataclass(frozen=True, slots=True)
class Circuit:
    """One circuit, at the end of the session.

    Attributes:
        state: Value of a `CircuitState`, "unknown" if it is none.
        health: 0 to 100, None if not known.
        figures: Those of `FIGURES` that are known.
        opened: How often it opened in the session.
        waited_s: Seconds it was waited for.
        moves: In order of time.
    """

    name: str
    kind: str
    state: str
    reason: str
    health: float | None
    figures: dict[str, int]
    opened: int
    waited_s: float
    moves: tuple[Move, ...]

    @property
    def label(self) -> str:
        """What people call it: kind and name."""
        return _label(self.kind, self.name)

    @property
    def moved(self) -> bool:
        """Whether it was ever anything but closed."""
        return bool(self.moves or self.opened or self.state != _CLOSED)

    @property
    def story(self) -> str:
        """What it did, in a few words; "" if it was closed all the time."""
        if self.opened:
            told = "open once" if self.opened == 1 else f"open {self.opened:,} times"
        else:
            passed = [state for move in self.moves for state in (move.from_state, move.to_state)]
            told = next((state for state in (*passed, self.state) if state != _CLOSED), "")
        at_the_end = self.state not in (_CLOSED, told)
        return f"{told} ({self.state} at the end)" if at_the_end else told


@dataclass(frozen=True, slots=True)
class BlockedGroup:
    """The tests that one circuit kept from running.

    Attributes:
        label: Of the circuit, "" if it is not known which it was.
        reason: Why they were not run.
        root: The failed attempt that opened the circuit, None if it is not known.
        origin: The test of that attempt.
    """

    label: str
    reason: str
    tests: list[TestResult]
    root: Attempt | None = None
    origin: TestResult | None = None

    @property
    def todo(self) -> str:
        """What a person should do."""
        known = advice(self.root.error_type) if self.root else ""
        if known:
            return f"{known} Then run the blocked tests again."
        return advice(ErrorType.CIRCUIT_OPEN.label)


def circuits(summary: Summary) -> list[Circuit]:
    """Return all circuits, those that were ever anything but closed first."""
    return sorted(map(_circuit, summary.circuits), key=lambda circuit: not circuit.moved)


def blocked_groups(summary: Summary) -> list[BlockedGroup]:
    """Return the blocked tests by the circuit that blocked them, the largest group first."""
    labels = _labels(summary)
    keys: dict[str, tuple[str, str]] = {}
    groups: dict[tuple[str, str], list[TestResult]] = {}
    for test in summary.blocked:
        reason = _reason(test)
        if reason not in keys:
            keys[reason] = _key(reason, labels)
        groups.setdefault(keys[reason], []).append(test)
    errors = _errors(summary) if groups else {}
    found = [_group(label, tests, errors) for (label, _), tests in groups.items()]
    return sorted(found, key=lambda group: -len(group.tests))


def number(value: Any, least: float = 0.0) -> float | None:
    """Return `value` if it is a number that a count or a time can be, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if least <= value <= _LARGEST else None


def _circuit(data: Mapping[str, Any]) -> Circuit:
    moves = _moves(data.get("transitions"))
    opened = number(data.get("opened"))
    figures = {name: number(data.get(name)) for name in FIGURES}
    health = number(data.get("health"))
    return Circuit(
        name=_text(data.get("name"), NAME) or "unnamed",
        kind=_text(data.get("kind"), NAME),
        state=_state(data.get("state")),
        reason=_text(data.get("reason"), REASON),
        health=None if health is None else min(health, 100.0),
        figures={name: int(value) for name, value in figures.items() if value is not None},
        opened=_openings(moves) if opened is None else int(opened),
        waited_s=number(data.get("waited_s")) or 0.0,
        moves=moves,
    )


def _label(kind: str, name: str) -> str:
    return f"{kind} {name}" if kind else name


def _moves(data: Any) -> tuple[Move, ...]:
    """Return the changes in `data` of which it is known when they were."""
    changes = data if isinstance(data, list | tuple) else ()
    moves = []
    for change in changes:
        at_s = number(change.get("at_s"), -_LARGEST) if isinstance(change, Mapping) else None
        if at_s is not None:
            moves.append(
                Move(
                    # Where processes share circuits, one may have moved before the session.
                    at_s=max(at_s, 0.0),
                    from_state=_state(change.get("from_state")),
                    to_state=_state(change.get("to_state")),
                    reason=_text(change.get("reason"), REASON),
                    worker=_text(change.get("worker"), NAME),
                )
            )
    return tuple(sorted(moves, key=lambda move: move.at_s))


def _openings(moves: tuple[Move, ...]) -> int:
    return sum(move.to_state == _OPEN for move in moves)


def _state(value: Any) -> str:
    return _STATES.get(value, "unknown") if isinstance(value, str) else "unknown"


def _text(value: Any, limit: int) -> str:
    return headline(value, limit) if isinstance(value, str) else ""


def _labels(summary: Summary) -> dict[str, str]:
    """Return what a reason may begin with, the longest first, and whose label that is."""
    forms = {}
    for data in summary.circuits:
        kind, name = _text(data.get("kind"), NAME), _text(data.get("name"), NAME)
        for form in (_label(kind, name), f"{kind}:{name}") if name else ():
            forms[f"{form} "] = _label(kind, name)
    return dict(sorted(forms.items(), key=lambda form: -len(form[0])))


def _key(reason: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the label of the circuit that `reason` tells of, or else what tells it apart."""
    label = next((label for form, label in labels.items() if reason.startswith(form)), "")
    # Of a circuit that is not known, the reason names it before it goes into detail.
    return (label, "") if label else ("", reason.partition(": ")[0])


def _reason(test: TestResult) -> str:
    told = (text for attempt in test.attempts for text in (attempt.reason, attempt.message))
    return headline(test.reason or next(filter(None, told), ""), REASON)


def _errors(summary: Summary) -> dict[str, tuple[TestResult, Attempt]]:
    return {
        attempt.error_id: (test, attempt)
        for test, attempt in summary.made()
        if attempt.error_id and attempt.error_type
    }


def _group(
    label: str, tests: list[TestResult], errors: Mapping[str, tuple[TestResult, Attempt]]
) -> BlockedGroup:
    reason = Counter(map(_reason, tests)).most_common(1)[0][0]
    # Each worker knows its own error of the outage; the one that most tests name is told.
    roots = Counter(
        attempt.root_error_id
        for test in tests
        for attempt in test.attempts
        if attempt.root_error_id in errors
    )
    if not roots:
        return BlockedGroup(label, reason, tests)
    origin, root = errors[roots.most_common(1)[0][0]]
    return BlockedGroup(label, reason, tests, root, origin)
