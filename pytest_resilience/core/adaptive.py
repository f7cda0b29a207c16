"""How long a recovery may take, learned from how long it took: one rule per pair to be timed.

Invariant: a time-out lies between its rule's floor and ceiling, whatever was observed, and
`from_dict` of what `to_dict` wrote gives the same time-outs from there on.

A time-out learned from successes alone cuts off its own evidence: each one that is too short
hides the long durations that would lengthen it. So an execution that was cut off stays among
the observations, as one that takes *at least* so long.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

#: Bounds of every time-out in seconds.
FLOOR_S, CEILING_S = 5.0, 300.0
#: Observations remembered, and how many it takes before they are believed.
WINDOW, ENOUGH = 60, 10
#: The time-out is so many times this quantile.
FACTOR, QUANTILE = 2.0, 0.95
#: Until enough are known: so many times the longest, and at least so many seconds.
EARLY_FACTOR, EARLY_S = 10.0, 60.0
#: What a time-out is multiplied with after each one that struck, until a success.
BACK_OFF = 2.0


class TimeoutRule(Protocol):
    """A way to learn one time-out."""

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""

    def observe(self, seconds: float, timed_out: bool) -> None:
        """Take in an execution that ended, or was cut off, after `seconds`."""

    def to_dict(self) -> dict[str, Any]:
        """Return all that was learned as a JSON-plain dict."""


@dataclass(slots=True)
class QuantileTimeout:
    """Twice the 95th percentile of the newest durations, the ones cut off included.

    Attributes:
        floor_s: Least time-out.
        ceiling_s: Greatest time-out, also used until one duration is known. From there until
            ten are, ten times the longest and at least a minute.
        factor: What the quantile is multiplied with.
        share: The quantile, above 0 and at most 1.
        window: Durations remembered.
        durations: The newest ones, oldest first: seconds, and whether it was cut off then.
            Each time-out since the last one that ended by itself doubles the time-out.
    """

    floor_s: float = FLOOR_S
    ceiling_s: float = CEILING_S
    factor: float = FACTOR
    share: float = QUANTILE
    window: int = WINDOW
    durations: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""
        if not self.durations:
            return self.ceiling_s
        seconds = self.factor * quantile(self.durations, self.share)
        if len(self.durations) < ENOUGH:
            seconds = max(EARLY_S, EARLY_FACTOR * max(self.durations)[0])
        strikes = itertools.takewhile(lambda duration: duration[1], reversed(self.durations))
        seconds = max(self.floor_s, seconds) * BACK_OFF ** sum(1 for _ in strikes)
        return min(self.ceiling_s, seconds)

    def observe(self, seconds: float, timed_out: bool) -> None:
        """See `TimeoutRule.observe`."""
        self.durations.append((seconds, timed_out))
        del self.durations[: -self.window]

    def to_dict(self) -> dict[str, Any]:
        """Return all that was learned as a JSON-plain dict."""
        durations = [[seconds, cut] for seconds, cut in self.durations]
        return {"rule": "quantile", "durations": durations}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **bounds: Any) -> QuantileTimeout:
        """Return the rule that `to_dict` wrote; `bounds` are further attributes.

        Raises:
            KeyError, TypeError, ValueError: It is not one.
        """
        rule = cls(**bounds)
        rule.durations = [(float(s), bool(cut)) for s, cut in data["durations"]][-rule.window :]
        return rule


def quantile(durations: Iterable[tuple[float, bool]], share: float) -> float:
    """Return the least duration that `share` of all executions do not exceed.

    Executions that were cut off count as longer than when they were (the estimate of Kaplan
    and Meier). Where too many were, the longest duration seen stands for the quantile.

    Args:
        durations: Seconds, and whether it was cut off then; at least one.
        share: Above 0 and at most 1.

    Raises:
        ValueError: There are no durations.
    """
    ordered = sorted(durations)
    if not ordered:
        raise ValueError("a quantile needs at least one duration")
    lasting = 1.0
    for number, (seconds, cut) in enumerate(ordered):
        if not cut:
            # One of those that were still running ended.
            lasting *= 1 - 1 / (len(ordered) - number)
            # The products of a share such as 0.95 are off by a few bits.
            if lasting <= 1 - share + 1e-12:
                return seconds
    return ordered[-1][0]


@dataclass(slots=True)
class StepTimeout:
    """A tenth less after each success, half as much again after each time-out.

    Attributes:
        base_s: Time-out to begin with; successes never bring it below half of this.
        floor_s: Least time-out.
        ceiling_s: Greatest time-out.
        current_s: The time-out; None before the first observation.
    """

    base_s: float = 30.0
    floor_s: float = FLOOR_S
    ceiling_s: float = CEILING_S
    current_s: float | None = None

    @property
    def timeout_s(self) -> float:
        """Seconds the next execution may take."""
        seconds = self.base_s if self.current_s is None else self.current_s
        return max(self.floor_s, min(self.ceiling_s, seconds))

    def observe(self, seconds: float, timed_out: bool) -> None:
        """See `TimeoutRule.observe`."""
        now = self.timeout_s
        self.current_s = (
            min(now * 1.5, self.ceiling_s)
            if timed_out
            else max(now * 0.9, self.base_s * 0.5, self.floor_s)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all that was learned as a JSON-plain dict."""
        return {"rule": "step", "base_s": self.base_s, "current_s": self.current_s}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **bounds: Any) -> StepTimeout:
        """Return the rule that `to_dict` wrote; `bounds` are further attributes.

        Raises:
            KeyError, TypeError, ValueError: It is not one.
        """
        current = data["current_s"]
        now = None if current is None else float(current)
        return cls(base_s=float(data["base_s"]), current_s=now, **bounds)


def rule_from_dict(data: Mapping[str, Any], **bounds: Any) -> TimeoutRule:
    """Return the rule that its `to_dict` wrote; `bounds` are `floor_s` and `ceiling_s`.

    Raises:
        KeyError, TypeError, ValueError: It is not one.
    """
    name = data["rule"]
    if name == "quantile":
        return QuantileTimeout.from_dict(data, **bounds)
    if name == "step":
        return StepTimeout.from_dict(data, **bounds)
    raise ValueError(f"unknown rule for time-outs {name!r}; valid ones: quantile, step")
