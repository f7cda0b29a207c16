"""Puts together what a process needs to know of circuits, and keeps what they did.

Invariant: each change of a circuit is recorded once, as an event, and told at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.circuits import CIRCUITS
from pytest_resilience.config import Settings
from pytest_resilience.core import events
from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import Transition
from pytest_resilience.core.ports import Clock, EventSink
from pytest_resilience.core.registry import KINDS, CircuitRegistry, MakeCell
from pytest_resilience.plugin.blame import StartBook
from pytest_resilience.plugin.circuits import Circuits
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.fixtures import FixtureKeeper
from pytest_resilience.plugin.gate import Gate
from pytest_resilience.plugin.hold import Hold
from pytest_resilience.plugin.timeouts import TestTimeouts

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: Seconds after which a test that was let through on trial counts as failed.
LEASE_S = 300.0


def config_of(settings: Settings) -> CircuitConfig:
    """Return the parameters of all circuits of a run."""
    return CircuitConfig(
        failure_threshold=settings.circuit_threshold,
        recovery_timeout=settings.circuit_recovery_timeout,
        half_open_after=settings.circuit_half_open_after,
        lease_s=LEASE_S,
        predictive=settings.circuit_predictive,
    )


def registry_of(
    settings: Settings,
    alerts: Alerts,
    make_cell: MakeCell | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> CircuitRegistry:
    """Return the circuits of this process, as they are when a run begins.

    They are those that tests find as well, by `circuits.CIRCUITS`.

    Args:
        make_cell: Makes the place where a circuit is kept, if other processes share it.
        monotonic: Clock of those processes, seconds.
    """
    CIRCUITS.renew(dict.fromkeys(KINDS, config_of(settings)), make_cell, monotonic)
    CIRCUITS.on_alert(alerts)
    return CIRCUITS


class Alerts:
    """Tells people, once, that the infrastructure of the run has become critical."""

    def __init__(self, config: pytest.Config, faults: FaultReporter) -> None:
        self._config = config
        self._faults = faults

    def __call__(self, health: dict[str, Any]) -> None:
        """Warn of `health`; see `pytest_resilience_alert`."""
        down = [
            f"{name} ({circuit['state'].lower().replace('_', '-')})"
            for group, circuits in health.items()
            if group != "aggregate"
            for name, circuit in circuits.items()
            if circuit["state"] != "CLOSED"
        ]
        overall = health["aggregate"]["overall_health"]
        self._faults.warn(
            f"the health of the infrastructure fell to {overall:g} %: {', '.join(down)}"
        )
        try:
            self._config.hook.pytest_resilience_alert(health=health, config=self._config)
        except Exception as fault:  # noqa: BLE001 - a listener must not change a verdict
            self._faults(fault)


class CircuitLog:
    """Hears every change of a circuit, and tells at the end what became of each.

    Attributes:
        registry: All circuits of this process.
        waited: Returns the seconds that were waited for a circuit.
        total_waited: Returns those for all of them.
        moved: Returns how many tests were put behind others.
        agreement: Returns how often the recovery chosen was the best in hindsight.

    Args:
        begun: Moment of the clock at which the run began; now, if not given.
    """

    def __init__(
        self,
        registry: CircuitRegistry,
        sink: EventSink,
        clock: Clock,
        *,
        worker: str,
        begun: float | None = None,
    ) -> None:
        self.registry = registry
        self._sink = sink
        self._clock = clock
        self._worker = worker
        self._begun = clock.monotonic() if begun is None else begun
        self._transitions: list[dict[str, Any]] = []
        self.waited: Callable[[CircuitBreaker], float] = _none
        self.total_waited: Callable[[], float] = float
        self.moved: Callable[[], int] = int
        self.agreement: Callable[[], tuple[int, int]] = lambda: (0, 0)
        registry.add_listener(self._heard)

    def told(self) -> dict[str, Any]:
        """Return what became of the circuits, JSON-plain: nothing if none ever moved."""
        return {
            "circuits": [self._of(breaker) for breaker in self.registry.circuits()],
            "waited_s": self.total_waited(),
            "moved": self.moved(),
            "agreement": dict(zip(("best", "cases"), self.agreement(), strict=True)),
        }

    def _of(self, breaker: CircuitBreaker) -> dict[str, Any]:
        figures = breaker.get_metrics()
        moves = [
            {key: move[key] for key in ("at_s", "from_state", "to_state", "reason", "worker")}
            for move in self._transitions
            if (move["kind"], move["circuit"]) == (breaker.kind, breaker.name)
        ]
        return {
            "name": breaker.name,
            "kind": breaker.kind,
            "state": str(breaker.get_state()),
            "health": breaker.health(),
            "successes": figures["total_successes"],
            "failures": figures["total_failures"],
            "ignored": figures["total_ignored"],
            "refused": figures["total_refused"],
            "stale": figures["total_stale"],
            "opened": sum(move["to_state"] == "open" for move in moves),
            "waited_s": self.waited(breaker),
            "reason": figures["last_reason"] if moves else "",
            "transitions": moves,
        }

    def _heard(self, transition: Transition) -> None:
        payload = {
            **transition.to_dict(),
            "timestamp_us": self._clock.now_us(),
            "worker": self._worker,
        }
        self._transitions.append({**payload, "at_s": transition.at - self._begun})
        self._sink.emit(events.CIRCUIT_TRANSITION, payload)


def _none(_breaker: CircuitBreaker) -> float:
    return 0.0


class TerminalAnnouncer:
    """Says on the terminal what is waited for: on one line where that can be rewritten."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._said = ""
        self._shown = False

    def waiting(self, about: str, text: str) -> None:
        """See `hold.Announcer`."""
        reporter = self._reporter()
        if reporter is None:
            return
        if reporter.isatty:
            reporter.rewrite(f"resilience: {text}", erase=True)
            self._shown = True
            return
        # In a log every line stays: one at the beginning says enough.
        if about != self._said:
            self._said = about
            self._line(reporter, text)

    def done(self, text: str) -> None:
        """See `hold.Announcer`."""
        reporter = self._reporter()
        self._said = ""
        if reporter is None:
            return
        if self._shown:
            self._shown = False
            reporter.rewrite("", erase=True)
        self._line(reporter, text)

    def _line(self, reporter: Any, text: str) -> None:
        reporter.ensure_newline()
        reporter.write_line(f"resilience: {text}")

    def _reporter(self) -> Any:
        if self._config.get_verbosity() < 0:
            return None
        return self._config.pluginmanager.get_plugin("terminalreporter")


