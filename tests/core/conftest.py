"""A breaker to try, and a registry of some, on a clock that passes when told."""

from __future__ import annotations

import pytest

from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.registry import CircuitRegistry
from tests.core.circuits import new, new_registry
from tests.doubles import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of `breaker` and `registry`."""
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """Return a closed circuit."""
    return new(clock)


@pytest.fixture
def registry(clock: FakeClock) -> CircuitRegistry:
    """Return a registry without circuits."""
    return new_registry(clock)
