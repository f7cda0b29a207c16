"""Which recovery comes next: what was learned, weighed, and a policy that chooses.

Invariant: a choice is one of the untried candidates or none at all, depends on nothing
but its arguments, and says in one line why; every probability lies between 0 and 1.

The default policy tries first what costs the fewest seconds per cure: the mean cost of a
strategy divided by the probability that it cures. That order is optimal for searching one
thing after another: i before j costs c_i + (1 - p_i) c_j, which is less than the reverse
exactly if c_i / p_i < c_j / p_j.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pytest_resilience.core.experience import COSTS_KEPT, Cell, Key, added, capped, counted
from pytest_resilience.core.impact import UNSEEN_SCORE
from pytest_resilience.core.ports import RandomSource

#: Names that `policy_named` knows, the default first.
POLICIES = ("expected-cost", "weighted-score", "ladder")

#: Successes and failures believed in before anything was seen; the same for every
#: strategy, since a wrong belief about one costs more than none.
PRIOR = (1.0, 1.0)
#: Outcomes that all other sets of what was tried before are worth together.
SHRINKAGE = 4.0
#: Outcomes, and executions, that all other environments together are worth.
FOREIGN_WEIGHT = 2.0
#: Executions that the declared cost of a strategy is worth.
NOMINAL_WEIGHT = 2.0
#: Cures added in comparing, to the credit of what may only have had bad luck.
CREDIT = 0.7
#: Odds that nothing helps against failures of a type, before any was met in the run.
HOPELESS = 0.01
#: Standard deviations between a probability and its upper bound (95 %, one-sided).
SPREAD = 1.64
#: A strategy is a cheap probe if it costs less than this share of the best index.
PROBE_COST = 0.15


@dataclass(frozen=True, slots=True)
class Option:
    """A strategy that may be chosen.

    Attributes:
        level: 1 to 5, see `ProgressiveRecoveryLevel`.
        nominal_s: Seconds it declares to take, used until measured.
    """

    name: str
    level: int
    nominal_s: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy weighed for one situation.

    Attributes:
        p: Probability that it cures, above 0 and below 1.
        upper: Upper bound of that probability, may exceed 1.
        credited: The probability it is compared by, not below `p`; see `CREDIT`.
        cost_s: Mean seconds per execution, cured or not.
        samples: Remembered outcomes in exactly this situation.
        score: Weighted score, 0 to 1; 0.5 if there is none.
    """

    strategy: str
    level: int
    p: float
    upper: float
    credited: float
    cost_s: float
    samples: int
    score: float

    @property
    def index(self) -> float:
        """Expected seconds per cure."""
        return self.cost_s / self.p

    @property
    def claim(self) -> float:
        """Expected seconds per cure, to its credit: what it is compared by."""
        return self.cost_s / self.credited

    @property
    def worst(self) -> float:
        """Seconds per cure if it cures as often as may still be hoped."""
        return self.cost_s / min(1.0, self.upper)

    def told(self) -> str:
        """Return its numbers for people to read."""
        return f"{self.strategy}: {self.cost_s:.1f} s / {self.p:.2f} = {self.index:.1f} s per cure"

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate, its index included, as a JSON-plain dict."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "index": self.index}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a policy decided.

    Attributes:
        strategy: Name of the strategy to run, None to stop recovering.
        reason: One line for people.
        candidates: Everything it was chosen from, the strategies already tried included.
        probe: True if it was chosen to see whether it has begun to help.
    """

    strategy: str | None
    reason: str
    candidates: tuple[Candidate, ...]
    probe: bool = False


def joined(tried: Iterable[str]) -> str:
    """Return `tried` as `Key.tried` has it."""
    return "+".join(sorted(tried))


class Experience:
    """All outcomes so far, and what they say about the next one.

    Args:
        cells: What was learned before; they are copied.
        scores: Weighted score by (error type, strategy); looked up at each weighing, so it
            may be a mapping that changes.
    """

    def __init__(
        self, cells: Iterable[Cell] = (), scores: Mapping[tuple[str, str], float] | None = None
    ) -> None:
        # By (error type, strategy), then environment, then what had been tried.
        self._learned: dict[tuple[str, str], dict[str, dict[str, Cell]]] = {}
        self._scores = {} if scores is None else scores
        # Pairs in which nothing was looked for that has changed since earlier runs.
        self._unread: set[tuple[str, str]] = set()
        # Failures by strategy since anything cured in this run, by (environment, error type).
        self._vain: dict[tuple[str, str], Counter[str]] = {}
        for cell in cells:
            self._place(replace(cell))
        self._unread.update(self._learned)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Copies of all cells."""
        return tuple(
            replace(cell)
            for environments in self._learned.values()
            for situations in environments.values()
            for cell in situations.values()
        )

    def record(self, key: Key, *, success: bool, cost_s: float) -> None:
        """Take in an outcome that took `cost_s` seconds to be known."""
        learned = self._known((key.error_type, key.strategy))
        cell = learned.get(key.environment, {}).get(key.tried)
        if cell is None:
            cell = self._place(Cell(key))
        cell.add(success=success, cost_s=cost_s)
        if cell.renew():
            # Situations differ less than before and after.
            for other in self._learned[key.error_type, key.strategy][key.environment].values():
                if other is not cell:
                    other.recent = ""
        vain = self._vain.setdefault((key.environment, key.error_type), Counter())
        if success:
            vain.clear()
        else:
            vain[key.strategy] += 1

    def hope(self, environment: str, error_type: str) -> float:
        """Return how likely anything helps against `error_type` by now, above 0 and at most 1.

        What may help, nobody knows how often, fails n times in a row with the probability
        1 / (n + 1); where nothing helps, everything fails always. Only what this run has
        seen since the last cure counts: an outage ends.
        """
        vain: Mapping[str, int] = self._vain.get((environment, error_type), {})
        unlikely = math.prod(failures + 1 for failures in vain.values())
        return 1 / (1 + HOPELESS * unlikely) if vain else 1.0

    def weigh(
        self,
        options: Iterable[Option],
        *,
        environment: str,
        error_type: str,
        tried: frozenset[str],
    ) -> tuple[Candidate, ...]:
        """Return a candidate for each of `options`, in their order, the tried ones included."""
        situation = joined(tried)
        return tuple(
            self._weighed(option, environment, error_type, situation) for option in options
        )

    def _known(self, pair: tuple[str, str]) -> dict[str, dict[str, Cell]]:
        learned = self._learned.get(pair, {})
        if pair in self._unread:
            self._unread.remove(pair)
            for cell in (c for situations in learned.values() for c in situations.values()):
                cell.renew()
        return learned

    def _place(self, cell: Cell) -> Cell:
        key = cell.key
        learned = self._learned.setdefault((key.error_type, key.strategy), {})
        learned.setdefault(key.environment, {})[key.tried] = cell
        return cell

    def _weighed(
        self, option: Option, environment: str, error_type: str, situation: str
    ) -> Candidate:
        pair = (error_type, option.name)
        learned = self._known(pair)
        here = learned.get(environment, {})
        elsewhere = [cells for name, cells in learned.items() if name != environment]
        foreign = counted(cells[situation] for cells in elsewhere if situation in cells)
        own = counted([here[situation]] if situation in here else [])
        good, bad = added(_prior(here, situation), capped(foreign, FOREIGN_WEIGHT), own)
        total = good + bad
        hope = self.hope(environment, error_type)
        p = hope * good / total
        # The mean square of something that is nothing without hope.
        square = p * (good + 1) / (total + 1)
        return Candidate(
            strategy=option.name,
            level=option.level,
            p=p,
            upper=p + SPREAD * math.sqrt(max(0.0, square - p * p)),
            credited=hope * (good + CREDIT) / (total + CREDIT),
            cost_s=_cost(option, here.values(), [c for cells in elsewhere for c in cells.values()]),
            samples=sum(own),
            score=self._scores.get(pair, UNSEEN_SCORE),
        )


