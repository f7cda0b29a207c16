"""The one analysis of a session, from which every report is rendered.

Invariant: everything shown anywhere is computed here, once, from the recorded
results; the analysis keeps no state and changes nothing it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.failures import ErrorType, Verdict
from pytest_resilience.report.text import headline

# Addresses, ids, ports, pids and times: what differs between two cases of one error.
_VARYING = re.compile(
    r"0x[0-9a-f]+|\b(?=[a-f]*\d)[0-9a-f]{6,}(?:-[0-9a-f]{4,})*\b|\d+(?:[.:]\d+)*", re.I
)


@dataclass(slots=True)
class SessionInfo:
    """One run of pytest.

    Attributes:
        started_us: Microseconds since the epoch, UTC; so is `finished_us`. 0 if unknown.
        exit_status: pytest's exit code.
        rootdir: Name of the root directory, without the way to it.
        workers: xdist worker ids, ``["main"]`` without xdist.
        options: Command line options that matter to this plugin, with their values.
        facts: Anything else worth knowing: seeds, browsers, branch, commit.
    """

    session_id: str = ""
    started_us: int = 0
    finished_us: int = 0
    exit_status: int = 0
    rootdir: str = ""
    python_version: str = ""
    pytest_version: str = ""
    plugin_version: str = ""
    platform: str = ""
    workers: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds from start to finish, 0 if either is unknown."""
        if not (self.started_us and self.finished_us):
            return 0.0
        return max(0.0, (self.finished_us - self.started_us) / 1e6)


@dataclass(slots=True)
class ErrorGroup:
    """Failures of one kind: same error type, same rule, same message but for its numbers.

    Attributes:
        message: The message, with ``*`` in place of what varies.
        example: The message of the first of them, as it was.
        count: Failed attempts.
        injected: How many of them were injected on purpose.
        tests: Node ids touched, each once, in order of appearance.
        recovered: How many of those tests ended as recovered.
    """

    error_type: str
    rule: str
    message: str
    infrastructure: bool
    example: str
    count: int = 0
    injected: int = 0
    tests: list[str] = field(default_factory=list)
    recovered: int = 0


@dataclass(slots=True)
class StrategyUse:
    """What one recovery strategy did in this session.

    Attributes:
        level: Its recovery level, 0 if not recorded.
        total_s: Seconds of all its executions.
        by_error_type: Error type to (executions, successes).
    """

    strategy: str
    name: str
    level: int = 0
    executions: int = 0
    successes: int = 0
    total_s: float = 0.0
    by_error_type: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def mean_s(self) -> float:
        """Mean seconds of an execution."""
        return self.total_s / self.executions if self.executions else 0.0


