"""Which strategy runs next for a failure, for how long, and what is learned from it.

Invariant: what is chosen applies to the error type, is possible where the failure happened,
is allowed by level, list and limits, and comes with the numbers it was chosen by. One that
failed for the incident comes again only when no other is left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_resilience.core.adaptive import QuantileTimeout, StepTimeout, TimeoutRule
from pytest_resilience.core.events import RecoveryPerformanceRecord
from pytest_resilience.core.experience import Cell, Key
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.hindsight import agreement
from pytest_resilience.core.impact import ScoreTally
from pytest_resilience.core.ports import RandomSource
from pytest_resilience.core.selection import Choice, Experience, Option, Policy, joined
from pytest_resilience.core.strategies import RecoveryStrategy

#: Executions that a level is worth for one item; the lower ones are bounded by attempts alone.
LEVEL_LIMITS = {4: 2, 5: 2}
#: Ways to learn how long a strategy may take; see `core.adaptive`.
TIMEOUT_RULES: Mapping[str, Callable[[], TimeoutRule]] = {
    "quantile": QuantileTimeout,
    "step": StepTimeout,
}


class Memory:
    """What a run knows: what earlier ones have learned, and what it learns itself.

    Args:
        new_timeout: Makes the time-out of a pair never seen.
        timeouts: By (error type, strategy).
        tallies: What the weighted scores are made of, by (error type, strategy).
        told: Why less is known than there should be, "" if all is well.
    """

    def __init__(
        self,
        new_timeout: Callable[[], TimeoutRule],
        *,
        cells: Iterable[Cell] = (),
        timeouts: Mapping[tuple[str, str], TimeoutRule] | None = None,
        tallies: Mapping[tuple[str, str], ScoreTally] | None = None,
        told: str = "",
    ) -> None:
        self.told = told
        self._new_timeout = new_timeout
        self._timeouts = dict(timeouts or {})
        self._tallies = dict(tallies or {})
        self._scores = {pair: tally.score for pair, tally in self._tallies.items()}
        self.experience = Experience(cells, self._scores)

    def timeout(self, error_type: str, strategy: str) -> TimeoutRule:
        """Return the rule that says how long `strategy` may take."""
        pair = (error_type, strategy)
        if pair not in self._timeouts:
            self._timeouts[pair] = self._new_timeout()
        return self._timeouts[pair]

    def learn(self, key: Key, record: RecoveryPerformanceRecord) -> None:
        """Take in how a recovery turned out."""
        self.experience.record(key, success=record.success, cost_s=record.cost_s)
        pair = (key.error_type, key.strategy)
        tally = self._tallies.setdefault(pair, ScoreTally())
        tally.add(
            success=record.success,
            execution_time=record.execution_time,
            impact=record.impact_score,
            stability=record.stability_score,
            affected=record.affected_tasks,
            recovered=record.recovered_tasks,
        )
        self._scores[pair] = tally.score


@dataclass(frozen=True, slots=True)
class Situation:
    """A failure, as far as the choice of its recovery goes.

    Attributes:
        environment: See `events.RecoveryPerformanceRecord`.
        tried: Strategies that ran for the incident without curing it, in order.
        recommended: What the diagnosis would do; preferred where all else is equal.
        transient: True if nothing is broken here, so that only what is recommended makes
            sense, again and again.
        max_level: Highest level allowed.
        allowed: Names the test allows; empty for all.
        error_info: What strategies are asked with whether they are possible.
        start_level: Level to start at, where something of that level or above can help.
        preferred: Names of which one is chosen, where one of them can help.
    """

    error_type: ErrorType
    environment: str
    tried: tuple[str, ...]
    recommended: str
    transient: bool
    max_level: int
    allowed: tuple[str, ...]
    error_info: Mapping[str, Any]
    start_level: int = 1
    preferred: frozenset[str] = frozenset()

    def key(self, strategy: str) -> Key:
        """Return where the outcome of `strategy` is counted."""
        tried = joined(set(self.tried))
        return Key(self.environment, self.error_type.label, tried, strategy)


class Chooser:
    """Chooses by a policy, from what the memory holds.

    Args:
        memory: Called once, when the first choice has to be made.
    """

    def __init__(
        self,
        strategies: Iterable[RecoveryStrategy],
        policy: Policy,
        memory: Callable[[], Memory],
        chance: RandomSource,
    ) -> None:
        self._strategies = {strategy.name: strategy for strategy in strategies}
        self._policy = policy
        self._load = memory
        self._memory: Memory | None = None
        self._chance = chance
        self._firsts: list[tuple[Situation, tuple[Option, ...], str | None]] = []

    @property
    def memory(self) -> Memory:
        """What was learned before and since."""
        if self._memory is None:
            self._memory = self._load()
        return self._memory

    def choose(self, situation: Situation) -> tuple[RecoveryStrategy | None, Choice]:
        """Return what to do about `situation`; None with the reason if nothing is worth it."""
        fitting = self._fitting(situation)
        if not fitting:
            named = ", ".join(situation.allowed)
            allowed = f" of those the test allows ({named})" if named else ""
            reason = f"no recovery up to level {situation.max_level}{allowed} can help"
            return None, Choice(None, reason, ())
        options = tuple(Option(s.name, int(s.level), s.nominal_s) for s in fitting)
        tried = frozenset(situation.tried)
        candidates = self.memory.experience.weigh(
            options,
            environment=situation.environment,
            error_type=situation.error_type.label,
            tried=tried,
        )
        fresh = [c for c in candidates if c.strategy not in tried]
        # With all of them tried, another round: what broke once may break twice.
        barred = tried if fresh and not situation.transient else frozenset()
        choice = self._policy.choose(candidates, tried=barred, chance=self._chance)
        if not tried:
            self._firsts.append((situation, options, choice.strategy))
        return self._strategies.get(choice.strategy or ""), choice

    def timeout_s(self, error_type: ErrorType, strategy: RecoveryStrategy) -> float:
        """Return the seconds `strategy` gets for an error of `error_type`."""
        return self.memory.timeout(error_type.label, strategy.name).timeout_s

    def timed(
        self, error_type: ErrorType, strategy: RecoveryStrategy, seconds: float, timed_out: bool
    ) -> None:
        """Learn how long `strategy` took."""
        self.memory.timeout(error_type.label, strategy.name).observe(seconds, timed_out)

    def learn(self, situation: Situation, record: RecoveryPerformanceRecord) -> None:
        """Learn whether a strategy cured, and after how many seconds that was known."""
        self.memory.learn(situation.key(record.strategy_id), record)

    def agreement(self) -> tuple[int, int]:
        """Return how many first choices were near the best by what is known now, and of how many.

        The best is the choice that the experience of the whole run, earlier ones included,
        would have made; see `hindsight.agreement`.
        """
        if not self._firsts:
            return 0, 0
        good = sum(
            agreement(chosen, self._hindsight(situation, options))
            for situation, options, chosen in self._firsts
        )
        return good, len(self._firsts)

    def _hindsight(self, situation: Situation, options: Sequence[Option]) -> Any:
        return self.memory.experience.weigh(
            options,
            environment=situation.environment,
            error_type=situation.error_type.label,
            tried=frozenset(),
        )

    def _fitting(self, situation: Situation) -> list[RecoveryStrategy]:
        used = Counter(
            int(self._strategies[name].level)
            for name in situation.tried
            if name in self._strategies
        )
        fitting = [
            strategy
            for strategy in self._strategies.values()
            if strategy.applies_to(situation.error_type)
            and strategy.level <= situation.max_level
            and (not situation.allowed or strategy.name in situation.allowed)
            and used[int(strategy.level)] < LEVEL_LIMITS.get(int(strategy.level), math.inf)
            and _possible(strategy, situation.error_info)
        ]
        # What a circuit has found down is not mended by little.
        fitting = [s for s in fitting if s.level >= situation.start_level] or fitting
        fitting = [s for s in fitting if s.name in situation.preferred] or fitting
        if situation.transient:
            recommended = [s for s in fitting if s.name == situation.recommended]
            return recommended or fitting
        return sorted(fitting, key=lambda s: s.name != situation.recommended)


def _possible(strategy: RecoveryStrategy, error_info: Mapping[str, Any]) -> bool:
    try:
        return strategy.possible(error_info)
    except Exception:  # noqa: BLE001 - one that cannot say so cannot help
        return False
