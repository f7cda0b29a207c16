"""Which rule for time-outs cuts off little that would have ended, and finds what hangs soon?

    python -m benchmarks.timeouts [--replicates 30]

Lets the rules of `pytest_resilience.core.adaptive`, and some others beside them, watch 3000
simulated executions each: most take a few seconds, one in a hundred takes four times as long,
one in a hundred never ends, and in the middle third everything takes 2.5 times as long. What is
cut off costs its time-out and 20 s on top.

Invariant: a rule sees only how long an execution ran and whether it was cut off. A bar is
printed as met or not met as it is.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.machine import described
from pytest_resilience.core.adaptive import QuantileTimeout, StepTimeout, quantile

SEED = 20_260
EXECUTIONS = 3000
LOAD_BEGINS, LOAD_ENDS, LOAD = 1000, 2000, 2.5
#: Median of the seconds, and standard deviation of their logarithm.
MEDIAN_S, SPREAD = 1.9, 0.57
SLOW, SLOW_FACTOR, HANGING = 0.01, 4.0, 0.01
PENALTY_S = 20.0
#: Executions after the load begins in which a rule is surprised.
SURPRISE = 100


class Rule(Protocol):
    """What is compared."""

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Take in an execution that ended, or was cut off, after `seconds`."""


@dataclass
class Fixed:
    """Always the same."""

    timeout_s: float

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Learn nothing."""


@dataclass
class MeanAndDeviation:
    """Mean plus four mean deviations of what ended, as TCP has it.

    With `back_off` it doubles after each time-out until something ends by itself.
    """

    back_off: bool
    mean: float | None = None
    deviation: float = 0.0
    strikes: int = 0

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""
        if self.mean is None:
            return 30.0
        doubled = 2.0 ** min(self.strikes, 10) if self.back_off else 1.0
        return min(300.0, (self.mean + 4 * self.deviation) * doubled)

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Take in an execution."""
        if timed_out:
            self.strikes += 1
        elif self.mean is None:
            self.mean, self.deviation = seconds, seconds / 2
        else:
            self.strikes = 0
            self.deviation += (abs(seconds - self.mean) - self.deviation) / 4
            self.mean += (seconds - self.mean) / 8


@dataclass
class OfSuccesses:
    """A multiple of the 95th percentile of what ended by itself; the rest is forgotten."""

    factor: float
    durations: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""
        if len(self.durations) < 10:
            return 30.0
        return self.factor * quantile(self.durations, 0.95)

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Take in an execution."""
        if not timed_out:
            self.durations.append((seconds, False))
            del self.durations[:-60]


OURS = "2 x p95, cut ones kept"
RULES: dict[str, Callable[[], Rule]] = {
    "fixed 30 s": lambda: Fixed(30.0),
    "fixed 10 s": lambda: Fixed(10.0),
    "mean + 4 deviations": lambda: MeanAndDeviation(back_off=False),
    "  with back-off": lambda: MeanAndDeviation(back_off=True),
    "1 x p95 of successes": lambda: OfSuccesses(1.0),
    "2 x p95 of successes": lambda: OfSuccesses(2.0),
    "a tenth down, half up": StepTimeout,
    OURS: QuantileTimeout,
    "  ceiling 30 s": lambda: QuantileTimeout(ceiling_s=30.0),
}


@dataclass
class Tally:
    """What became of all executions under one rule."""

    ended: int = 0
    cut: int = 0
    surprised: int = 0
    surprised_cut: int = 0
    waits: list[float] = field(default_factory=list)
    cost_s: float = 0.0
    executions: int = 0

    def add(self, seconds: float, timeout_s: float, *, surprise: bool) -> None:
        """Take in an execution that would have taken `seconds`."""
        self.executions += 1
        timed_out = seconds > timeout_s
        self.cost_s += timeout_s + PENALTY_S if timed_out else seconds
        if math.isinf(seconds):
            self.waits.append(timeout_s)
            return
        self.ended += 1
        self.cut += timed_out
        if surprise:
            self.surprised += 1
            self.surprised_cut += timed_out

    @property
    def false_percent(self) -> float:
        """Per cent that were cut off of those that would have ended."""
        return 100 * self.cut / self.ended

    @property
    def surprise_percent(self) -> float:
        """The same, just after the load began."""
        return 100 * self.surprised_cut / self.surprised

    @property
    def wait_s(self) -> float:
        """Mean seconds until a hanging one was cut off."""
        return math.fsum(self.waits) / len(self.waits)


def executions(seed: int) -> list[float]:
    """Return how long each execution takes, infinite for one that hangs."""
    chance = random.Random(seed)
    durations = []
    for number in range(EXECUTIONS):
        seconds = MEDIAN_S * math.exp(chance.gauss(0.0, SPREAD))
        kind = chance.random()
        if kind < HANGING:
            seconds = math.inf
        elif kind < HANGING + SLOW:
            seconds *= SLOW_FACTOR
        durations.append(seconds * (LOAD if LOAD_BEGINS <= number < LOAD_ENDS else 1.0))
    return durations


def watched(make: Callable[[], Rule], replicates: int) -> Tally:
    """Return what became of `replicates` rows under a rule, new for each."""
    tally = Tally()
    for replicate in range(replicates):
        rule = make()
        for number, seconds in enumerate(executions(SEED + replicate)):
            timeout_s = rule.timeout_s
            surprise = LOAD_BEGINS <= number < LOAD_BEGINS + SURPRISE
            tally.add(seconds, timeout_s, surprise=surprise)
            rule.observe(min(seconds, timeout_s), seconds > timeout_s)
    return tally


def bars(tallies: dict[str, Tally]) -> Iterator[tuple[bool, str]]:
    """Yield whether each bar is met, and what it says."""
    ours, fixed = tallies[OURS], tallies["fixed 30 s"]
    yield (
        ours.false_percent <= 0.6,
        f"at most 0.6 % cut off that would have ended: {ours.false_percent:.2f} %",
    )
    share = ours.wait_s / fixed.wait_s
    yield (
        share <= 0.5,
        f"hangs found in half the time of fixed 30 s: {ours.wait_s:.1f} s, {100 * share:.0f} %",
    )
    yield (
        ours.surprise_percent <= 2.0,
        f"at most 2 % of the first {SURPRISE} after a slow-down: {ours.surprise_percent:.2f} %",
    )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=30, help="rows of 3000 executions")
    options = parser.parse_args()
    begun = time.perf_counter()
    print(described())
    print(f"seeds      {SEED} to {SEED + options.replicates - 1}\n")
    print(
        f"{'rule':26}{'cut off in vain %':>18}{f'first {SURPRISE} under load %':>25}"
        f"{'hang found after s':>20}{'s/execution':>13}"
    )
    tallies = {}
    for name, make in RULES.items():
        tally = tallies[name] = watched(make, options.replicates)
        print(
            f"{name:26}{tally.false_percent:18.2f}{tally.surprise_percent:25.2f}"
            f"{tally.wait_s:20.1f}{tally.cost_s / tally.executions:13.2f}",
            flush=True,
        )
    print()
    results = list(bars(tallies))
    for met, told in results:
        print(f"{'met' if met else 'NOT MET':8} {told}")
    print(f"\n{time.perf_counter() - begun:.0f} s in all")
    if not all(met for met, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