@dataclass(slots=True)
class Summary:
    """A session and all that was recorded of it.

    Attributes:
        circuits: Each circuit at the end, as a JSON-plain dict: ``name``, ``kind``, ``state``,
            ``health`` (0 to 100), ``successes``, ``failures``, ``ignored``, ``refused``,
            ``stale``, ``opened`` (times), ``waited_s``, ``reason``, and ``transitions``, each
            with ``at_s`` (seconds since the session's start), ``from_state``, ``to_state``,
            ``reason`` and ``worker``.
        circuit_waited_s: Seconds in which the run was held until a circuit closed.
        moved: Tests that were put behind others, because what they needed was down.
        agreement: How good the choices of strategies were, seen from the end of the run:
            ``cases``, and in how many of them the first choice was the ``best``.
        concurrency: Browsers in use over time, as a JSON-plain dict, empty if there is nothing to
            tell: ``cap``, ``limit`` at the end, ``least`` limit, ``most_active``, ``waits``,
            ``waited_s``, ``extra`` (browsers beyond the limit), ``changes`` of the limit, and
            ``samples`` of seconds since the start, browsers in use, and limit.
        events_lost: Records known to be missing.
        warnings: Sentences for the user about the plugin's own troubles.
        artifacts: What was written where, such as ``{"report": ".resilience/report.html"}``.
    """

    session: SessionInfo
    tests: list[TestResult] = field(default_factory=list)
    recoveries: list[RecoveryPerformanceRecord] = field(default_factory=list)
    circuits: list[dict[str, Any]] = field(default_factory=list)
    circuit_waited_s: float = 0.0
    moved: int = 0
    agreement: dict[str, Any] = field(default_factory=dict)
    concurrency: dict[str, Any] = field(default_factory=dict)
    events_lost: int = 0
    warnings: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Tests by verdict, every verdict named, in the order of `Verdict`."""
        counts = {verdict.value: 0 for verdict in Verdict}
        for test in self.tests:
            counts[test.verdict] = counts.get(test.verdict, 0) + 1
        return counts

    def with_verdict(self, *verdicts: Verdict) -> list[TestResult]:
        """Return the tests with one of `verdicts`, in order."""
        wanted = {verdict.value for verdict in verdicts}
        return [test for test in self.tests if test.verdict in wanted]

    @property
    def recovered(self) -> list[TestResult]:
        """Tests that passed after a recovery, with their attempts."""
        return self.with_verdict(Verdict.RECOVERED)

    @property
    def unrecovered(self) -> list[TestResult]:
        """Tests whose infrastructure failed beyond recovery, with their attempts."""
        return self.with_verdict(Verdict.UNRECOVERED)

    @property
    def blocked(self) -> list[TestResult]:
        """Tests that never ran because a circuit stayed open."""
        return self.with_verdict(Verdict.BLOCKED)

    @property
    def failed(self) -> list[TestResult]:
        """Tests that failed for the product's or the test's own reasons."""
        return self.with_verdict(Verdict.FAILED)

    @property
    def had_incident(self) -> bool:
        """True if anything happened that this plugin should speak of."""
        return bool(
            self.recovered
            or self.unrecovered
            or self.blocked
            or self.recoveries
            or self.circuit_waited_s
            or self.moved
            or self.concurrency.get("changes")
            or any(circuit.get("transitions") for circuit in self.circuits)
            or self.warnings
            or self.events_lost
        )

    @property
    def recovery_s(self) -> float:
        """Seconds spent in recovery strategies."""
        if self.recoveries:
            return sum(record.execution_time for record in self.recoveries)
        return sum(attempt.recovery_s for _, attempt in self.made())

    @property
    def superseded_s(self) -> float:
        """Seconds spent in attempts that another attempt took the place of."""
        return sum(attempt.duration_s for _, attempt in self.made() if _superseded(attempt))

    @property
    def attempts(self) -> int:
        """Attempts of all tests."""
        return sum(1 for _ in self.made())

    def slowest(self, count: int = 10) -> list[TestResult]:
        """Return the `count` tests that took longest, recoveries included, slowest first."""
        return sorted(self.tests, key=lambda test: -test.duration_s)[:count]

    def error_groups(self) -> list[ErrorGroup]:
        """Return all failures in groups of one kind, most frequent first."""
        groups: dict[tuple[str, str, str], ErrorGroup] = {}
        for test, attempt in self.made():
            if attempt.error_type:
                key = (attempt.error_type, attempt.rule, normalised(attempt.message))
                group = groups.get(key) or groups.setdefault(
                    key, ErrorGroup(*key, attempt.infrastructure, headline(attempt.message, 160))
                )
                _count(group, test, attempt)
        return sorted(groups.values(), key=lambda group: -group.count)

    def strategies(self) -> list[StrategyUse]:
        """Return what each strategy did, most used first."""
        table: dict[str, StrategyUse] = {}
        for record in self.recoveries:
            use = table.setdefault(
                record.strategy_id, StrategyUse(record.strategy_id, record.strategy_name)
            )
            _tally(use, record)
        return sorted(table.values(), key=lambda use: (-use.executions, use.strategy))

    def made(self) -> Iterator[tuple[TestResult, Attempt]]:
        """Yield every attempt that was made, with its test."""
        return ((test, attempt) for test in self.tests for attempt in made(test))


def normalised(message: str) -> str:
    """Return the first line of `message` with ``*`` for what differs from case to case."""
    return _VARYING.sub("*", headline(message, 160))


def cause(test: TestResult) -> Attempt | None:
    """Return the attempt in which `test` first failed, None if it never did.

    The first failure is the one that tells: later ones often only say that
    the session is gone.
    """
    return next((attempt for attempt in test.attempts if attempt.error_type), None)


def made(test: TestResult) -> list[Attempt]:
    """Return the attempts of `test` that were made.

    A blocked test has, in place of one, an attempt that only tells why it was not run.
    """
    if test.verdict != Verdict.BLOCKED.value:
        return test.attempts
    return [a for a in test.attempts if a.error_type != ErrorType.CIRCUIT_OPEN.label]


def _superseded(attempt: Attempt) -> bool:
    return attempt.outcome == "rerun"


def _count(group: ErrorGroup, test: TestResult, attempt: Attempt) -> None:
    group.count += 1
    group.injected += bool(attempt.injected)
    if group.tests[-1:] != [test.nodeid]:
        group.tests.append(test.nodeid)
        group.recovered += test.verdict == Verdict.RECOVERED.value


def _tally(use: StrategyUse, record: RecoveryPerformanceRecord) -> None:
    use.executions += 1
    use.successes += record.success
    use.total_s += record.execution_time
    use.level = use.level or int(record.context.get("recovery_level") or 0)
    executions, successes = use.by_error_type.get(record.error_type, (0, 0))
    use.by_error_type[record.error_type] = (executions + 1, successes + record.success)
