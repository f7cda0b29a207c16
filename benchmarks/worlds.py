"""Simulated failures whose true probabilities and costs are known.

The worlds are models. How often a level cures a kind of failure, and how frequent the kind is,
was settled by how oracle and ladder fare, and is not tuned to any policy that learns.

Invariant: nothing here knows a policy; the same seed gives the same failures with the same luck.
"""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass, replace

PRICE_S = 120.0
#: Standard deviation of the logarithm of a cost; its mean is the world's.
NOISE = 0.3
NAMES = ("immediate_retry", "delayed_retry", "browser_restart", "driver_restart", "reset_all")
LEVELS = range(len(NAMES))
EVERYTHING = (1 << len(NAMES)) - 1

Chances = tuple[float, ...]
#: What may be wrong under one message: how often, and what cures it.
States = tuple[tuple[float, Chances], ...]


@dataclass(frozen=True)
class Kind:
    """Failures that look alike; if not `recoverable`, stopping at once is right."""

    name: str
    weight: float
    states: States
    recoverable: bool = True


@dataclass(frozen=True)
class World:
    """Kinds of failures, and the seconds of each level: cured, and not."""

    kinds: tuple[Kind, ...]
    cured_s: Chances = (0.5, 3.0, 6.0, 15.0, 60.0)
    failed_s: Chances = (1.0, 7.0, 8.0, 20.0, 75.0)

    def changed(self, **kinds: States) -> World:
        """Return this world with other states for some kinds."""
        new = (replace(kind, states=kinds.get(kind.name, kind.states)) for kind in self.kinds)
        return World(tuple(new), self.cured_s, self.failed_s)


def one(*chances: float) -> States:
    return ((1.0, chances),)


_BLIP = (0.85, 0.95, 0.95, 0.95, 0.97)
_CRASH = (0.04, 0.04, 0.93, 0.95, 0.97)
WORLD = World(
    (
        Kind("crash", 0.25, one(*_CRASH)),
        Kind("blip", 0.25, one(*_BLIP)),
        Kind("exhausted", 0.06, one(0.05, 0.05, 0.05, 0.90, 0.95)),
        Kind("stale", 0.15, one(0.40, 0.90, 0.90, 0.92, 0.95)),
        Kind("wedged", 0.05, one(0.02, 0.02, 0.10, 0.92, 0.96)),
        Kind("grid_down", 0.04, one(0.0, 0.0, 0.0, 0.0, 0.0), recoverable=False),
        # Two causes under one message: what failed tells which of them it is.
        Kind("timeout", 0.20, ((0.6, _BLIP), (0.4, _CRASH))),
    )
)
_NO_BLIP = (0.03, *_BLIP[1:])
_NO_RESTART = (0.04, 0.04, 0.05, 0.95, 0.97)
#: A retry helps nobody any more, and restarting the browser no crash.
WORSE = WORLD.changed(
    blip=one(*_NO_BLIP),
    stale=one(0.03, 0.90, 0.90, 0.92, 0.95),
    crash=one(*_NO_RESTART),
    timeout=((0.6, _NO_BLIP), (0.4, _NO_RESTART)),
)
#: A bare retry begins to help against crashes and exhaustion.
BETTER = WORLD.changed(crash=one(0.90, *_CRASH[1:]), exhausted=one(0.90, 0.05, 0.05, 0.90, 0.95))


class Truth:
    """The best there is to do about failures of a kind, whatever was tried already.

    `costs[tried][level]` is what is to be expected of trying a level and doing the best
    from there on, `best[tried]` the least of them or the price of stopping.
    """

    def __init__(self, world: World, kind: Kind) -> None:
        self.costs = [[math.inf] * len(NAMES) for _ in range(EVERYTHING + 1)]
        self.best = [PRICE_S] * (EVERYTHING + 1)
        for tried in range(EVERYTHING, -1, -1):
            for level in LEVELS:
                if not tried >> level & 1:
                    p = _posterior(kind.states, tried, level)
                    spent = p * world.cured_s[level] + (1 - p) * world.failed_s[level]
                    rest = self.best[tried | 1 << level]
                    self.costs[tried][level] = spent + (1 - p) * rest
            self.best[tried] = min(PRICE_S, *self.costs[tried])

    def cost(self, tried: int, level: int | None) -> float:
        """Return what choosing `level` costs, None being to stop."""
        return PRICE_S if level is None else self.costs[tried][level]

    def choice(self, tried: int) -> int | None:
        """Return the best level, None if stopping is."""
        best = min(LEVELS, key=self.costs[tried].__getitem__)
        return best if self.costs[tried][best] <= PRICE_S else None


def _posterior(states: States, tried: int, level: int) -> float:
    """Return how likely `level` cures where all of `tried` have failed."""
    whole = cured = 0.0
    for weight, chances in states:
        for other in LEVELS:
            if tried >> other & 1:
                weight *= 1 - chances[other]
        whole += weight
        cured += weight * chances[level]
    return cured / whole if whole else 0.0


@functools.cache
def truths(world: World) -> tuple[Truth, ...]:
    """Return the truth about each kind of `world`."""
    return tuple(Truth(world, kind) for kind in world.kinds)


@dataclass(frozen=True)
class Failure:
    """One failure and its luck: which state it is, what would cure it, how long all takes."""

    kind: int
    state: float
    luck: Chances
    pace: Chances


def failures(world: World, count: int, seed: int) -> list[Failure]:
    """Return `count` failures of `world`."""
    chance = random.Random(seed)
    weights = [kind.weight for kind in world.kinds]
    return [
        Failure(
            kind,
            chance.random(),
            tuple(chance.random() for _ in LEVELS),
            tuple(math.exp(chance.gauss(-NOISE * NOISE / 2, NOISE)) for _ in LEVELS),
        )
        for kind in chance.choices(range(len(weights)), weights, k=count)
    ]


def drawn(states: States, chance: float) -> Chances:
    for weight, chances in states:
        chance -= weight
        if chance < 0:
            return chances
    return states[-1][1]


def random_world(seed: int, *, rising: bool) -> World:
    """Return a world drawn at random: six kinds, costs from 0.3 to 90 s, also in order of level."""
    chance = random.Random(seed)
    cured = [0.3 * 300 ** chance.random() for _ in NAMES]
    if rising:
        cured.sort()
    failed = tuple(seconds * chance.uniform(1, 2) for seconds in cured)
    kinds = (
        Kind(f"kind {n}", chance.expovariate(1), one(*(chance.random() for _ in NAMES)))
        for n in range(6)
    )
    return World(tuple(kinds), tuple(cured), failed)