def gate_of(
    config: pytest.Config,
    settings: Settings,
    sessions: SessionRegistry,
    keeper: FixtureKeeper,
    deferrals: Deferrals,
    log: CircuitLog,
    clock: Clock,
    *,
    shared: bool,
    book: StartBook,
) -> Gate:
    """Return the gate of a process that runs tests, with all that stands behind it."""
    circuits = Circuits(
        log.registry, sessions, keeper, enabled=settings.circuit_breaker, shared=shared, book=book
    )
    sessions.guard.may_start = circuits.may_start
    if shared:
        _hear_of_starts(sessions, circuits)
    if sessions.guard.endpoints is not None:
        circuits.stands_in = sessions.guard.endpoints.has_others
    hold = Hold(
        clock,
        max_wait_s=settings.max_wait,
        first_pause_s=settings.circuit_half_open_after,
        trial=circuits.trial,
        tried=circuits.tried,
        announcer=TerminalAnnouncer(config),
    )
    gate = Gate(
        circuits, hold, deferrals, TestTimeouts(config), action=settings.circuit_open_action
    )
    log.waited, log.total_waited = hold.waited, lambda: hold.total_s
    log.moved = lambda: gate.moved
    return gate


def _hear_of_starts(sessions: SessionRegistry, circuits: Circuits) -> None:
    """Let `circuits` know of every session, besides who hears of them already."""
    created = sessions.on_created

    def opened(session: DriverSession) -> None:
        circuits.started(session)
        if created is not None:
            created(session)

    sessions.on_created = opened