def _prior(here: Mapping[str, Cell], situation: str) -> tuple[float, float]:
    """Return the pseudo-counts to begin with; they lean on all other situations.

    For a set of what was tried may be rare, and a first choice known only as a later one.
    """
    if situation:
        good, bad = added(PRIOR, counted(here.values()))
        return SHRINKAGE * good / (good + bad), SHRINKAGE * bad / (good + bad)
    later = counted(cell for tried, cell in here.items() if tried)
    return added(PRIOR, capped(later, SHRINKAGE))


def _cost(option: Option, here: Iterable[Cell], elsewhere: Iterable[Cell]) -> float:
    """Return the mean of declared, foreign and own seconds; the own ones soon outweigh all."""
    seconds, weight = NOMINAL_WEIGHT * option.nominal_s, NOMINAL_WEIGHT
    for cells, most in ((elsewhere, FOREIGN_WEIGHT), (here, float(COSTS_KEPT))):
        spent = executions = 0.0
        for cell in cells:
            spent += cell.mean_cost_s * cell.executions
            executions += cell.executions
        if executions:
            trusted = min(most, executions)
            seconds += trusted * spent / executions
            weight += trusted
    return seconds / weight


class Policy(Protocol):
    """A way to choose."""

    @property
    def name(self) -> str:
        """The name under which `policy_named` knows it."""

    def choose(
        self, candidates: Sequence[Candidate], *, tried: frozenset[str], chance: RandomSource
    ) -> Choice:
        """Return which of `candidates`, earlier ones first where equal, but none of `tried`."""


