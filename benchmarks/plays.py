"""Policies let loose on simulated failures, and what became of each.

Invariant: what a policy is given is what it would have seen; the truth is used for judging and
by the oracle alone.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.worlds import LEVELS, NAMES, Failure, Truth, World, drawn, truths
from pytest_resilience.core.experience import Key
from pytest_resilience.core.hindsight import near
from pytest_resilience.core.impact import ScoreTally, impact, stability
from pytest_resilience.core.selection import (
    Candidate,
    ExpectedCost,
    Experience,
    Ladder,
    Option,
    Policy,
    WeightedScore,
    joined,
)


class Player:
    """Chooses and is told the outcome; with `policy` None it is the oracle."""

    def __init__(self, policy: Policy | None, world: World, seed: int) -> None:
        self._policy = policy
        self._chance = random.Random(seed)
        self._options = [
            Option(name, level + 1, world.cured_s[level]) for level, name in enumerate(NAMES)
        ]
        self._scores: dict[tuple[str, str], float] = {}
        self._tallies: dict[tuple[str, str], ScoreTally] = {}
        self._experience = Experience((), self._scores)
        self._unweighed: dict[frozenset[str], tuple[Candidate, ...]] = {}

    def choose(self, kind: str, tried: int, truth: Truth) -> int | None:
        """Return the level to try next, None to stop."""
        if self._policy is None:
            return truth.choice(tried)
        names = _names(tried)
        candidates = self._weighed(kind, names)
        choice = self._policy.choose(candidates, tried=names, chance=self._chance)
        return None if choice.strategy is None else NAMES.index(choice.strategy)

    def _weighed(self, kind: str, names: frozenset[str]) -> tuple[Candidate, ...]:
        if not isinstance(self._policy, Ladder):
            return self._experience.weigh(
                self._options, environment="", error_type=kind, tried=names
            )
        # It asks for levels alone, and those stay.
        if names not in self._unweighed:
            self._unweighed[names] = Experience().weigh(
                self._options, environment="", error_type=kind, tried=names
            )
        return self._unweighed[names]

    def learn(self, kind: str, tried: int, level: int, cured: bool, seconds: float) -> None:
        """Take in what became of a choice."""
        if isinstance(self._policy, ExpectedCost):
            self._experience.record(_key(kind, tried, level), success=cured, cost_s=seconds)
        elif isinstance(self._policy, WeightedScore):
            pair = (kind, NAMES[level])
            tally = self._tallies.setdefault(pair, ScoreTally())
            tally.add(
                success=cured,
                execution_time=seconds,
                impact=impact({}, {}, seconds, 1, int(cured)),
                stability=_STABILITY[cured],
                affected=1,
                recovered=int(cured),
            )
            self._scores[pair] = tally.score


#: On a host with head-room only the one session counts, and the one test.
_STABILITY = {
    cured: stability(
        cpu_percent=50,
        memory_percent=50,
        sessions=1,
        answering=int(cured),
        affected=1,
        recovered=int(cured),
    )
    for cured in (False, True)
}


@functools.cache
def _names(tried: int) -> frozenset[str]:
    return frozenset(NAMES[level] for level in LEVELS if tried >> level & 1)


@functools.cache
def _key(kind: str, tried: int, level: int) -> Key:
    return Key("", kind, joined(_names(tried)), NAMES[level])


@dataclass
class Play:
    """What became of a row of failures, one entry each."""

    kinds: list[int] = field(default_factory=list)
    regrets: list[float] = field(default_factory=list)
    strict: list[bool] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    wasted: list[float] = field(default_factory=list)
    cured: list[bool] = field(default_factory=list)


def play(player: Player, row: Sequence[Failure], world_at: Callable[[int], World]) -> Play:
    """Let `player` deal with `row` in the world there is at each number."""
    result = Play()
    for number, failure in enumerate(row):
        world = world_at(number)
        _recover(player, failure, world, truths(world)[failure.kind], result)
    return result


def _recover(player: Player, failure: Failure, world: World, truth: Truth, result: Play) -> None:
    kind = world.kinds[failure.kind]
    chances = drawn(kind.states, failure.state)
    tried, regret, seconds, wasted, cured = 0, 0.0, 0.0, 0.0, False
    while True:
        level = player.choose(kind.name, tried, truth)
        if not tried:
            cost = truth.cost(0, level)
            result.strict.append(cost <= truth.best[0])
            result.near.append(near(cost, truth.best[0]))
        # The sum of these over an incident is, on average, what it cost beyond the best.
        regret += truth.cost(tried, level) - truth.best[tried]
        if level is None:
            break
        cured = failure.luck[level] < chances[level]
        spent = (world.cured_s if cured else world.failed_s)[level] * failure.pace[level]
        seconds += spent
        player.learn(kind.name, tried, level, cured, spent)
        if cured:
            break
        wasted += spent
        tried |= 1 << level
    result.kinds.append(failure.kind)
    result.regrets.append(regret)
    result.seconds.append(seconds)
    result.wasted.append(wasted)
    result.cured.append(cured)
