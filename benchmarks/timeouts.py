"""Which rule for time-outs cuts off little that would have ended, and finds what hangs soon?

    python -m benchmarks.timeouts [--replicates 30] [--seed 20260]

Lets the rules of `pytest_resilience.core.adaptive`, and some others beside them, watch 3000
simulated executions each: most take a few seconds, one in a hundred takes four times as long,
one in a hundred never ends, and in the middle third everything takes 2.5 times as long. What is
cut off costs its time-out and 20 s on top.

Two rows at the end know what no rule can, the true distribution and when the load begins: they
tell how soon hangs can be found at all. Other factors and quantiles are shown beside ours, since
what finds hangs sooner cuts off more in vain.

Invariant: a rule sees only how long an execution ran and whether it was cut off. A bar is
printed as met or not met as it is.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import NormalDist
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
#: What may be cut off that would have ended: of all, and just after the load begins.
CUT_MOST, SURPRISED_MOST = 0.006, 0.02
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


@dataclass
class Oracle:
    """A multiple of the true distribution, load included; what is cut off teaches it nothing.

    Attributes:
        usual_s: Time-out where there is no load.
    """

    usual_s: float
    number: int = 0

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""
        return self.usual_s * (LOAD if LOAD_BEGINS <= self.number < LOAD_ENDS else 1.0)

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Count the execution."""
        self.number += 1


def ending_within(seconds: float) -> float:
    """Return the share of all executions that end within so many seconds, without load."""

    def body(median_s: float) -> float:
        return NormalDist(math.log(median_s), SPREAD).cdf(math.log(seconds))

    slow = SLOW * body(MEDIAN_S * SLOW_FACTOR)
    return (1 - HANGING - SLOW) * body(MEDIAN_S) + slow


def true_quantile(share: float) -> float:
    """Return the seconds within which `share` of all executions end, without load."""
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if middle and ending_within(middle) >= share else (middle, high)
    return high


OURS = "2 x p95, cut ones kept"
KNOWN, BEST = "2 x p95, all known", "0.6 % cut off, all known"
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
    **{
        f"  {factor:g} x p{100 * share:g}": functools.partial(
            QuantileTimeout, factor=factor, share=share
        )
        for factor, share in ((1.9, 0.95), (1.8, 0.95), (1.7, 0.95), (2.5, 0.9), (1.6, 0.975))
    },
    KNOWN: lambda: Oracle(2 * true_quantile(0.95)),
    BEST: lambda: Oracle(true_quantile((1 - CUT_MOST) * (1 - HANGING))),
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


def watched(make: Callable[[], Rule], seeds: Iterable[int]) -> Tally:
    """Return what became of the rows with these seeds under a rule, new for each."""
    tally = Tally()
    for seed in seeds:
        rule = make()
        for number, seconds in enumerate(executions(seed)):
            timeout_s = rule.timeout_s
            surprise = LOAD_BEGINS <= number < LOAD_BEGINS + SURPRISE
            tally.add(seconds, timeout_s, surprise=surprise)
            rule.observe(min(seconds, timeout_s), seconds > timeout_s)
    return tally


def bars(tallies: dict[str, Tally]) -> Iterator[tuple[bool, str]]:
    """Yield whether each bar is met, and what it says."""
    ours, fixed = tallies[OURS], tallies["fixed 30 s"]
    yield (
        ours.false_percent <= 100 * CUT_MOST,
        f"at most 0.6 % cut off that would have ended: {ours.false_percent:.2f} %",
    )
    share = ours.wait_s / fixed.wait_s
    known, soonest = tallies[KNOWN].wait_s, tallies[BEST].wait_s
    told = f"hangs found in half the time of fixed 30 s: {ours.wait_s:.1f} s, {100 * share:.0f} %"
    if share > 0.5:
        told += (
            f"; with everything known, 2 x p95 takes {known:.1f} s, and {soonest:.1f} s is what"
            " a fixed multiple takes that cuts off 0.6 %"
        )
    yield share <= 0.5, told
    yield (
        ours.surprise_percent <= 100 * SURPRISED_MOST,
        f"at most 2 % of the first {SURPRISE} after a slow-down: {ours.surprise_percent:.2f} %",
    )


def alternatives(tallies: dict[str, Tally]) -> str:
    """Return which of the rules that learn would meet all bars at once, for people."""
    half_s = tallies["fixed 30 s"].wait_s / 2
    fit = [
        name.strip()
        for name, tally in tallies.items()
        if name not in (KNOWN, BEST)
        and tally.wait_s <= half_s
        and tally.false_percent <= 100 * CUT_MOST
        and tally.surprise_percent <= 100 * SURPRISED_MOST
    ]
    return f"rules that meet all three: {', '.join(fit) or 'none'}"


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=30, help="rows of 3000 executions")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first row")
    options = parser.parse_args()
    begun = time.perf_counter()
    print(described())
    seeds = range(options.seed, options.seed + options.replicates)
    print(f"seeds      {seeds[0]} to {seeds[-1]}\n")
    print(
        f"{'rule':26}{'cut off in vain %':>18}{f'first {SURPRISE} under load %':>25}"
        f"{'hang found after s':>20}{'s/execution':>13}"
    )
    tallies = {}
    for name, make in RULES.items():
        tally = tallies[name] = watched(make, seeds)
        print(
            f"{name:26}{tally.false_percent:18.2f}{tally.surprise_percent:25.2f}"
            f"{tally.wait_s:20.1f}{tally.cost_s / tally.executions:13.2f}",
            flush=True,
        )
    print()
    results = list(bars(tallies))
    for met, told in results:
        print(f"{'met' if met else 'NOT MET':8} {told}")
    print(f"{'':8} {alternatives(tallies)}")
    print(f"\n{time.perf_counter() - begun:.0f} s in all")
    if not all(met for met, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
