"""What is known of a circuit, as plain values that processes can share.

Invariant: a record never changes, only another takes its place; `from_dict` of what `to_dict`
wrote is the same record; and as JSON it stays below a kilobyte, however long it lives.
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Bytes a reason may take as JSON in a record.
REASON_LIMIT = 120


class CircuitState(str, enum.Enum):
    """Where a circuit stands; equal to its text."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    #: Opened by hand, until it is reset by hand.
    ISOLATED = "isolated"

    def __str__(self) -> str:
        return self.value


class Outcome(enum.Enum):
    """What a call says about the thing behind the circuit."""

    FAILURE = "failure"
    #: It answered, be the answer good or bad.
    SUCCESS = "success"
    #: Nothing: the call was skipped or cancelled.
    IGNORED = "ignored"


class Lease(NamedTuple):
    """A trial under way: the number of its permit, and when that was granted (seconds)."""

    number: int
    granted_at: float


class Permit(NamedTuple):
    """Leave to make one call, which has to be reported once.

    Attributes:
        circuit: Label of the circuit that gave it.
        number: Of the trial; 0 if the circuit was closed.
        generation: Of the circuit, then; in another one the report of the call is stale.
        granted_at: Seconds of the monotonic clock.
        closed: Whether the circuit was closed, so that the call is no trial.
    """

    circuit: str
    number: int
    generation: int
    granted_at: float
    closed: bool


class Bucket(NamedTuple):
    """Calls of a tenth of the window.

    Attributes:
        slot: Which tenth, counted from the zero of the clock.
        successes: Calls that succeeded.
        failures: Calls that failed.
        timed: How many of them came with their duration.
        milliseconds: Sum of these durations.
    """

    slot: int
    successes: int = 0
    failures: int = 0
    timed: int = 0
    milliseconds: int = 0


class CircuitRecord(NamedTuple):
    """All that is known of a circuit; times are seconds of the monotonic clock.

    A named tuple, for another one is made at each call, and that is cheap with tuples.

    Attributes:
        state: Where it stands.
        generation: Transitions it has made; what was permitted in another one is stale.
        reopenings: How often it has opened again, less one for each healthy interval between;
            the exponent of `CircuitConfig.growth`.
        opened_at: When the latest open interval began.
        closed_at: When it closed again; None if it has not opened since it was made or reset.
        probe_after: Before, no health probe half-opens it.
        open_until: Then it half-opens by itself.
        leases: Trials under way while it is half-open.
        last_permit: Number of the latest trial.
        window: Calls of this generation, oldest first; what has aged out goes with the next call.
        consecutive_failures: Of this generation; while it is open, of the one before.
        consecutive_successes: Of this generation.
        successes: All that were counted.
        failures: All that were counted, trials without a result included.
        ignored: Calls that said nothing.
        refused: Permits not given.
        stale: Reports that came too late to count.
        last_reason: What failed last, or why it opened if that is later; clipped.
        changed_at: When it was last changed.
    """

    state: CircuitState = CircuitState.CLOSED
    generation: int = 0
    reopenings: int = 0
    opened_at: float = 0.0
    closed_at: float | None = None
    probe_after: float = 0.0
    open_until: float = 0.0
    leases: tuple[Lease, ...] = ()
    last_permit: int = 0
    window: tuple[Bucket, ...] = ()
    consecutive_failures: int = 0
    consecutive_successes: int = 0
    successes: int = 0
    failures: int = 0
    ignored: int = 0
    refused: int = 0
    stale: int = 0
    last_reason: str = ""
    changed_at: float = 0.0

    def shifted(self, seconds: float) -> CircuitRecord:
        """Return the record as a clock shows it that is ahead of this one's by `seconds`.

        For a clock that went back, or began anew with the machine. The window is forgotten.
        """
        return self._replace(
            opened_at=self.opened_at + seconds,
            closed_at=None if self.closed_at is None else self.closed_at + seconds,
            probe_after=self.probe_after + seconds,
            open_until=self.open_until + seconds,
            leases=tuple(Lease(number, at + seconds) for number, at in self.leases),
            window=(),
            changed_at=self.changed_at + seconds,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a small JSON-plain dict."""
        return {
            "state": self.state.value,
            "generation": self.generation,
            "reopenings": self.reopenings,
            "times": [
                self.opened_at, self.closed_at, self.probe_after, self.open_until, self.changed_at,
            ],
            "leases": [list(lease) for lease in self.leases],
            "last_permit": self.last_permit,
            "window": [list(bucket if bucket.timed else bucket[:3]) for bucket in self.window],
            "row": [self.consecutive_failures, self.consecutive_successes],
            "totals": [self.successes, self.failures, self.ignored, self.refused, self.stale],
            "reason": self.last_reason,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CircuitRecord:
        """Return the record that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is not one.
        """
        opened_at, closed_at, probe_after, open_until, changed_at = data["times"]
        consecutive_failures, consecutive_successes = data["row"]
        successes, failures, ignored, refused, stale = data["totals"]
        return cls(
            state=CircuitState(data["state"]),
            generation=data["generation"],
            reopenings=data["reopenings"],
            opened_at=opened_at,
            closed_at=closed_at,
            probe_after=probe_after,
            open_until=open_until,
            leases=tuple(Lease(*lease) for lease in data["leases"]),
            last_permit=data["last_permit"],
            window=tuple(Bucket(*bucket) for bucket in data["window"]),
            consecutive_failures=consecutive_failures,
            consecutive_successes=consecutive_successes,
            successes=successes,
            failures=failures,
            ignored=ignored,
            refused=refused,
            stale=stale,
            last_reason=data["reason"],
            changed_at=changed_at,
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a circuit's state.

    Attributes:
        circuit: Name of the circuit.
        kind: Its kind, "" if it has none.
        generation: The new one, from 1; those of a circuit have no gaps.
        from_state: Where it stood; what the transition before led to.
        to_state: Where it stands now.
        reason: Why, for people.
        at: Seconds of the monotonic clock.
        consecutive_failures: Failures in a row just before.
        failures: Failures in the window just before.
        calls: Calls in the window just before.
        rate: Share of failures in the window just before, 0 to 1.
        reopenings: See `CircuitRecord`.
    """

    circuit: str
    kind: str
    generation: int
    from_state: CircuitState
    to_state: CircuitState
    reason: str
    at: float
    consecutive_failures: int = 0
    failures: int = 0
    calls: int = 0
    rate: float = 0.0
    reopenings: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the transition as a JSON-plain dict."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "from_state": self.from_state.value, "to_state": self.to_state.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transition:
        """Return the transition that `to_dict` wrote; unknown keys are ignored.

        Raises:
            TypeError, ValueError: It is not one.
        """
        known = {name: data[name] for name in cls.__slots__ if name in data}
        for name in ("from_state", "to_state"):
            known[name] = CircuitState(known.get(name))
        return cls(**known)


def clipped(reason: str) -> str:
    """Return `reason` on one line, and cut so that as JSON it fits a record."""
    text = " ".join(reason.split())[:REASON_LIMIT]
    if len(json.dumps(text)) <= REASON_LIMIT + 2:
        return text
    # What is not ASCII takes up to twelve bytes a character.
    sizes = itertools.accumulate(len(json.dumps(character)) - 2 for character in text)
    return text[: sum(size <= REASON_LIMIT for size in sizes)]
