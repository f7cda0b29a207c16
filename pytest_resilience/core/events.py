"""What is recorded of a session: the wire and store format.

Invariant: `to_dict` yields JSON-plain values only, so that an event can ride on a
test report through xdist, be written to a spool, and be read back unchanged by
`from_dict`; unknown keys are ignored, missing ones take their defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Record = TypeVar("Record")

# Kinds of spool records.
SESSION_STARTED = "session_started"
SESSION_FINISHED = "session_finished"
ATTEMPT = "attempt"
TEST_RESULT = "test_result"
ERROR = "error"
RECOVERY = "recovery"
#: A circuit changed its state; see `circuit_record.Transition`.
CIRCUIT_TRANSITION = "circuit_transition"
#: A setting of circuits was looked at as the run began; see `store.tuning.Proposal`.
TUNING = "tuning"
#: A test that did not pass has left a state.
CHECKPOINT = "checkpoint"
#: A failure was injected, or could not be.
INJECTION = "injection"
#: An infrastructure failure is left to a person: what was tried, what it cost, and why it ends.
ESCALATION = "escalation"
#: The number of browsers that may be used at once has changed, or was waited for; see
#: `concurrency.Change`.
CONCURRENCY = "concurrency"


@dataclass(slots=True)
class Attempt:
    """One execution of an item: set-up, call and teardown.

    Attributes:
        number: From 1.
        outcome: ``passed``, ``failed``, ``skipped`` or ``rerun`` (superseded by another attempt).
        phase: Phase the outcome came from: ``setup``, ``call`` or ``teardown``.
        started_us: Microseconds since the epoch, UTC.
        duration_s: Seconds of all three phases.
        error_id: Id of the `error` record, "" if nothing failed.
        error_type: Label of the diagnosed `ErrorType`, "" if nothing failed.
        infrastructure: Whether that error type excuses the product.
        rule: Classification rule that decided.
        evidence: Probe results as plain dicts.
        injected: Fault injected into the attempt, "" if none.
        strategy: Recovery that ran after the attempt, "" if none.
        level: Level of that strategy, 0 if none.
        recovery_s: Seconds the recovery took.
        reason: Why the attempt was, or was not, followed by another.
        chosen: Why that strategy, "" if none ran.
        candidates: What it was chosen from, each with its numbers; see `selection.Candidate`.
        browser: Browser of the session concerned, "" if none.
        traceback: Text of the failure, clipped, "" if nothing failed.
        root_error_id: The error that explains this one, its own id if none does.
        incident_id: The failure with which the item's trouble began: the first one since it
            last got past one; "" if nothing failed.
    """

    number: int = 1
    outcome: str = "passed"
    phase: str = "call"
    started_us: int = 0
    duration_s: float = 0.0
    worker: str = "main"
    error_id: str = ""
    error_type: str = ""
    infrastructure: bool = False
    severity: str = ""
    exception: str = ""
    message: str = ""
    rule: str = ""
    confidence: float = 0.0
    evidence: tuple[dict[str, Any], ...] = ()
    injected: str = ""
    strategy: str = ""
    level: int = 0
    recovery_s: float = 0.0
    reason: str = ""
    browser: str = ""
    traceback: str = ""
    root_error_id: str = ""
    chosen: str = ""
    candidates: tuple[dict[str, Any], ...] = ()
    incident_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the attempt as a JSON-plain dict."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attempt:
        """Return the attempt written by `to_dict`, also by an older or newer version."""
        attempt = _known(cls, data)
        attempt.evidence = tuple(attempt.evidence)
        attempt.candidates = tuple(attempt.candidates)
        return attempt


@dataclass(slots=True)
class TestResult:
    """The one verdict of an item, with all its attempts.

    Attributes:
        verdict: Value of a `Verdict`.
        started_us: Microseconds since the epoch, UTC, of the first attempt.
        duration_s: Seconds from the first attempt's start to the verdict, recoveries included.
        reason: Skip reason, or why an infrastructure failure was not recovered; "" otherwise.
        kept: Whether it is the verdict of an earlier session, which this one resumes.
    """

    __test__ = False

    nodeid: str
    verdict: str
    worker: str = "main"
    started_us: int = 0
    duration_s: float = 0.0
    reason: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    kept: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the result, without its attempts, as a JSON-plain dict."""
        return {
            "nodeid": self.nodeid,
            "verdict": self.verdict,
            "worker": self.worker,
            "started_us": self.started_us,
            "duration_s": self.duration_s,
            "reason": self.reason,
            "attempts": len(self.attempts),
        }


@dataclass(slots=True)
class RecoveryPerformanceRecord:
    """One execution of a recovery strategy, measured.

    Attributes:
        strategy_id: Name of the strategy.
        strategy_name: The strategy's name as people read it.
        error_type: Label of the diagnosed `ErrorType`.
        execution_time: Seconds.
        success: Whether the next attempt got past the failure (until that is known:
            whether the strategy itself reported success).
        hardware_id: What the browser ran on, None if unknown.
        affected_tasks: Tests the failure touched.
        recovered_tasks: Tests that went on after the recovery.
        resource_usage: Differences after minus before: cpu_percent, memory_percent,
            process_cpu, process_memory_mb, disk_percent, net_sent_bytes, net_recv_bytes.
        impact_score: 0 (none) to 1 (severe).
        stability_score: 0 (unstable) to 1 (stable), measured after the recovery.
        timestamp_us: Microseconds since the epoch, UTC.
        environment: What the failure happened in, such as ``chrome 131 linux local``; lessons
            of one environment say little about another.
        tried: Strategies that had already failed in the same incident, sorted and joined
            by ``+``, "" for the first one.
        cost_s: Seconds until the outcome was known: the execution, the set-up of the attempt
            after it, and the rest of that if it failed again.
        context: error_id, incident_id, nodeid, attempt, recovery_level, detail.
    """

    strategy_id: str
    strategy_name: str
    error_type: str
    execution_time: float
    success: bool
    hardware_id: str | None = None
    affected_tasks: int = 0
    recovered_tasks: int = 0
    resource_usage: dict[str, float] = field(default_factory=dict)
    impact_score: float = 0.0
    stability_score: float = 0.0
    timestamp_us: int = 0
    environment: str = ""
    tried: str = ""
    cost_s: float = 0.0
    context: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON-plain dict."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RecoveryPerformanceRecord:
        """Return the record written by `to_dict`, also by an older or newer version."""
        return _known(cls, data)


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _known(cls: type[Record], data: Mapping[str, Any]) -> Record:
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: value for key, value in data.items() if key in names})
