"""When a circuit opens, and how long it stays open: its parameters.

Invariant: a `CircuitConfig` that exists is valid, and none of its parameters is left open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pytest_resilience.exceptions import ConfigurationError

#: Seconds after an opening before which no health probe half-opens, if not given otherwise.
HALF_OPEN_AFTER_S = 30.0
#: Calls without which a rate of failures says nothing, unless more failures are tolerated.
MINIMUM_CALLS = 5
#: Trials at once, at most: the record of a circuit has a place for each.
MOST_PROBES = 10
#: A factor that, to any power in use, stays a finite number.
MOST_GROWTH = 10.0


@dataclass(frozen=True, slots=True)
class CircuitConfig:
    """Parameters of a circuit.

    Attributes:
        failure_threshold: Failures in a row that open it, at least 1.
        recovery_timeout: Seconds, above 0. So long after it opened it half-opens by itself;
            also the upper bound of the time before a health probe may half-open it.
        half_open_after: Seconds from 0 to `recovery_timeout`. Before, no health probe
            half-opens it. Multiplied with `growth` at each reopening, and up to a tenth longer
            by chance. 30, or `recovery_timeout` if that is less, if not given.
        success_threshold: Trials in a row that have to succeed to close it, at least 1.
        failure_rate: Share of failures in the window that opens it, above 0 and at most 1.
        minimum_calls: Calls in the window without which the share does not count, at least 1;
            5, or `failure_threshold` if that is more, if not given.
        window_s: Seconds for which a call counts for the share, above 0.
        probes: Trials at the same time while it is half-open, 1 to 10.
        lease_s: Seconds after which a trial without a result counts as failed, above 0.
        growth: Factor by which `half_open_after` grows, 1 to 10.
        predictive: Whether it also opens when latency and failures are on the rise;
            see `circuit_window.is_worsening`.
    """

    failure_threshold: int = 5
    recovery_timeout: float = 60.0
    # None stands for a number that depends on the other parameters, until it is made.
    half_open_after: float = None  # type: ignore[assignment]
    success_threshold: int = 2
    failure_rate: float = 0.5
    minimum_calls: int = None  # type: ignore[assignment]
    window_s: float = 60.0
    probes: int = 1
    lease_s: float = 60.0
    growth: float = 2.0
    predictive: bool = False

    def __post_init__(self) -> None:
        """Fill in what was not given.

        Raises:
            ConfigurationError: A parameter is not valid; names it, its value and the valid ones.
        """
        _whole(self, "failure_threshold")
        _seconds(self, "recovery_timeout")
        self._complete()
        _whole(self, "success_threshold")
        _whole(self, "minimum_calls")
        _whole(self, "probes", MOST_PROBES)
        for name in ("window_s", "lease_s"):
            _seconds(self, name)
        _between(self, "half_open_after", 0.0, self.recovery_timeout, "recovery_timeout")
        _between(self, "growth", 1.0, MOST_GROWTH)
        if not _is_number(self.failure_rate) or not 0 < self.failure_rate <= 1:
            raise _invalid(self, "failure_rate", "a number above 0 and at most 1")
        if not isinstance(self.predictive, bool):
            raise _invalid(self, "predictive", "True or False")

    def _complete(self) -> None:
        if self.half_open_after is None:
            earliest = min(HALF_OPEN_AFTER_S, self.recovery_timeout)
            object.__setattr__(self, "half_open_after", earliest)
        if self.minimum_calls is None:
            calls = max(MINIMUM_CALLS, self.failure_threshold)
            object.__setattr__(self, "minimum_calls", calls)


def _whole(config: CircuitConfig, name: str, most: float = math.inf) -> None:
    value: Any = getattr(config, name)
    if type(value) is not int or not 1 <= value <= most:
        bound = "of at least 1" if most == math.inf else f"from 1 to {most}"
        raise _invalid(config, name, f"a whole number {bound}")


def _seconds(config: CircuitConfig, name: str) -> None:
    value: Any = getattr(config, name)
    if not _is_number(value) or value <= 0:
        raise _invalid(config, name, "a number of seconds above 0")


def _between(config: CircuitConfig, name: str, least: float, most: float, bound: str = "") -> None:
    value: Any = getattr(config, name)
    if not _is_number(value) or not least <= value <= most:
        called = f", which is {bound}" if bound else ""
        raise _invalid(config, name, f"a number from {least:g} to {most:g}{called}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _invalid(config: CircuitConfig, name: str, valid: str) -> ConfigurationError:
    value: Any = getattr(config, name)
    return ConfigurationError(f"{name}: {value!r} is not valid; expected {valid}.")
