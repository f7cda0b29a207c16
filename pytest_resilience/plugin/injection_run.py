"""Injects failures into attempts: the hooks, and the points that they are.

Invariant: an attempt begins with nothing injected, and when its teardown has ended nothing is
in force any more; the end of the session, and of the process, make sure of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_resilience.browser.fault_triggers import CommandTrigger, Strike
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.injection_points import Point
from pytest_resilience.plugin.attributes import INJECTED, NOT_INJECTED
from pytest_resilience.plugin.injection_round import Hit, Round
from pytest_resilience.plugin.injection_strike import Strikes

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

_QUIT = "quit"


class InjectionRun:
    """Injects what is planned.

    Args:
        plan: Returns what strikes an attempt of an item, by its number.
        name_of: Returns the node id by which an item is known in the plan.
    """

    def __init__(
        self,
        strikes: Strikes,
        plan: Callable[[pytest.Item, int], tuple[Injection, ...]],
        name_of: Callable[[pytest.Item], str],
    ) -> None:
        self.strikes = strikes
        self.parts = parts = strikes.parts
        self._plan = plan
        self._name_of = name_of
        self._numbers: dict[str, int] = {}
        self._round: Round | None = None
        self._trigger = CommandTrigger(parts.registry)
        self._usual_on_created: Any = None
        self._late: Exception | None = None

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
                setattr(report, INJECTED, told)
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
            self.strikes.record(current, hit, proof)

    # The points

    def reach(self, when: str, fixture: str = "") -> None:
        """A phase begins, or a fixture is about to be set up or torn down in it."""
        __tracebackhide__ = True
        current = self._round
        if current is None or current.ended or not current.waiting:
            return
        for injection in current.reached(when, fixture):
            if injection.simulated or not self.strikes.needs_browser(injection):
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
            needs_one = not injection.simulated and self.strikes.needs_browser(injection)
            if session is None and needs_one:
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

    def _strike(
        self, injection: Injection, session: DriverSession | None, *, in_flight: bool = False
    ) -> None:
        __tracebackhide__ = True
        if self._round is not None:
            self.strikes.strike(self._round, injection, session, in_flight=in_flight)

    def in_sight(self, item: Any) -> DriverSession | None:
        """Return the session that `item` uses, as far as can be told; None if none can be."""
        current = self._round
        mark = current.mark if current is not None and current.item is item else 0
        return self.strikes.in_sight(item, mark)

    def _warn(self, text: str) -> None:
        if self.parts.warn is not None:
            self.parts.warn(text)
