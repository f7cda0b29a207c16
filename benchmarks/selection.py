"""Does the policy choose the right recovery, how soon, and what does that save?

    python -m benchmarks.selection [--replicates 200] [--worlds 120] [--jobs 1] [--seed 20260]

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
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.machine import described
from benchmarks.plays import Play, Player, play
from benchmarks.worlds import BETTER, PRICE_S, WORLD, WORSE, World, failures, random_world
from pytest_resilience.core.selection import ExpectedCost, Ladder, Policy, WeightedScore

SEED = 20_260
FAILURES, CHANGE_AT = 1000, 400
#: Neighbouring failures over which a share is taken, the newest included.
WINDOW = 10
GOAL = 0.92

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
    seed: int = SEED,
) -> dict[str, Report]:
    """Return a report by policy; the first replicate has `seed`."""
    reports = {name: Report() for name in policies}
    tasks = [(scenario, seed + number, policies) for number in range(replicates)]
    for plays in run(_replicate, tasks):
        for name, one in plays.items():
            reports[name].plays.append(one)
    return reports


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
    parser.add_argument("--seed", type=int, default=SEED, help="of the first row and world")
    options = parser.parse_args()
    begun = time.perf_counter()
    print(described())
    seed = options.seed
    print(f"seeds      {seed} to {seed + options.replicates - 1}, worlds from {seed}")
    print(f"price of a lost recovery {PRICE_S:g} s, {FAILURES} failures, change at {CHANGE_AT}\n")
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        run = functools.partial(pool.map, chunksize=4)
        reports = gathered("stationary", options.replicates, tuple(POLICIES), run, seed)
        print(f"An unchanging world, {options.replicates} replicates")
        stationary(reports)
        changes = {}
        for scenario in ("worse", "better"):
            changes[scenario] = gathered(scenario, options.replicates, MAIN, run, seed)
            print(f"\nA change for the {scenario} at failure {CHANGE_AT}")
            changing(scenario, changes[scenario])
        for rising, told in ((False, "whatever they touch"), (True, "more at higher levels")):
            print(f"\n{options.worlds} random worlds, 500 failures each; recoveries cost {told}")
            playing = functools.partial(_random_replicate, rising=rising)
            anywhere(list(run(playing, range(seed, seed + options.worlds))))
    print()
    results = list(bars(reports, changes))
    for met, told in results:
        print(f"{'met' if met else 'NOT MET':8} {told}")
    print(f"\n{time.perf_counter() - begun:.0f} s in all")
    if not all(met for met, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
