"""What recoveries cost and cured so far, counted per cell; the input of every choice.

Invariant: plain values in, plain values out; a cell holds the newest outcomes only, so that
what has changed is forgotten, and reading a `Cell` written by `to_dict` gives the same cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Outcomes a cell remembers; more would make it slow to notice a change.
OUTCOMES_KEPT = 20
#: Executions after which the mean cost moves no slower any more.
COSTS_KEPT = 50


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
        recent: Newest outcomes, oldest first: ``1`` cured, ``0`` not; at most 20.
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
