"""What has to become of a circuit: a model of it that shares none of its code."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit import Outcome, Permit
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import CircuitState

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED
FAILURE, SUCCESS, IGNORED = Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED

PROCESSES = 3
LEGAL = {
    (CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, OPEN), (HALF_OPEN, CLOSED),
    (CLOSED, ISOLATED), (OPEN, ISOLATED), (HALF_OPEN, ISOLATED),
    (ISOLATED, CLOSED), (OPEN, CLOSED),
}  # fmt: skip

# Everything is a multiple of a quarter second, so that sums are exact; and the longest interval
# is short, so that it is reached.
configs = st.builds(
    CircuitConfig,
    failure_threshold=st.integers(1, 4),
    recovery_timeout=st.just(12.0),
    half_open_after=st.sampled_from([0.0, 2.0, 4.0, 12.0]),
    success_threshold=st.integers(1, 3),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    minimum_calls=st.integers(2, 5),
    window_s=st.just(10.0),
    probes=st.integers(1, 2),
    lease_s=st.sampled_from([3.0, 20.0]),
)
processes = st.integers(0, PROCESSES - 1)
outcomes = st.sampled_from(Outcome)


@dataclass
class Model:
    """What has to become of a circuit, kept as a diary of what happened to it."""

    config: CircuitConfig
    state: CircuitState = CLOSED
    generation: int = 0
    reopenings: int = 0
    opened_at: float = 0.0
    closed_at: float | None = None
    trials: dict[int, float] = field(default_factory=dict)
    diary: list[tuple[float, Outcome]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def elapse(self, now: float) -> None:
        """Let time pass."""
        hung = [at for at in self.trials.values() if now - at >= self.config.lease_s]
        if hung:
            self.counts["failures"] += 1
            self.open(now, since=min(hung))
        if self.state is OPEN and now - self.opened_at >= self.config.recovery_timeout:
            self.move(HALF_OPEN)

    def move(self, state: CircuitState) -> None:
        self.state = state
        self.generation += 1
        self.trials, self.diary = {}, []

    def open(self, now: float, since: float | None = None) -> None:
        if self.state is HALF_OPEN:
            self.reopenings = min(self.reopenings + 1, self.most)
        elif self.closed_at is not None:
            healthy = (now - self.closed_at) // self.config.recovery_timeout
            self.reopenings = max(0, min(self.reopenings + 1, self.most) - int(healthy))
        self.opened_at = now if since is None else since
        self.move(OPEN)

    def close(self, now: float) -> None:
        self.move(CLOSED)
        self.closed_at = now

    def count(self, now: float, outcome: Outcome) -> None:
        """Take in a failure or success of this generation."""
        self.diary.append((now, outcome))
        self.counts["failures" if outcome is FAILURE else "successes"] += 1
        if outcome is FAILURE and (self.state is HALF_OPEN or self.is_too_much(now)):
            self.open(now)
        elif self.state is HALF_OPEN and self.row(SUCCESS) == self.config.success_threshold:
            self.close(now)

    def is_too_much(self, now: float) -> bool:
        failures, calls = self.recent(now)
        return self.row(FAILURE) >= self.config.failure_threshold or (
            calls >= self.config.minimum_calls and failures / calls >= self.config.failure_rate
        )

    def recent(self, now: float) -> tuple[int, int]:
        """Return failures and calls of the window: its tenths are seconds here."""
        calls = [outcome for at, outcome in self.diary if int(at) > int(now) - 10]
        return calls.count(FAILURE), len(calls)

    def row(self, outcome: Outcome) -> int:
        newest = (entry for _, entry in reversed(self.diary))
        return sum(1 for _ in itertools.takewhile(lambda entry: entry is outcome, newest))

    @property
    def interval(self) -> float:
        """The least time before a health probe counts."""
        return min(
            self.config.recovery_timeout,
            self.config.half_open_after * self.config.growth**self.reopenings,
        )

    @property
    def most(self) -> int:
        """Reopenings after which the interval is as long as it gets; the least, if there is one."""
        base = self.config.half_open_after
        return {0.0: rules.MOST_REOPENINGS, 2.0: 3, 4.0: 2, 12.0: 0}[base]

    def is_awaited(self, permit: Permit) -> bool:
        if permit.generation != self.generation:
            return False
        return self.state is CLOSED or permit.number in self.trials
