"""What happens at a point: which session is struck, whether it may be, and by what.

Invariant: nothing is injected into what an open circuit protects; whatever happens, or does
not, is a `Hit` of the round, and what undoes it is known to the round before it happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.browser.bridges import drivers_in
from pytest_resilience.browser.fault_applied import Applied, FaultError, InjectedError
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.core import events
from pytest_resilience.core.injection import FailureType, Fault, Intensity, Need, Platform
from pytest_resilience.core.injection_gate import allowed
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.plugin.injection_round import Hit, Round, browser_of, platform_of

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: A fault of the user's own: breaks something, and returns what undoes it, if anything does.
OwnFault = Callable[[pytest.Item], "Callable[[], object] | None"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of the process in which tests run.

    Attributes:
        registry: Its driver sessions.
        emit: Records an event.
        worker: Its name.
        history: The history file, None if there is none.
        circuits: Its circuits; None without ``--resilience``.
        desk: Where failures are diagnosed; None without ``--resilience``.
        warn: Warns people; None without ``--resilience``.
    """

    registry: SessionRegistry
    emit: Callable[[str, Mapping[str, Any]], object]
    worker: str
    history: Path | None = None
    circuits: Any = None
    desk: Any = None
    warn: Callable[[str], object] | None = None


class Strikes:
    """Lets injections strike.

    Args:
        own: Faults of the user's own, by type and intensity.
        seed: Of the plan, for the record.
    """

    def __init__(self, parts: Parts, own: Mapping[tuple[str, str], OwnFault], *, seed: int) -> None:
        self.parts = parts
        self.seed = seed
        self._own = own
        #: Makes the plugin's own observation of the test fail once.
        self.observer = Observer()

    def own_fault(self, kind: FailureType, intensity: Intensity) -> OwnFault | None:
        """Return the user's own fault of a type and intensity, None if there is none."""
        return self._own.get((kind.value, intensity.value))

    def record(self, current: Round, hit: Hit, proof: dict[str, Any]) -> None:
        """Record what became of an injection, once."""
        if not hit.recorded:
            hit.recorded = True
            payload = current.record(hit, proof, seed=self.seed, worker=self.parts.worker)
            self.parts.emit(events.INJECTION, payload)

    def strike(
        self,
        current: Round,
        injection: Injection,
        session: DriverSession | None,
        *,
        in_flight: bool = False,
    ) -> None:
        """Let `injection` strike `session`, or say why it does not.

        Raises:
            FaultError: It did not come about, and whoever marked the test wants it to.
            Exception: That is the failure.
        """
        __tracebackhide__ = True
        hit = Hit(
            injection,
            browser=browser_of(session),
            platform=platform_of(session),
            at_us=time.time_ns() // 1_000,
        )
        current.hits.append(hit)
        try:
            hit.reason = self.refusal(injection, session)
            if not hit.reason:
                self._do(current, hit, session, in_flight=in_flight)
        except (FaultError, ConfigurationError) as error:
            if hit.struck:
                raise
            hit.reason = error.message
            if injection.source == "marker":
                # Whoever marked the test wants it to happen there.
                raise

    def _do(
        self, current: Round, hit: Hit, session: DriverSession | None, *, in_flight: bool
    ) -> None:
        __tracebackhide__ = True
        injection, registry = hit.injection, self.parts.registry
        platform = platform_of(session)
        own = self.own_fault(injection.type, injection.intensity)
        if own is not None and not injection.simulated:
            applied = Applied(injection.faults[0], registry, session, platform)
            current.undo.append(applied.undo)
            undo = own(current.item)
            if undo is not None:
                applied.when_undone(undo)
            applied.prove(arranged=True)
            hit.fault, hit.applied, hit.struck = applied.name, applied, True
            return
        fault = injection.fault(platform)
        hit.fault = fault.name
        kit = FaultKit(registry, session, history=self.parts.history)
        current.undo.append(kit.undo_all)
        if injection.simulated:
            hit.struck = True
            kit.simulate(fault.name)
        if fault.name == "raise_in_observer":
            self._break_observer(hit)
            return
        self._announce(current, hit, fault)
        try:
            hit.applied = kit.apply(fault.name, during=in_flight and fault.during)
        except InjectedError:
            hit.struck = True
            raise
        hit.struck = True

    def _announce(self, current: Round, hit: Hit, fault: Fault) -> None:
        """Record beforehand what nobody will be left to record."""
        if fault.need is Need.XDIST:
            hit.struck = True
            self.record(current, hit, {"fault": fault.name})

    def _break_observer(self, hit: Hit) -> None:
        if self.parts.desk is None:
            raise FaultError("without --resilience nobody observes the test.")
        hit.struck = self.observer.armed = True

    def refusal(self, injection: Injection, session: DriverSession | None) -> str:
        """Return why the circuits of `session` do not allow `injection`, "" if they do."""
        if session is None or self.parts.circuits is None:
            return ""
        for breaker in self.parts.circuits.of_session(session):
            state = breaker.get_state()
            if not allowed(injection.intensity, state):
                return f"the circuit {breaker.kind} {breaker.name} is {state.value}"
        return ""

    def needs_browser(self, injection: Injection) -> bool:
        """Return whether there is nothing to strike without a browser."""
        if self.own_fault(injection.type, injection.intensity) is not None:
            return False
        return not any(Platform.NO_BROWSER & fault.platforms for fault in injection.faults)

    def in_sight(self, item: Any, mark: int) -> DriverSession | None:
        """Return the session that `item` uses, as far as can be told; None if none can be.

        Args:
            mark: Where the stream of WebDriver commands stood when its attempt began.
        """
        registry = self.parts.registry
        living = registry.living()
        used = [session for session in living if session.last_mark > mark]
        if used:
            return max(used, key=lambda session: session.last_mark)
        for driver in drivers_in(_values(item)):
            if getattr(driver, "session_id", None):
                session = registry.session_of(driver) or registry.opened(driver, None)
                if session is not None and not session.closed:
                    return session
        return None


class Observer:
    """Listens to the events of a run, and fails to when it is told to."""

    def __init__(self) -> None:
        self.armed = False

    def pytest_resilience_event(self, kind: str) -> None:
        """Raise where pytest-resilience observes a test."""
        if self.armed and kind != events.INJECTION:
            self.armed = False
            raise InjectedError("raise_in_observer: raised on purpose by pytest-resilience")


def _values(item: Any) -> Generator[object, None, None]:
    """Yield where a test may keep its driver: fixtures, itself, its class, its module."""
    yield from (getattr(item, "funcargs", None) or {}).values()
    instance = getattr(item, "instance", None)
    for owner in (instance, getattr(item, "cls", None), getattr(item, "module", None)):
        yield from list(getattr(owner, "__dict__", {}).values())
