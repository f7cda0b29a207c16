"""What small numbers allow to be said: intervals, comparisons, and when to say nothing.

Invariant: plain numbers in, plain numbers out, and nothing but the standard library. Counts
that come in clusters (the recoveries of one session fail together) are made as small as
they are worth before they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

#: Correlation inside a session that is believed in before any was seen, and how firmly:
#: as if so many sessions had shown it.
_PRIOR_CORRELATION, _PRIOR_SESSIONS = 0.05, 10.0
#: What it takes to speak of a change: sessions before, sessions and recoveries of late.
LEAST_BASELINE_SESSIONS, LEAST_RECENT_SESSIONS, LEAST_RECENT = 10, 3, 20
#: Largest p of a change, least change of a rate, share of false alarms over all that is tested.
ALPHA, LEAST_CHANGE, FALSE_ALARMS = 0.01, 0.05, 0.10

INSUFFICIENT, STABLE, REGRESSION, IMPROVEMENT = (
    "insufficient data",
    "stable",
    "regression",
    "improvement",
)

#: One session: how many succeeded, of how many.
Cluster = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rate:
    """A success rate and how sure it is.

    Attributes:
        low: Lower end of Wilson's 95 % interval; 0 with nothing counted.
        high: Its upper end; 1 with nothing counted.
    """

    successes: int
    executions: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """Successes per execution, None with nothing counted."""
        return self.successes / self.executions if self.executions else None

    def to_dict(self) -> dict[str, Any]:
        """Return the rate as a JSON-plain dict."""
        return {
            "executions": self.executions,
            "successes": self.successes,
            "success_rate": self.rate,
            "success_low": self.low,
            "success_high": self.high,
        }


def rate_of(successes: int, executions: int) -> Rate:
    """Return the rate with its interval."""
    return Rate(successes, executions, *wilson(successes, executions))


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for a share of `successes` in `n`; (0, 1) if `n` is 0."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def fisher(successes: int, n: int, baseline_successes: int, baseline_n: int) -> float:
    """Return the one-sided p of Fisher's exact test.

    It is the chance of a rate as far from the baseline's, in the direction it lies, if
    nothing had changed; 1 if the rates are equal or one of the counts is 0.
    """
    if not n or not baseline_n:
        return 1.0
    difference = successes * baseline_n - baseline_successes * n
    if difference == 0:
        return 1.0
    total, marked = n + baseline_n, successes + baseline_successes
    least, most = max(0, marked - baseline_n), min(n, marked)
    found = range(least, successes + 1) if difference < 0 else range(successes, most + 1)
    whole = _log_choose(total, n)
    chance = sum(
        math.exp(_log_choose(marked, k) + _log_choose(total - marked, n - k) - whole) for k in found
    )
    return min(1.0, chance)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def effective(clusters: Sequence[Cluster]) -> Cluster:
    """Return what `clusters` are worth together: successes and executions, made smaller.

    They are divided by the design effect 1 + (m - 1) r: m executions in the session of an
    average execution, r the correlation inside sessions, estimated from the differences
    between them and drawn towards 0.05.
    """
    clusters = [cluster for cluster in clusters if cluster[1] > 0]
    n = sum(size for _, size in clusters)
    if not n:
        return 0, 0
    size = sum(size * size for _, size in clusters) / n
    effect = 1 + (size - 1) * _correlation(clusters)
    return round(sum(k for k, _ in clusters) / effect), round(n / effect)


def _correlation(clusters: Sequence[Cluster]) -> float:
    """Return the correlation inside clusters, by analysis of variance, with the prior."""
    count, n = len(clusters), sum(size for _, size in clusters)
    seen = 0.0
    if 1 < count < n:
        mean = sum(k for k, _ in clusters) / n
        between = sum(size * (k / size - mean) ** 2 for k, size in clusters) / (count - 1)
        within = sum(k * (1 - k / size) for k, size in clusters) / (n - count)
        typical = (n - sum(size * size for _, size in clusters) / n) / (count - 1)
        spread = between + (typical - 1) * within
        seen = max(0.0, min(1.0, (between - within) / spread)) if spread > 0 else 0.0
    weight = _PRIOR_SESSIONS + count
    return (_PRIOR_CORRELATION * _PRIOR_SESSIONS + seen * count) / weight


@dataclass(frozen=True, slots=True)
class Change:
    """A comparison of late sessions with those before.

    Attributes:
        p: Of Fisher's test on effective counts, None if too little is known.
        state: One of the four words of this module; `judged` makes it final.
    """

    recent: Rate
    baseline: Rate
    recent_sessions: int
    baseline_sessions: int
    p: float | None

    @property
    def difference(self) -> float:
        """How much the rate has risen, 0 if one of them is not known."""
        if self.recent.rate is None or self.baseline.rate is None:
            return 0.0
        return self.recent.rate - self.baseline.rate


def compare(recent: Sequence[Cluster], baseline: Sequence[Cluster]) -> Change:
    """Compare the sessions of late with the ones before them."""
    rates = [rate_of(sum(k for k, _ in c), sum(n for _, n in c)) for c in (recent, baseline)]
    enough = (
        len(recent) >= LEAST_RECENT_SESSIONS
        and len(baseline) >= LEAST_BASELINE_SESSIONS
        and rates[0].executions >= LEAST_RECENT
    )
    p = fisher(*effective(recent), *effective(baseline)) if enough else None
    return Change(rates[0], rates[1], len(recent), len(baseline), p)


def judged(changes: Sequence[Change]) -> list[str]:
    """Return the state of each of `changes`, which were all looked at together.

    The more is compared, the more seems to change by chance: only those stand whose p also
    passes the rule of Benjamini and Hochberg, so that one in ten of them may be false.
    """
    tested = sorted(change.p for change in changes if change.p is not None)
    passing = [p for rank, p in enumerate(tested, 1) if p <= FALSE_ALARMS * rank / len(tested)]
    limit = min(ALPHA, max(passing, default=-1.0))
    return [_state(change, limit) for change in changes]


def _state(change: Change, limit: float) -> str:
    if change.p is None:
        return INSUFFICIENT
    if change.p > limit or abs(change.difference) < LEAST_CHANGE:
        return STABLE
    return REGRESSION if change.difference < 0 else IMPROVEMENT