@dataclass(frozen=True, slots=True)
class ExpectedCost:
    """Fewest seconds per cure first; stop when nothing can be worth its cost.

    Attributes:
        price_s: Seconds that a lost recovery is worth; what costs more per cure than this
            even at the upper bound of its probability is not done.
        probe_share: How often a strategy that is cheap beside the best is tried before it,
            and how often one where nothing is worth it, so that what has begun to help is found.
    """

    price_s: float = 120.0
    probe_share: float = 0.03
    name = POLICIES[0]

    def choose(
        self, candidates: Sequence[Candidate], *, tried: frozenset[str], chance: RandomSource
    ) -> Choice:
        """See `Policy.choose`."""
        every = tuple(candidates)
        left = _untried(every, tried)
        worthy = [c for c in left if c.worst <= self.price_s]
        if not worthy:
            least = min(left, key=lambda c: c.worst, default=None)
            if least is None or chance.random() >= self.probe_share:
                return Choice(None, self._stopped(least), every)
            return _probed(least, every)
        best = min(worthy, key=lambda c: (c.claim, c.level))
        cheap = [c for c in worthy if c.cost_s < PROBE_COST * best.index and c is not best]
        if cheap and chance.random() < self.probe_share:
            return _probed(cheap[int(chance.random() * len(cheap))], every)
        reason = f"{best.told()}, {_rank(left)}"
        if (rival := min(worthy, key=lambda c: c.index)).index < best.index:
            reason = f"{best.told()}, and too little known to prefer {rival.told()}"
        return Choice(best.strategy, reason, every)

    def _stopped(self, least: Candidate | None) -> str:
        if least is None:
            return "nothing left to try"
        cure = f"{least.strategy} costs at least {least.worst:.0f} s per cure"
        return f"nothing left is worth it: {cure}, a lost recovery {self.price_s:.0f} s"


@dataclass(frozen=True, slots=True)
class WeightedScore:
    """The highest weighted score.

    Attributes:
        escalate: Take the best of the lowest level, after a failure that of the next; False
            to take the best of all levels.
    """

    escalate: bool = True
    name = POLICIES[1]

    def choose(
        self, candidates: Sequence[Candidate], *, tried: frozenset[str], chance: RandomSource
    ) -> Choice:
        """See `Policy.choose`."""
        every = tuple(candidates)
        left = _untried(every, tried)
        where = ""
        if self.escalate:
            reached = max((c.level for c in every if c.strategy in tried), default=0)
            level = min((c.level for c in left if c.level > reached), default=None)
            left = [c for c in left if c.level == level]
            where = f" at level {level}"
        if not left:
            return Choice(None, "nothing left to try", every)
        best = min(left, key=lambda c: (-c.score, c.level))
        reason = f"{best.strategy}: score {best.score:.2f}, {_rank(left)}{where}"
        return Choice(best.strategy, reason, every)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The lowest level first, whatever was learned."""

    name = POLICIES[2]

    def choose(
        self, candidates: Sequence[Candidate], *, tried: frozenset[str], chance: RandomSource
    ) -> Choice:
        """See `Policy.choose`."""
        every = tuple(candidates)
        left = _untried(every, tried)
        if not left:
            return Choice(None, "nothing left to try", every)
        lowest = min(left, key=lambda c: c.level)
        reason = f"{lowest.strategy}: level {lowest.level}, the lowest left"
        return Choice(lowest.strategy, reason, every)


def policy_named(name: str) -> Policy:
    """Return the policy called `name`, with its defaults.

    Raises:
        ValueError: There is none of that name.
    """
    policies: dict[str, Policy] = {p.name: p for p in (ExpectedCost(), WeightedScore(), Ladder())}
    if name not in policies:
        raise ValueError(f"unknown policy {name!r}; valid ones: {', '.join(POLICIES)}")
    return policies[name]


def _untried(candidates: Iterable[Candidate], tried: frozenset[str]) -> list[Candidate]:
    return [c for c in candidates if c.strategy not in tried]


def _probed(candidate: Candidate, every: tuple[Candidate, ...]) -> Choice:
    reason = f"{candidate.told()}; tried to see whether it helps by now"
    return Choice(candidate.strategy, reason, every, probe=True)


def _rank(left: Sequence[Candidate]) -> str:
    return f"best of {len(left)}" if len(left) > 1 else "the only one left"
