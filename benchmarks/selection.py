"""Does the policy choose the right recovery, how soon, and what does that save?

    python -m benchmarks.selection [--replicates 200] [--worlds 120] [--jobs 1]

Drives the policies and the experience of `pytest_resilience.core.selection` through simulated
failures whose true probabilities and costs are known, so that each choice can be held against
the best one there is. All policies meet the same failures with the same luck.

The worlds are models. How often a level cures a kind of failure, and how frequent the kind is,
was settled by how oracle and ladder fare, and is not tuned to any policy that learns.

Invariant: what a policy is given is what it would have seen; the truth is used for judging and
by the oracle alone. A bar is printed as met or not met as it is.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.machine import described
from pytest_resilience.core.experience import Key
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
    near,
)

SEED = 20_260
FAILURES, CHANGE_AT = 1000, 400
PRICE_S = 120.0
#: Standard deviation of the logarithm of a cost; its mean is the world's.
NOISE = 0.3
#: Neighbouring failures over which a share is taken, the newest included.
WINDOW = 10
GOAL = 0.92
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


def _one(*chances: float) -> States:
    return ((1.0, chances),)


_BLIP = (0.85, 0.95, 0.95, 0.95, 0.97)
_CRASH = (0.04, 0.04, 0.93, 0.95, 0.97)
WORLD = World(
    (
        Kind("crash", 0.25, _one(*_CRASH)),
        Kind("blip", 0.25, _one(*_BLIP)),
        Kind("exhausted", 0.06, _one(0.05, 0.05, 0.05, 0.90, 0.95)),
        Kind("stale", 0.15, _one(0.40, 0.90, 0.90, 0.92, 0.95)),
        Kind("wedged", 0.05, _one(0.02, 0.02, 0.10, 0.92, 0.96)),
        Kind("grid_down", 0.04, _one(0.0, 0.0, 0.0, 0.0, 0.0), recoverable=False),
        # Two causes under one message: what failed tells which of them it is.
        Kind("timeout", 0.20, ((0.6, _BLIP), (0.4, _CRASH))),
    )
)
_NO_BLIP = (0.03, *_BLIP[1:])
_NO_RESTART = (0.04, 0.04, 0.05, 0.95, 0.97)
#: A retry helps nobody any more, and restarting the browser no crash.
WORSE = WORLD.changed(
    blip=_one(*_NO_BLIP),
    stale=_one(0.03, 0.90, 0.90, 0.92, 0.95),
    crash=_one(*_NO_RESTART),
    timeout=((0.6, _NO_BLIP), (0.4, _NO_RESTART)),
)
#: A bare retry begins to help against crashes and exhaustion.
BETTER = WORLD.changed(crash=_one(0.90, *_CRASH[1:]), exhausted=_one(0.90, 0.05, 0.05, 0.90, 0.95))


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
    chances = _drawn(kind.states, failure.state)
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


def _drawn(states: States, chance: float) -> Chances:
    for weight, chances in states:
        chance -= weight
        if chance < 0:
            return chances
    return states[-1][1]


POLICIES: dict[str, Callable[[], Policy | None]] = {
    "oracle": lambda: None,
    "expected-cost": ExpectedCost,
    "  without probes": lambda: ExpectedCost(probe_share=0.0),
    "  without stopping": lambda: ExpectedCost(price_s=math.inf),
    "ladder": Ladder,
    "weighted-score": WeightedScore,
    "  of all levels": lambda: WeightedScore(escalate=False),
}
#: Those that are shown in every scenario.
MAIN = ("oracle", "expected-cost", "ladder", "weighted-score", "  of all levels")
SCENARIOS = {"stationary": WORLD, "worse": WORSE, "better": BETTER}


def _replicate(task: tuple[str, int, tuple[str, ...]]) -> dict[str, Play]:
    scenario, seed, policies = task
    after = SCENARIOS[scenario]
    row = failures(WORLD, FAILURES, seed)
    return {
        name: play(
            Player(POLICIES[name](), WORLD, seed),
            row,
            lambda number: WORLD if number < CHANGE_AT else after,
        )
        for name in policies
    }


@dataclass
class Report:
    """All replicates of one policy in one scenario."""

    plays: list[Play] = field(default_factory=list)

    def mean(self, name: str, begin: int = 0, end: int | None = None) -> float:
        """Return the mean of a list of `Play` over some of the failures."""
        values = [v for play in self.plays for v in getattr(play, name)[begin:end]]
        return math.fsum(values) / len(values)

    @property
    def recovery_s(self) -> float:
        """Mean seconds until cured, over what was."""
        times = [s for p in self.plays for s, c in zip(p.seconds, p.cured, strict=True) if c]
        return math.fsum(times) / len(times)

    def lost(self, world: World) -> float:
        """Share of the recoverable failures that were not recovered."""
        fates = [
            cured
            for play in self.plays
            for kind, cured in zip(play.kinds, play.cured, strict=True)
            if world.kinds[kind].recoverable
        ]
        return 1 - sum(fates) / len(fates)

    def reached(self, name: str, kind: int | None = None) -> int | None:
        """Return the number of the failure from which on the goal is held, None if never.

        With `kind`, failures of that kind are counted alone, as far as half of the
        replicates have so many of them.
        """
        rows = [
            [v for v, k in zip(getattr(p, name), p.kinds, strict=True) if kind in (None, k)]
            for p in self.plays
        ]
        usual = sorted(len(row) for row in rows)[len(rows) // 2]
        columns = [[row[n] for row in rows if n < len(row)] for n in range(usual)]
        held = None
        for number in range(usual - 1, -1, -1):
            seen = [
                v for column in columns[max(0, number + 1 - WINDOW) : number + 1] for v in column
            ]
            if sum(seen) < GOAL * len(seen):
                break
            held = number + 1
        return held


def gathered(
    scenario: str,
    replicates: int,
    policies: tuple[str, ...],
    run: Callable[..., Iterable[dict[str, Play]]],
) -> dict[str, Report]:
    """Return a report by policy."""
    reports = {name: Report() for name in policies}
    tasks = [(scenario, SEED + number, policies) for number in range(replicates)]
    for plays in run(_replicate, tasks):
        for name, one in plays.items():
            reports[name].plays.append(one)
    return reports


def random_world(seed: int, *, rising: bool) -> World:
    """Return a world drawn at random: six kinds, costs from 0.3 to 90 s, also in order of level."""
    chance = random.Random(seed)
    cured = [0.3 * 300 ** chance.random() for _ in NAMES]
    if rising:
        cured.sort()
    failed = tuple(seconds * chance.uniform(1, 2) for seconds in cured)
    kinds = (
        Kind(f"kind {n}", chance.expovariate(1), _one(*(chance.random() for _ in NAMES)))
        for n in range(6)
    )
    return World(tuple(kinds), tuple(cured), failed)


def _random_replicate(seed: int, *, rising: bool) -> dict[str, Play]:
    world = random_world(seed, rising=rising)
    row = failures(world, 500, seed)
    return {
        name: play(Player(POLICIES[name](), world, seed), row, lambda number: world)
        for name in MAIN
    }


_HEAD = (
    f"{'policy':20}{'mean time to':>13}{'lost':>7}{'wasted':>9}{'regret s/failure':>18}"
    f"{'strict':>8}{'near':>8}{'first held from':>18}\n"
    f"{'':20}{'recover s':>13}{'%':>7}{'s/fail.':>9}{'all':>9}{'last 25%':>9}"
    f"{'l.25% %':>8}{'l.25% %':>8}{'strict':>9}{'near':>9}"
)


def stationary(reports: dict[str, Report]) -> None:
    """Print the table of an unchanging world."""
    print(_HEAD)
    late = FAILURES * 3 // 4
    for name, report in reports.items():
        print(
            f"{name:20}{report.recovery_s:13.2f}{100 * report.lost(WORLD):7.2f}"
            f"{report.mean('wasted'):9.2f}{report.mean('regrets'):9.2f}"
            f"{report.mean('regrets', late):9.2f}{100 * report.mean('strict', late):8.1f}"
            f"{100 * report.mean('near', late):8.1f}"
            f"{_number(report.reached('strict')):>9}{_number(report.reached('near')):>9}"
        )
    print("\nfailures of one kind until 92 % of the first choices are near the best, and stay:")
    print(f"{'':20}" + "".join(f"{kind.name:>11}" for kind in WORLD.kinds))
    for name, report in reports.items():
        numbers = (_number(report.reached("near", kind)) for kind in range(len(WORLD.kinds)))
        print(f"{name:20}" + "".join(f"{number:>11}" for number in numbers))


def _number(value: int | None) -> str:
    return "never" if value is None else str(value)


def changing(scenario: str, reports: dict[str, Report]) -> None:
    """Print what a change costs."""
    print(
        f"{scenario:20}{'regret s/failure after the change':>36}{'its last 200':>15}"
        f"{'near, last 200 %':>19}"
    )
    for name, report in reports.items():
        print(
            f"{name:20}{report.mean('regrets', CHANGE_AT):36.2f}"
            f"{report.mean('regrets', FAILURES - 200):15.2f}"
            f"{100 * report.mean('near', FAILURES - 200):19.1f}"
        )


def anywhere(plays: Sequence[dict[str, Play]]) -> None:
    """Print how it goes in worlds drawn at random."""
    reports = {name: Report([one[name] for one in plays]) for name in MAIN}
    print(
        f"{'policy':20}{'regret s/failure':>18}{'worlds better than the ladder %':>33}"
        f"{'near, last 25 % %':>19}{'first held from':>17}"
    )
    for name, report in reports.items():
        better = sum(
            math.fsum(one[name].regrets) < math.fsum(one["ladder"].regrets) for one in plays
        )
        share = f"{100 * better / len(plays):.0f}" if name != "ladder" else ""
        print(
            f"{name:20}{report.mean('regrets'):18.2f}{share:>33}"
            f"{100 * report.mean('near', 375):19.1f}{_number(report.reached('near')):>17}"
        )


def bars(
    reports: dict[str, Report], changes: dict[str, dict[str, Report]]
) -> Iterator[tuple[bool, str]]:
    """Yield whether each bar is met, and what it says."""
    ours, ladder = reports["expected-cost"], reports["ladder"]
    within = ours.reached("near")
    yield (
        within is not None and within <= 100,
        f"92 % of first choices near the best after at most 100 failures: {_number(within)}",
    )
    by_kind = {
        kind.name: ours.reached("near", number) or math.inf
        for number, kind in enumerate(WORLD.kinds)
    }
    slowest = max(by_kind, key=by_kind.__getitem__)
    number = by_kind[slowest]
    yield (
        number <= 50,
        "and after at most 50 failures of any kind: "
        f"{'never' if number == math.inf else number} ({slowest})",
    )
    regret = ours.mean("regrets", FAILURES * 3 // 4)
    yield regret <= 0.2, f"regret in the last quarter at most 0.2 s a failure: {regret:.2f}"
    saved = 1 - ours.recovery_s / ladder.recovery_s
    yield saved >= 0.35, f"time to recover at least 35 % below the ladder: {100 * saved:.1f} %"
    spared = 1 - ours.mean("wasted") / ladder.mean("wasted")
    yield spared >= 0.70, f"wasted time at least 70 % below the ladder: {100 * spared:.1f} %"
    for scenario, changed in changes.items():
        after = changed["expected-cost"].mean("regrets", CHANGE_AT)
        yield (
            after <= 1.0,
            f"regret at most 1 s a failure over the 600 after a change ({scenario}): {after:.2f}",
        )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200, help="rows of 1000 failures")
    parser.add_argument("--worlds", type=int, default=120, help="worlds drawn at random")
    parser.add_argument("--jobs", type=int, default=1, help="processes to use")
    options = parser.parse_args()
    begun = time.perf_counter()
    print(described())
    print(f"seeds      {SEED} to {SEED + options.replicates - 1}, worlds from {SEED}")
    print(f"price of a lost recovery {PRICE_S:g} s, {FAILURES} failures, change at {CHANGE_AT}\n")
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        run = functools.partial(pool.map, chunksize=4)
        reports = gathered("stationary", options.replicates, tuple(POLICIES), run)
        print(f"An unchanging world, {options.replicates} replicates")
        stationary(reports)
        changes = {}
        for scenario in ("worse", "better"):
            changes[scenario] = gathered(scenario, options.replicates, MAIN, run)
            print(f"\nA change for the {scenario} at failure {CHANGE_AT}")
            changing(scenario, changes[scenario])
        for rising, told in ((False, "whatever they touch"), (True, "more at higher levels")):
            print(f"\n{options.worlds} random worlds, 500 failures each; recoveries cost {told}")
            playing = functools.partial(_random_replicate, rising=rising)
            anywhere(list(run(playing, range(SEED, SEED + options.worlds))))
    print()
    results = list(bars(reports, changes))
    for met, told in results:
        print(f"{'met' if met else 'NOT MET':8} {told}")
    print(f"\n{time.perf_counter() - begun:.0f} s in all")
    if not all(met for met, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
