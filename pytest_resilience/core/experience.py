"""What recoveries cost and cured so far, counted per cell; the input of every choice.

Invariant: plain values in, plain values out; a cell holds the newest outcomes only, and of
those none from before a change that is beyond doubt; reading a `Cell` written by `to_dict`
gives the same cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Outcomes a cell remembers; fewer could not tell close alternatives apart.
OUTCOMES_KEPT = 40
#: Executions after which the mean cost moves no slower any more.
COSTS_KEPT = 50
#: How likely a cell changes from one outcome to the next, as far as one knows beforehand.
CHANGE = 1 / 1000
#: Probability of a change from which on it is beyond doubt.
SURE = 0.9


@dataclass(frozen=True, slots=True)
class Key:
    """What an outcome speaks about.

    Attributes:
        environment: See `events.RecoveryPerformanceRecord`.
        error_type: Label of an `ErrorType`.
        tried: Names of strategies that had failed before in the incident, sorted, joined by ``+``.
        strategy: Name of the strategy.
    """

    environment: str
    error_type: str
    tried: str
    strategy: str


@dataclass(slots=True)
class Cell:
    """Outcomes and cost of one strategy in one situation.

    Attributes:
        recent: Newest outcomes, oldest first: ``1`` cured, ``0`` not; at most 40.
        mean_cost_s: Mean seconds until the outcome was known, over all executions up to a cap.
        executions: How many executions the mean stands for, at most 50.
    """

    key: Key
    recent: str = ""
    mean_cost_s: float = 0.0
    executions: int = 0

    @property
    def successes(self) -> int:
        """Cures among the remembered outcomes."""
        return self.recent.count("1")

    @property
    def failures(self) -> int:
        """The other remembered outcomes."""
        return self.recent.count("0")

    def add(self, *, success: bool, cost_s: float) -> None:
        """Take in one more outcome that cost `cost_s` seconds."""
        self.recent = (self.recent + "01"[success])[-OUTCOMES_KEPT:]
        self.executions = min(COSTS_KEPT, self.executions + 1)
        self.mean_cost_s += (cost_s - self.mean_cost_s) / self.executions

    def renew(self) -> bool:
        """Forget what came before a change, if there was one beyond doubt; return whether."""
        since = unchanged(self.recent)
        changed = since < len(self.recent)
        if changed:
            self.recent = self.recent[-since:]
        return changed

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as a JSON-plain dict."""
        key = self.key
        return {
            "environment": key.environment,
            "error_type": key.error_type,
            "tried": key.tried,
            "strategy": key.strategy,
            "recent": self.recent,
            "mean_cost_s": self.mean_cost_s,
            "executions": self.executions,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cell:
        """Return the cell written by `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: It is not one.
        """
        key = Key(*(str(data[name]) for name in ("environment", "error_type", "tried", "strategy")))
        recent = str(data["recent"])[-OUTCOMES_KEPT:]
        if set(recent) - {"0", "1"}:
            raise ValueError(f"outcomes must be 0 or 1: {recent!r}")
        return cls(key, recent, float(data["mean_cost_s"]), int(data["executions"]))


def unchanged(recent: str) -> int:
    """Return how many of the newest outcomes are from after the latest change; all if none was.

    Holds one rate of cures for all outcomes against two, one before and one after a change,
    wherever that may have been. Any rate is as likely as any other beforehand, so that n
    cures and m failures in a given order have the probability n! m! / (n + m + 1)!.

    Args:
        recent: See `Cell`.
    """
    cures, failures = recent.count("1"), recent.count("0")
    if not cures or not failures:
        return len(recent)
    alike = _log_likelihood(cures, failures)
    odds, likeliest, since = 0.0, 0.0, len(recent)
    new_cures = new_failures = 0
    for number, outcome in enumerate(reversed(recent[1:]), 1):
        new_cures += outcome == "1"
        new_failures += outcome == "0"
        apart = _log_likelihood(new_cures, new_failures)
        apart += _log_likelihood(cures - new_cures, failures - new_failures)
        ratio = CHANGE * math.exp(apart - alike)
        odds += ratio
        if ratio > likeliest:
            likeliest, since = ratio, number
    return since if odds > SURE / (1 - SURE) else len(recent)


def _log_likelihood(cures: int, failures: int) -> float:
    return math.lgamma(cures + 1) + math.lgamma(failures + 1) - math.lgamma(cures + failures + 2)


def counted(cells: Iterable[Cell]) -> tuple[int, int]:
    """Return the cures, and the other outcomes, that `cells` remember."""
    good = bad = 0
    for cell in cells:
        good += cell.successes
        bad += cell.failures
    return good, bad


def capped(counts: tuple[int, int], most: float) -> tuple[float, float]:
    """Return `counts`, made smaller alike if they are worth more than `most` outcomes."""
    trusted = min(1.0, most / max(1, sum(counts)))
    return trusted * counts[0], trusted * counts[1]


def added(*counts: tuple[float, float]) -> tuple[float, float]:
    """Return the sums of cures and of other outcomes."""
    return sum(good for good, _ in counts), sum(bad for _, bad in counts)
