"""Circuits on the clock of this machine: for user code, and the registry of the run.

Invariant: a decorated function asks the registry at each call, so that what a run configures
holds for functions that were decorated before it began.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from pytest_resilience.core import circuit
from pytest_resilience.core.circuit import Cell
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_outcomes import outcome_of
from pytest_resilience.core.circuit_protection import Function, protected
from pytest_resilience.core.circuit_record import Outcome
from pytest_resilience.core.registry import CircuitRegistry, MakeCell


class CircuitBreaker(circuit.CircuitBreaker):
    """A circuit breaker on the monotonic clock of the machine.

    Args:
        failure_threshold: Failures in a row that open it, at least 1.
        recovery_timeout: Seconds, above 0, after which it half-opens by itself.
        half_open_after: Seconds from 0 to `recovery_timeout` before which no health probe
            half-opens it; 30, or `recovery_timeout` if that is less, if not given.
        name: Appears in messages and metrics.
        success_threshold: Trials in a row that have to succeed to close it.
        failure_rate: Share of failures that opens it, above 0 and at most 1.
        minimum_calls: Calls without which the share does not count.
        window_s: Seconds for which a call counts for the share.
        probes: Trials at the same time while it is half-open, 1 to 10.
        lease_s: Seconds after which a trial without a result counts as failed.
        growth: Factor by which `half_open_after` grows at each reopening, 1 to 10.
        predictive: Whether it also opens when latency and failures are on the rise.
        kind: What kind of thing it stands for, for messages.
        cell: Where its record is; in this process's memory if not given.
        judge: Says what the error of a protected call, or None, means.
        monotonic: Returns seconds; the clock of those who share the cell, if that is not the
            one of this machine.

    Raises:
        ConfigurationError: A parameter is not valid.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60.0,
        half_open_after: float | None = None,
        name: str = "circuit",
        *,
        success_threshold: int = 2,
        failure_rate: float = 0.5,
        minimum_calls: int | None = None,
        window_s: float = 60.0,
        probes: int = 1,
        lease_s: float = 60.0,
        growth: float = 2.0,
        predictive: bool = False,
        kind: str = "",
        cell: Cell | None = None,
        judge: Callable[[BaseException | None], Outcome] = outcome_of,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        config = CircuitConfig(
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,
            half_open_after=half_open_after,  # type: ignore[arg-type]
            success_threshold=success_threshold,
            failure_rate=failure_rate,
            minimum_calls=minimum_calls,  # type: ignore[arg-type]
            window_s=window_s,
            probes=probes,
            lease_s=lease_s,
            growth=growth,
            predictive=predictive,
        )
        super().__init__(
            config,
            name=name,
            kind=kind,
            monotonic=monotonic,
            chance=random.Random(),
            cell=cell,
            judge=judge,
        )


class Circuits(CircuitRegistry):
    """The circuits of a run, on the monotonic clock of the machine; see `CircuitRegistry`.

    A run that shares them with another machine goes by the clock of that one; see `renew`.
    """

    def __init__(
        self,
        config_of: Mapping[str, CircuitConfig] | None = None,
        *,
        make_cell: MakeCell | None = None,
    ) -> None:
        super().__init__(
            config_of, monotonic=time.monotonic, chance=random.Random(), make_cell=make_cell
        )

    def _made(
        self, kind: str, name: str, config: CircuitConfig, cell: Cell | None
    ) -> CircuitBreaker:
        return CircuitBreaker(
            name=name, kind=kind, cell=cell, monotonic=self._monotonic, **dataclasses.asdict(config)
        )


#: The circuits of this process, where those meet who cannot be handed anything.
CIRCUITS = Circuits()


def get_health_metrics() -> dict[str, Any]:
    """Return the health of this process's circuits; see `CircuitRegistry.get_health_metrics`."""
    return CIRCUITS.get_health_metrics()


def create_browser_circuit_breaker(name: str) -> circuit.CircuitBreaker:
    """Return the run's circuit of a browser, such as ``chrome``; made if there is none."""
    return CIRCUITS.get("browser", name)


def create_endpoint_circuit_breaker(url: str) -> circuit.CircuitBreaker:
    """Return the run's circuit of an endpoint, such as a grid's URL; made if there is none."""
    return CIRCUITS.get("endpoint", url)


def create_worker_circuit_breaker(worker_id: str) -> circuit.CircuitBreaker:
    """Return the run's circuit of a worker, such as ``gw0``; made if there is none."""
    return CIRCUITS.get("worker", worker_id)


def create_hardware_circuit_breaker(hardware_class: str) -> circuit.CircuitBreaker:
    """Return the run's circuit of a hardware class, such as ``GPU``; made if there is none."""
    return CIRCUITS.get("hardware", hardware_class)


def create_test_type_circuit_breaker(test_type: str) -> circuit.CircuitBreaker:
    """Return the run's circuit of a type of tests; made if there is none."""
    return CIRCUITS.get("test_type", test_type)


def browser_circuit_breaker(name: str) -> Callable[[Function], Function]:
    """Decorate a function, sync or async, so that its calls go through a browser's circuit."""
    return _through("browser", name)


def endpoint_circuit_breaker(url: str) -> Callable[[Function], Function]:
    """Decorate a function, sync or async, so that its calls go through an endpoint's circuit."""
    return _through("endpoint", url)


def worker_circuit_breaker(worker_id: str) -> Callable[[Function], Function]:
    """Decorate a function, sync or async, so that its calls go through a worker's circuit."""
    return _through("worker", worker_id)


def hardware_circuit_breaker(hardware_class: str) -> Callable[[Function], Function]:
    """Decorate a function, sync or async, so that its calls go through a hardware's circuit."""
    return _through("hardware", hardware_class)


def test_type_circuit_breaker(test_type: str) -> Callable[[Function], Function]:
    """Decorate a function, sync or async, so that its calls go through a test type's circuit."""
    return _through("test_type", test_type)


# A test module that imports it does not hold a test of that name.
test_type_circuit_breaker.__test__ = False  # type: ignore[attr-defined]


def _through(kind: str, name: str) -> Callable[[Function], Function]:
    return lambda function: protected(function, lambda: CIRCUITS.get(kind, name))
