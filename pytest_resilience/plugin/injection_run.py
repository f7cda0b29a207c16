"""Injects failures into attempts: the hooks, and what is struck at each point.

Invariant: an attempt begins with nothing injected, and when its teardown has ended nothing is
in force any more; the end of the session, and of the process, make sure of it. Nothing is
injected into what an open circuit protects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_resilience.browser.bridges import drivers_in
from pytest_resilience.browser.fault_applied import Applied, FaultError, InjectedError
from pytest_resilience.browser.fault_triggers import CommandTrigger, Strike
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.core import events
from pytest_resilience.core.injection import FailureType, Fault, Intensity, Need, Platform
from pytest_resilience.core.injection_gate import allowed
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.injection_points import Point
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.injection_round import Hit, Round, browser_of

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: A fault of the user's own: breaks something, and returns what undoes it, if anything does.
OwnFault = Callable[[pytest.Item], "Callable[[], object] | None"]
#: Attribute of a teardown report: what was not injected though it was planned, and why.
NOT_INJECTED = "resilience_not_injected"
_QUIT = "quit"


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


class InjectionRun:
    """Injects what is planned.

    Args:
        plan: Returns what strikes an attempt of an item, by its number.
        own: Faults of the user's own, by type and intensity.
        name_of: Returns the node id by which an item is known in the plan.
    """

    def __init__(
        self,
        parts: Parts,
        plan: Callable[[pytest.Item, int], tuple[Injection, ...]],
        own: Mapping[tuple[str, str], OwnFault],
        name_of: Callable[[pytest.Item], str],
        seed: int,
    ) -> None:
        self.parts = parts
        self.seed = seed
        self._plan = plan
        self._own = own
        self._name_of = name_of
        self._numbers: dict[str, int] = {}
        self._round: Round | None = None
        self._trigger = CommandTrigger(parts.registry)
        self._usual_on_created: Any = None
        self._late: Exception | None = None
        #: Makes the plugin's own observation of the test fail once.
        self.observer = Observer()

    # The hooks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """An attempt begins."""
        __tracebackhide__ = True
        self._begin(item)
        return (yield)

    # What raises does so inside of what others have put around the phase.
    @pytest.hookimpl(specname="pytest_runtest_setup", tryfirst=True)
    def pytest_runtest_setup_begins(self) -> None:
        """The fixtures are about to be set up."""
        __tracebackhide__ = True
        self.reach("setup")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        """The body of the test is about to run."""
        __tracebackhide__ = True
        self.reach("call")

    @pytest.hookimpl(specname="pytest_runtest_teardown", tryfirst=True)
    def pytest_runtest_teardown_begins(self) -> None:
        """The fixtures are about to be torn down."""
        try:
            self.reach("teardown")
        except Exception as error:  # noqa: BLE001 - raised when all is torn down
            # Raised here it would leave the fixtures standing, and fail the next test.
            self._late = error

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """The fixtures are torn down; then the attempt has ended."""
        __tracebackhide__ = True
        try:
            result = yield
        finally:
            self.end()
            late, self._late = self._late, None
        if late is not None:
            raise late
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Say on each report what was injected into the attempt."""
        report = yield
        current = self._round
        if current is not None and current.item is item:
            told, missed = current.told, current.not_told
            if told:
                setattr(report, observe.INJECTED, told)
                if report.failed:
                    report.sections.append(("Injected on purpose", told))
            if report.when == "teardown":
                if told:
                    report.user_properties.append(("injected", told))
                if missed:
                    setattr(report, NOT_INJECTED, missed)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Undo what an interrupted test has left."""
        self.end()
        return (yield)

    def pytest_unconfigure(self) -> None:
        """Undo everything."""
        self.end()

    # An attempt

    def told(self, item: pytest.Item) -> str:
        """Return what was injected into the present attempt of `item`, "" for nothing."""
        current = self._round
        return current.told if current is not None and current.item is item else ""

    def own_fault(self, kind: FailureType, intensity: Intensity) -> OwnFault | None:
        """Return the user's own fault of a type and intensity, None if there is none."""
        return self._own.get((kind.value, intensity.value))

    def add(self, hit: Hit, undo: Callable[[], object]) -> None:
        """A test has injected a failure itself: tell of it and undo it like the others."""
        if self._round is not None and not self._round.ended:
            self._round.hits.append(hit)
            self._round.undo.append(undo)

    def _begin(self, item: pytest.Item) -> None:
        self.end()
        name, registry = self._name_of(item), self.parts.registry
        self._numbers[name] = number = max(
            self._numbers.get(name, 0) + 1, getattr(item, "execution_count", 0)
        )
        planned = self._plan(item, number)
        self._round = Round(item, name, number, registry.mark())
        if not planned:
            return
        self._trigger.begin()
        self._usual_on_created, registry.on_created = registry.on_created, self._created
        for injection in planned:
            if injection.point.is_command:
                self._trigger.at(injection.point, self._at_command(injection))
            # Kept also here: should it not be reached, that is told.
            self._round.waiting.append(injection)

    def end(self) -> None:
        """The attempt has ended: undo and record everything; may be called again."""
        current = self._round
        if current is None or current.ended:
            return
        self._trigger.end()
        registry = self.parts.registry
        if registry.on_created == self._created:
            registry.on_created = self._usual_on_created
        for hit, proof in current.end():
            for left in proof.get("left", ()):
                self._warn(f"{current.name}: {hit.fault} is not undone: {left}")
            self._record(current, hit, proof)

    def _record(self, current: Round, hit: Hit, proof: dict[str, Any]) -> None:
        if not hit.recorded:
            hit.recorded = True
            payload = current.record(hit, proof, seed=self.seed, worker=self.parts.worker)
            self.parts.emit(events.INJECTION, payload)

    # The points

    def reach(self, when: str, fixture: str = "") -> None:
        """A phase begins, or a fixture is about to be set up or torn down in it."""
        __tracebackhide__ = True
        current = self._round
        if current is None or current.ended or not current.waiting:
            return
        for injection in current.reached(when, fixture):
            if injection.simulated or not self._needs_browser(injection):
                self._strike(injection, self.in_sight(current.item))
                continue
            session = self.in_sight(current.item)
            if session is not None:
                self._strike(injection, session)
            else:
                self._await(injection)

    def _at_command(self, injection: Injection) -> Callable[[Strike], object]:
        def act(strike: Strike) -> None:
            __tracebackhide__ = True
            current = self._round
            if current is None or injection not in current.waiting:
                return
            current.waiting.remove(injection)
            session = strike.session
            if session is not None and not session.session_id:
                # It is only being asked for.
                session = None
            if session is None and not injection.simulated and self._needs_browser(injection):
                self._await(injection)
            else:
                self._strike(injection, session, in_flight=strike.in_flight)

        return act

    def _await(self, injection: Injection) -> None:
        """Strike as soon as the attempt has a browser."""
        current = self._round
        assert current is not None
        current.arriving.append(injection)

        def act(strike: Strike) -> None:
            __tracebackhide__ = True
            if strike.command != _QUIT and strike.session is not None:
                self._arrive(injection, strike.session)

        self._before_next_command(act)

    def _before_next_command(self, act: Callable[[Strike], object]) -> None:
        self._trigger.at(Point("before", number=self._trigger.commands + 1), act)

    def _created(self, session: DriverSession) -> None:
        if self._usual_on_created is not None:
            self._usual_on_created(session)
        current = self._round
        for injection in list(current.arriving) if current is not None else ():
            try:
                self._arrive(injection, session)
            except Exception as error:  # noqa: BLE001 - whoever creates a session swallows it
                self._raise_soon(error)

    def _raise_soon(self, error: Exception) -> None:
        def act(_strike: Strike) -> NoReturn:
            raise error

        self._before_next_command(act)

    def _arrive(self, injection: Injection, session: DriverSession) -> None:
        __tracebackhide__ = True
        current = self._round
        if current is not None and injection in current.arriving:
            current.arriving.remove(injection)
            self._strike(injection, session)

    # The strike

    def _strike(
        self, injection: Injection, session: DriverSession | None, *, in_flight: bool = False
    ) -> None:
        __tracebackhide__ = True
        current = self._round
        assert current is not None
        hit = Hit(injection, browser=browser_of(session), at_us=time.time_ns() // 1_000)
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
            self._record(current, hit, {"fault": fault.name})

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

    def _needs_browser(self, injection: Injection) -> bool:
        if self.own_fault(injection.type, injection.intensity) is not None:
            return False
        return not any(Platform.NO_BROWSER & fault.platforms for fault in injection.faults)

    def in_sight(self, item: Any) -> DriverSession | None:
        """Return the session that `item` uses, as far as can be told; None if none can be."""
        registry, current = self.parts.registry, self._round
        mark = current.mark if current is not None and current.item is item else 0
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

    def _warn(self, text: str) -> None:
        if self.parts.warn is not None:
            self.parts.warn(text)


class Observer:
    """Listens to the events of a run, and fails to when it is told to."""

    def __init__(self) -> None:
        self.armed = False

    def pytest_resilience_event(self, kind: str) -> None:
        """Raise where pytest-resilience observes a test."""
        if self.armed and kind != events.INJECTION:
            self.armed = False
            raise InjectedError("raise_in_observer: raised on purpose by pytest-resilience")


def platform_of(session: DriverSession | None) -> Platform:
    """Return where `session` runs."""
    if session is None:
        return Platform.NO_BROWSER
    return Platform.of(session.browser, remote=session.remote)


def _values(item: Any) -> Generator[object, None, None]:
    """Yield where a test may keep its driver: fixtures, itself, its class, its module."""
    yield from (getattr(item, "funcargs", None) or {}).values()
    instance = getattr(item, "instance", None)
    for owner in (instance, getattr(item, "cls", None), getattr(item, "module", None)):
        yield from list(getattr(owner, "__dict__", {}).values())
