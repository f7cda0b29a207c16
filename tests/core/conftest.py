"""A breaker to try, on a clock that passes when told."""

from __future__ import annotations

import pytest

from pytest_resilience.core.circuit import CircuitBreaker
from tests.core.circuits import new
from tests.doubles import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of `breaker`."""
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """Return a closed circuit."""
    return new(clock)
