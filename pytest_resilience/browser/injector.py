"""Failures injected by a call: for tests that break their browser themselves.

Invariant: whatever was injected is undone by `undo`, by leaving the injector's ``with`` block,
and at the end of this process; a circuit that does not allow a failure is asked before, and
told of it after, as `core.injection_gate` says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser.bridges import driver_in
from pytest_resilience.browser.fault_applied import Applied, Arrange, FaultError
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.browser.watch import WATCHING
from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.injection import FailureType, Fault, Intensity, Platform, offers
from pytest_resilience.core.injection_gate import InjectionStats, allowed, permitted, records
from pytest_resilience.core.injection_plan import Injection, choose

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.core.circuit import CircuitBreaker

#: What says nothing about a browser, and so is never chosen at random.
_NEVER_RANDOM = (
    FailureType.WORKER_CRASH,
    FailureType.DATABASE_ERROR,
    FailureType.INTERNAL_ERROR,
)


class InjectedFailure:
    """What became of an attempt to inject a failure; true if it struck.

    Can be awaited, and is its own result then.

    Attributes:
        type: Type of failure.
        intensity: Its intensity.
        fault: Name of the fault that struck, "" if none did.
        reason: Why none did, "" if one did.
        raised: Whether the failure was an exception that was raised here.
    """

    def __init__(
        self,
        injection: Injection,
        *,
        fault: str = "",
        reason: str = "",
        applied: Applied | None = None,
        raised: bool = False,
    ) -> None:
        self.injection = injection
        self.type = injection.type
        self.intensity = injection.intensity
        self.fault = fault
        self.reason = reason
        self.applied = applied
        self.raised = raised

    def __bool__(self) -> bool:
        return self.applied is not None

    def __await__(self) -> Generator[Any, None, InjectedFailure]:
        async def itself() -> InjectedFailure:
            return self

        return itself().__await__()

    def __repr__(self) -> str:
        told = self.fault or f"nothing: {self.reason}"
        return f"<{self.type.value}:{self.intensity.value}, {told}>"

    @property
    def evidence(self) -> dict[str, Any]:
        """What proves that it struck, as plain values; {} if it did not."""
        return self.applied.evidence() if self.applied is not None else {}

    def undo(self) -> None:
        """Undo what can be undone; may be called again; never raises."""
        if self.applied is not None:
            self.applied.undo()


class BrowserFailureInjector:
    """Breaks a browser on purpose, as far as a circuit allows.

    Args:
        bridge: A driver, an object that holds one, or the value of a fixture that does.
        circuit_breaker: The circuit that protects the browser; None for none.
        use_circuit_breaker: Whether that circuit is asked and told.
        seed: Another seed makes other random failures; None for ones nobody can foresee.
        record: Types and intensities the circuit is told of in any case; see
            `core.injection_gate.records`.
        history: The history file, for failures of that; None if there is none.
        arrange: Makes the application's database fail; returns what undoes it.

    Raises:
        FaultError: `bridge` holds no driver.
    """

    def __init__(
        self,
        bridge: object,
        circuit_breaker: CircuitBreaker | None = None,
        use_circuit_breaker: bool = True,
        *,
        seed: int | str | None = None,
        record: Iterable[FailureType | Intensity] = (),
        history: Path | None = None,
        arrange: Arrange | None = None,
    ) -> None:
        self._bridge = bridge
        self._breaker = circuit_breaker if use_circuit_breaker else None
        self._seed = random.getrandbits(32) if seed is None else seed
        self._record = tuple(record)
        self._history = history
        self._arrange = arrange
        self._stats = InjectionStats()
        self._kits: list[FaultKit] = []
        self._own: SessionRegistry | None = None
        self._last: FailureType | None = None
        self._draws = 0
        #: Called with each failure that was injected, or was not.
        self.on_injected: Callable[[InjectedFailure, DriverSession | None], object] = _nobody

    def __enter__(self) -> BrowserFailureInjector:
        return self

    def __exit__(self, *_error: object) -> None:
        self.undo()

    @property
    def circuit_breaker(self) -> CircuitBreaker | None:
        """The circuit that is asked and told; None for none."""
        return self._breaker

    def inject_failure(
        self, failure_type: FailureType | str, intensity: Intensity | str = "moderate"
    ) -> InjectedFailure:
        """Inject a failure now; the result is false if the circuit does not allow it.

        Raises:
            ConfigurationError: There is no such failure, or not with this browser; the message
                names those that are possible.
            FaultError: It did not come about; the message says why.
            InjectedError: That is the failure.
        """
        injection = Injection.from_arguments(
            (_word(failure_type), _word(intensity)), {}, source="BrowserFailureInjector"
        )
        registry, session = self._target()
        fault = injection.fault(_platform(session))
        state = self._state()
        if state is not None and not allowed(injection.intensity, state):
            self._stats.refuse()
            return self._told(injection, session, reason=f"the circuit is {state.value}")
        return self._strike(injection, fault, registry, session)

    def inject_random_failure(self, exclude_severe: bool = False) -> InjectedFailure:
        """Inject a failure by chance, of those that the circuit allows and the browser can have.

        False if there are none, or if it did not come about: a browser that has crashed cannot
        crash again. The reason is told.

        Args:
            exclude_severe: Inject no severe one.
        """
        registry, session = self._target()
        choices = [f for f in offers(_platform(session)) if f.type not in _NEVER_RANDOM]
        state = self._state() or CircuitState.CLOSED
        choices = list(permitted(choices, state, exclude_severe=exclude_severe))
        self._draws += 1
        if not choices:
            self._stats.refuse()
            nothing = Injection(FailureType.CRASH, Intensity.MILD, source="chance")
            return self._told(nothing, session, reason=f"the circuit is {state.value}")
        fault = choose(choices, self._seed, self._draws)
        injection = Injection(fault.type, fault.intensity, source="chance")
        fault = injection.fault(_platform(session))
        try:
            return self._strike(injection, fault, registry, session)
        except FaultError as error:
            return InjectedFailure(injection, reason=error.message)

    def get_failure_stats(self) -> dict[str, Any]:
        """Return how many failures were tried, struck and refused, and the circuit's figures.

        ``attempts``, ``successes``, ``refused``, ``by_type`` and ``by_intensity``; with a
        circuit also ``circuit_breaker``: its ``state``, ``failure_count``, ``threshold`` and
        ``threshold_percent``.
        """
        breaker = self._breaker
        return self._stats.to_dict(breaker.get_metrics() if breaker is not None else None)

    def undo(self) -> None:
        """Undo everything, the last first; may be called again; never raises."""
        while self._kits:
            self._kits.pop().undo_all()
        if self._own is not None:
            self._own.unwatch()
            self._own = None

    def _strike(
        self,
        injection: Injection,
        fault: Fault,
        registry: SessionRegistry,
        session: DriverSession | None,
    ) -> InjectedFailure:
        kit = FaultKit(registry, session, history=self._history, arrange=self._arrange)
        self._kits.append(kit)
        try:
            applied = kit.apply(fault.name)
        except Exception as error:
            struck = not isinstance(error, FaultError)
            self._stats.add(injection.type, injection.intensity, success=struck)
            self._told(injection, session, reason=getattr(error, "message", ""), raised=struck)
            raise
        self._stats.add(injection.type, injection.intensity, success=True)
        self._tell_circuit(injection)
        return self._told(injection, session, fault=fault.name, applied=applied)

    def _tell_circuit(self, injection: Injection) -> None:
        breaker, state = self._breaker, self._state()
        if breaker is None or state is None:
            return
        counts, why = records(
            injection.type,
            injection.intensity,
            self._record,
            circuit_state=state,
            repeated=self._last is injection.type,
        )
        self._last = injection.type
        if counts:
            told = f"{injection.type.value}:{injection.intensity.value}"
            breaker.record_failure(f"injected {told}: {why}")

    def _told(
        self, injection: Injection, session: DriverSession | None, **how: Any
    ) -> InjectedFailure:
        injected = InjectedFailure(injection, **how)
        self.on_injected(injected, session)
        return injected

    def _state(self) -> CircuitState | None:
        return CircuitState(self._breaker.get_state()) if self._breaker is not None else None

    def _target(self) -> tuple[SessionRegistry, DriverSession | None]:
        """Return the session that the driver has now, and who knows of it."""
        driver = driver_in(self._bridge)
        if driver is None:
            raise FaultError(
                f"{self._bridge!r} is no driver of Selenium, and holds none that can be found."
            )
        for registry in reversed(WATCHING):
            session = registry.session_of(driver)
            if session is not None:
                return registry, session
        registry = self._registry()
        session = registry.session_of(driver) or registry.opened(driver, None)
        if session is None:
            raise FaultError(f"the session of {driver!r} cannot be understood.")
        return registry, session

    def _registry(self) -> SessionRegistry:
        if WATCHING:
            return WATCHING[-1]
        if self._own is None:
            self._own = unobtrusive()
        return self._own


def unobtrusive() -> SessionRegistry:
    """Return a registry that changes nothing about the sessions it knows."""
    return SessionRegistry(hang_timeout_s=None, nest_timeouts=False, repeat_requests=True)


def _platform(session: DriverSession | None) -> Platform:
    if session is None:
        return Platform.NO_BROWSER
    return Platform.of(session.browser, remote=session.remote)


def _word(value: FailureType | Intensity | str) -> str:
    return value.value if isinstance(value, FailureType | Intensity) else value


def _nobody(_injected: InjectedFailure, _session: object) -> None:
    """Nobody wants to hear of it."""
