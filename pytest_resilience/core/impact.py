"""What a recovery did to its surroundings, and what its strategy is worth by a weighted score.

Invariant: every share, and every result, lies between 0 and 1; nothing is measured here.

An impact is the sum of five shares, of at most 0.25 each, cut at 1. Memory, processor and time
are reckoned by a given rule: a share for a hundredth of each per cent point, and a share for
240 seconds. That rule names two more shares and leaves them open; here they are: a twentieth
for each test that was touched, and 0.25 times the part of them that did not go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: What one share of an impact can reach.
SHARE = 0.25
#: Seconds of recovery, and tests touched, that would make a whole.
TIME_WHOLE_S = 240.0
TASKS_WHOLE = 20
#: Per cent of use of a processor, or of memory, from which stability suffers.
COMFORTABLE_PERCENT = 80.0
#: Score of a strategy that has none yet.
UNSEEN_SCORE = 0.5
#: Seconds at which a recovery is worth nothing any more for its speed.
WORST_SECONDS = 30.0


def impact_shares(
    before: Mapping[str, float],
    after: Mapping[str, float],
    execution_time: float,
    affected: int,
    recovered: int,
) -> dict[str, float]:
    """Return the five shares of `impact` by name, each 0 to 0.25."""
    lost = max(0, affected - recovered) / affected if affected > 0 else 0.0
    return {
        "memory": _changed("memory_percent", before, after),
        "cpu": _changed("cpu_percent", before, after),
        "time": min(max(0.0, execution_time) / TIME_WHOLE_S, SHARE),
        "tasks": min(max(0, affected) / TASKS_WHOLE, SHARE),
        "recovery": SHARE * lost,
    }


def impact(
    before: Mapping[str, float],
    after: Mapping[str, float],
    execution_time: float,
    affected: int,
    recovered: int,
) -> float:
    """Return how much a recovery disturbed, 0 (not at all) to 1.

    Args:
        before: ``memory_percent`` and ``cpu_percent`` of the host, 0 to 100; what is missing
            before or after counts as unchanged.
        after: The same, once the strategy was done.
        execution_time: Seconds it took.
        affected: Tests the failure touched.
        recovered: Those of them that went on.
    """
    return min(1.0, sum(impact_shares(before, after, execution_time, affected, recovered).values()))


def _changed(name: str, before: Mapping[str, float], after: Mapping[str, float]) -> float:
    if name not in before or name not in after:
        return 0.0
    return min(abs(after[name] - before[name]) / 100.0, SHARE)


def stability(
    *,
    cpu_percent: float,
    memory_percent: float,
    sessions: int = 0,
    answering: int = 0,
    affected: int = 0,
    recovered: int = 0,
    database_up: bool | None = None,
) -> float:
    """Return how sound everything is after a recovery, 0 (unstable) to 1.

    It is the mean of the components there are: sessions that answer, tests that went on, the
    database, and head-room, which is whole up to 80 % of use and gone at 100 %.

    Args:
        cpu_percent: Use of the processors, 0 to 100.
        memory_percent: Use of the memory, 0 to 100; the scarcer of the two counts.
        sessions: Browser sessions there should be; 0 leaves them out.
        answering: Those that answer.
        affected: Tests the failure touched; 0 leaves them out.
        recovered: Those of them that went on.
        database_up: Whether a database the environment needs answers; None if it needs none.
    """
    spare = 100.0 - max(cpu_percent, memory_percent)
    components = [_share(spare / (100.0 - COMFORTABLE_PERCENT))]
    components += [
        _share(part / whole)
        for part, whole in ((answering, sessions), (recovered, affected))
        if whole > 0
    ]
    if database_up is not None:
        components.append(float(database_up))
    return math.fsum(components) / len(components)


def _share(value: float) -> float:
    return max(0.0, min(1.0, value))


@dataclass(slots=True)
class ScoreTally:
    """Sums over all recoveries of a strategy, and the weighted score they make.

    It is a sum of 0.40 times the success rate and 0.15 times each of speed (1 at 0 s, 0 at
    30 s, over the successes), 1 minus impact, stability and the rate of recovered tests.
    """

    samples: int = 0
    successes: int = 0
    success_s: float = 0.0
    impact: float = 0.0
    stability: float = 0.0
    rated: int = 0
    recovered: float = 0.0

    def add(
        self,
        *,
        success: bool,
        execution_time: float,
        impact: float,
        stability: float,
        affected: int,
        recovered: int,
    ) -> None:
        """Take in one recovery; see `RecoveryPerformanceRecord` for the meanings."""
        self.samples += 1
        self.successes += success
        self.success_s += execution_time * success
        self.impact += impact
        self.stability += stability
        if affected > 0:
            self.rated += 1
            self.recovered += recovered / affected

    @property
    def score(self) -> float:
        """The weighted score, 0 to 1; 0.5 if nothing was added."""
        if not self.samples:
            return UNSEEN_SCORE
        speed = 0.0
        if self.successes:
            speed = _share(1.0 - self.success_s / self.successes / WORST_SECONDS)
        impact, stability = self.impact / self.samples, self.stability / self.samples
        recovered = self.recovered / self.rated if self.rated else 0.0
        rate = self.successes / self.samples
        return 0.40 * rate + 0.15 * (speed + (1.0 - impact) + stability + recovered)
