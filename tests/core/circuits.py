"""Breakers to try, on a clock that passes when told, and ways to bring them into a state."""

from __future__ import annotations

from typing import Any

from pytest_resilience.core.circuit import Cell, CircuitBreaker, CircuitConfig, CircuitState
from pytest_resilience.core.registry import CircuitRegistry
from tests.doubles import FakeClock

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED

CONFIG = CircuitConfig(
    failure_threshold=2,
    recovery_timeout=60,
    half_open_after=8,
    success_threshold=2,
    minimum_calls=50,
    lease_s=20,
)


class LowChance:
    """Draws the least."""

    def random(self) -> float:
        return 0.0


def new(clock: FakeClock, *, cell: Cell | None = None, **more: Any) -> CircuitBreaker:
    settings: dict[str, Any] = {"config": CONFIG, "name": "chrome", "kind": "browser", **more}
    return CircuitBreaker(monotonic=clock.monotonic, chance=LowChance(), cell=cell, **settings)


def new_registry(clock: FakeClock, *args: Any, **more: Any) -> CircuitRegistry:
    return CircuitRegistry(*args, monotonic=clock.monotonic, chance=LowChance(), **more)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    breaker.record_failure("refused")
    breaker.record_failure("refused again")
    assert breaker.get_state() is OPEN
    return breaker


def half_opened(breaker: CircuitBreaker, clock: FakeClock) -> CircuitBreaker:
    opened(breaker)
    clock.sleep(60)
    assert breaker.get_state() is HALF_OPEN
    return breaker


def fail() -> None:
    raise ConnectionError("refused\nby the grid")
