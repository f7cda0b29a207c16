"""The circuits of the browsers and grids of a run: who needs which, and what counts on them.

Invariant: a test is judged to need a circuit only by what its fixtures, or the test itself,
have asked for before; nothing but sessions that were lost, or could not be had, opens one; and
what can be had on other workers is laid to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.applicability import WORKER_CHANGES
from pytest_resilience.core.circuit import CircuitBreaker, Permit
from pytest_resilience.core.circuit_record import CircuitState, Outcome
from pytest_resilience.core.failures import ErrorReport, ExceptionFact
from pytest_resilience.core.recording import Weight, kinds_of, weigh
from pytest_resilience.core.registry import CircuitRegistry
from pytest_resilience.engine import Incident
from pytest_resilience.exceptions import CircuitOpenError
from pytest_resilience.plugin.blame import StartBook, plain
from pytest_resilience.plugin.environment import Scene
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper, parameter, requests

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
    from pytest_resilience.browser.starts import FailedStart
    from pytest_resilience.browser.trial import Trial

Breakers = tuple[CircuitBreaker, ...]
_REFUSING = (CircuitState.OPEN, CircuitState.ISOLATED)
#: What fails although its circuit is not closed is not mended by a retry.
START_LEVELS = {CircuitState.CLOSED: 1, CircuitState.HALF_OPEN: 2, **dict.fromkeys(_REFUSING, 4)}


@dataclass(eq=False, slots=True)
class _Pending:
    """An incident of which it is not known yet how it counts.

    Attributes:
        breakers: The circuits it counts on.
        broken: Whether a session was lost with it, or could not be had.
    """

    incident: Incident
    breakers: Breakers
    broken: bool


class Circuits:
    """Knows the circuits that tests need, and records on them what became of the tests.

    Args:
        enabled: False if there are to be no circuits: nothing is recorded or refused then.
        shared: Whether other processes move the same circuits.
        book: What is known of browsers that start on other workers.
    """

    def __init__(
        self,
        registry: CircuitRegistry,
        sessions: SessionRegistry,
        keeper: FixtureKeeper,
        *,
        enabled: bool = True,
        shared: bool = False,
        book: StartBook,
    ) -> None:
        self._registry = registry
        self._book = book
        #: The circuit of this worker, None while nothing was laid to it.
        self._own: CircuitBreaker | None = None
        self._sessions = sessions
        self._keeper = keeper
        self._enabled = enabled
        #: True while no circuit can refuse anything: nobody needs to be asked then.
        self.calm = True
        # Circuits that others open are not heard of; one that nothing needs is nobody's concern.
        self._always_ask = enabled and shared
        self._needs: dict[tuple[FixtureDef, Any], Breakers] = {}
        self._types: Mapping[Any, str] = {}
        self._asked: dict[Any, Breakers] = {}
        self._turned_away: Breakers = ()
        self._pending: list[_Pending] = []
        self._permits: dict[CircuitBreaker, Permit] = {}
        self._last_type: dict[CircuitBreaker, str] = {}
        #: The error that counted last on each circuit: if it is open, that is why.
        self.causes: dict[CircuitBreaker, str] = {}
        #: Returns whether other grids may take the place of the one at an address.
        self.stands_in: Callable[[str], bool] = lambda _endpoint: False
        #: Circuits that no waiting will close: something has to be set up differently.
        self.hopeless: set[CircuitBreaker] = set()
        self._recipes: dict[CircuitBreaker, Callable[[], Trial | None]] = {}
        registry.add_listener(self._moved)

    def set_types(self, types: Mapping[Any, str]) -> None:
        """Take in the types of the items that have one."""
        self._types = types if self._enabled else {}
        self.calm = self.calm and not (self._always_ask and self._types)

    # Who needs what

    def may_start(self, awaited: DriverSession | None) -> None:
        """A session is about to be asked for: raise `CircuitOpenError` if that is in vain."""
        if awaited is None or not self._enabled:
            return
        self.calm = self.calm and not self._always_ask
        breakers = self._named(awaited.browser, awaited.endpoint, remote=awaited.remote)
        fixturedef = self._keeper.being_set_up()
        if fixturedef is not None:
            self._needs[fixturedef, self._keeper.parameter_of(fixturedef)] = breakers
        if self.calm:
            return
        for breaker in breakers:
            if breaker.get_state() in _REFUSING:
                self._turned_away = breakers
                raise CircuitOpenError(called(breaker), breaker.retry_after(), why(breaker))

    def refusing(self, item: Any) -> Breakers:
        """Return those circuits that `item` needs and that refuse it at the moment."""
        return tuple(b for b in self.needed_by(item) if b.get_state() in _REFUSING)

    def needed_by(self, item: Any) -> Breakers:
        """Return the circuits that `item` is known to need."""
        found = dict.fromkeys((*self._of_type(item), *self._asked.get(item, ())))
        for (fixturedef, value), breakers in self._needs.items():
            if requests(item, fixturedef) and parameter(item, fixturedef) == value:
                found.update(dict.fromkeys(breakers))
        return tuple(found)

    # What counts

    def failed(self, item: Any, incident: Incident, scene: Scene, *, last_follows: bool) -> None:
        """An attempt of `item` ended with `incident`.

        Args:
            last_follows: Whether the next attempt, if there is one, is the last.
        """
        if not self._enabled:
            return
        own_type = self._of_type(item)
        breakers, recipe = self._of(scene)
        if self._turned_away or (breakers and not self.needed_by(item)):
            # It asks for a browser without a fixture we know.
            self._asked[item] = self._turned_away or breakers
            self._turned_away = ()
        for breaker in breakers:
            self._recipes[breaker] = recipe
        starting = scene.failed_start is not None
        alone = self.works_elsewhere(scene)
        if incident.strategy_name in WORKER_CHANGES:
            # Whoever tries it next will say whose trouble it is.
            alone = alone or self.may_work_elsewhere(scene)
        self._book.failed(scene.failed_start)
        if alone:
            breakers = self._of_this_worker()
        else:
            self._trip(breakers, incident, scene, last_follows=last_follows and starting)
            kinds = kinds_of(
                incident.report.error_type,
                remote=bool(scene.place.get("remote")),
                starting=starting,
            )
            if incident.report.error_type.infrastructure:
                breakers = tuple(b for b in breakers if b.kind in kinds)
        if incident.report.error_type.infrastructure:
            breakers += own_type
        if breakers:
            self._pending.append(_Pending(incident, breakers, bool(scene.broken) or starting))
        self.weigh()

    def of_session(self, session: DriverSession) -> Breakers:
        """Return the circuits of `session`; none if there are to be none."""
        if not self._enabled:
            return ()
        return self._named(session.browser, session.endpoint, remote=session.remote)

    def works_elsewhere(self, scene: Scene) -> bool:
        """Return whether what could not be started in `scene` can be on other workers."""
        return self._enabled and self._book.fails_alone(scene.failed_start)

    def may_work_elsewhere(self, scene: Scene) -> bool:
        """Return whether nobody else has tried yet what could not be started in `scene`."""
        return self._always_ask and self._book.untried(scene.failed_start)

    def wants_away(self, scene: Scene) -> bool:
        """Return whether a test is to leave that could not start something here; once is chance."""
        return self.works_elsewhere(scene) and bool(self._book.failed_in_a_row)

    def started(self, session: DriverSession) -> None:
        """A session of a test has been started."""
        self._book.started(session)
        if self._own is not None and not session.remote:
            self._own.record_success()

    def tried(self, breaker: CircuitBreaker, succeeded: bool) -> None:
        """A session that is thrown away has been tried for `breaker`."""
        if breaker.kind == "browser":
            self._book.note(breaker.name, succeeded=succeeded)

    def _of_this_worker(self) -> Breakers:
        self._own = self._own or self._registry.get("worker", self._book.worker)
        return (self._own,)

    def start_level(self, scene: Scene) -> int:
        """Return the level of recovery to start at for what failed in `scene`."""
        if self.calm:
            return 1
        breakers, _recipe = self._of(scene)
        return max((START_LEVELS[b.get_state()] for b in breakers), default=1)

    def cover(self, scene: Scene, chain: tuple[ExceptionFact, ...]) -> bool:
        """Return whether a circuit takes care of what failed in `scene`."""
        refused = any(fact.type_name == CircuitOpenError.__name__ for fact in chain)
        return self._enabled and (refused or scene.failed_start is not None or bool(scene.broken))

    def weigh(self, *, final: bool = False) -> None:
        """Record the incidents of which it is known by now how they ended.

        Args:
            final: Whether nothing more will become known.
        """
        waiting, self._pending = self._pending, []
        for pending in waiting:
            cured = pending.incident.report.retry_successful
            if cured is None and pending.incident.decision.retry and not final:
                self._pending.append(pending)
                continue
            for breaker in pending.breakers:
                self._record(breaker, pending, recovered=cured is True)

    def survived(self, item: Any, mark: int) -> None:
        """`item` has sent commands since `mark`, and met no failure of the infrastructure."""
        if not self._enabled:
            return
        for breaker in self._of_type(item):
            self._report(breaker, Outcome.SUCCESS, "")
        for session in self._sessions.used_since(mark):
            for breaker in self._named(session.browser, session.endpoint, remote=session.remote):
                self._recipes.setdefault(breaker, _recipe_of(session))
                self._report(breaker, Outcome.SUCCESS, "")

    def admit(self, breakers: Iterable[CircuitBreaker]) -> CircuitBreaker | None:
        """Take the permits of a test to use `breakers`; return the one that refuses."""
        for breaker in breakers:
            if breaker.get_state() is CircuitState.CLOSED or breaker in self._permits:
                continue
            permit = breaker.try_acquire()
            if permit is None:
                self.release()
                return breaker
            self._permits[breaker] = permit
        return None

    def release(self) -> None:
        """The test has ended: give back permits of circuits it has not used."""
        while self._permits:
            breaker, permit = self._permits.popitem()
            breaker.report(permit, Outcome.IGNORED, "not used")

    def trial(self, breaker: CircuitBreaker) -> Trial | None:
        """Return how a session like those of `breaker` is tried; None if nobody knows."""
        recipe = self._recipes.get(breaker)
        return recipe() if recipe is not None else None

    def _trip(
        self, breakers: Breakers, incident: Incident, scene: Scene, *, last_follows: bool
    ) -> None:
        """Open at once what cannot work; and do not spend a last attempt on what did not."""
        if not (incident.report.error_type.infrastructure and incident.decision.retry):
            return
        for breaker in breakers:
            down = ""
            if breaker.kind == "endpoint":
                from pytest_resilience.browser.trial import hard_down

                down = hard_down(scene.evidence, breaker.name)
            elif last_follows:
                down = "no session could be had for a test, which has one attempt left"
            if down:
                self.causes[breaker] = incident.report.error_id
                breaker.trip(down)

    def _record(self, breaker: CircuitBreaker, pending: _Pending, *, recovered: bool) -> None:
        report = pending.incident.report
        repeated = self._last_type.get(breaker) == report.error_type.label
        weight = weigh(
            report.error_type,
            report.error_severity,
            recovered=recovered,
            half_open=breaker.get_state() is CircuitState.HALF_OPEN,
            broken=pending.broken,
            repeated=repeated,
        )
        if report.injected and weight.outcome is Outcome.FAILURE:
            weight = _weight_injected(report, breaker, weight, repeated=repeated)
        if report.error_type.infrastructure:
            self._last_type[breaker] = report.error_type.label
        if weight.outcome is Outcome.FAILURE:
            self.causes[breaker] = report.error_id
            self.hopeless.discard(breaker)
            if pending.incident.diagnosis.recovery == "escalate":
                self.hopeless.add(breaker)
        self._report(breaker, weight.outcome, f"{report.error_type.label}: {weight.reason}")

    def _report(self, breaker: CircuitBreaker, outcome: Outcome, reason: str) -> None:
        permit = self._permits.pop(breaker, None)
        if permit is not None:
            breaker.report(permit, outcome, reason)
        elif outcome is Outcome.SUCCESS:
            self._last_type.pop(breaker, None)
            breaker.record_success(reason)
        elif outcome is Outcome.FAILURE:
            breaker.record_failure(reason)

    def _of(self, scene: Scene) -> tuple[Breakers, Callable[[], Trial | None]]:
        """Return the circuits of what failed, and how it is tried again."""
        if scene.session is not None:
            session = scene.session
            named = self._named(session.browser, session.endpoint, remote=session.remote)
            return named, _recipe_of(session)
        start = scene.failed_start
        if start is None:
            return (), _no_recipe
        return self._named(start.browser, start.endpoint, remote=start.remote), _start_of(start)

    def _of_type(self, item: Any) -> Breakers:
        """Return the circuit of the type of `item`; nobody else can try it but its tests."""
        name = self._types.get(item)
        return (self._registry.get("test_type", name),) if name else ()

    def _named(self, browser: str, endpoint: str, *, remote: bool) -> Breakers:
        name = plain(browser)
        if remote and self.stands_in(endpoint):
            # Nobody waits for a grid where another one takes its place.
            return ()
        if not remote:
            return (self._registry.get("browser", name),)
        return (
            self._registry.get("endpoint", endpoint),
            self._registry.get("browser", f"{name} at {endpoint}"),
        )

    def _moved(self, _transition: object) -> None:
        circuits = self._registry.circuits()
        self.calm = not self._always_ask and all(
            breaker.get_state() is CircuitState.CLOSED for breaker in circuits
        )


def _weight_injected(
    report: ErrorReport, breaker: CircuitBreaker, weight: Weight, *, repeated: bool
) -> Weight:
    """Return how an injected failure counts, that would count as `weight` if it were a true one."""
    from pytest_resilience.core.injection_gate import records
    from pytest_resilience.core.injection_plan import Injection

    told = [
        records(i.type, i.intensity, circuit_state=breaker.get_state(), repeated=repeated)
        for i in map(Injection.parse, report.injected.split(", "))
    ]
    if any(counts for counts, _reason in told):
        return weight
    return Weight(Outcome.IGNORED, f"injected: {told[0][1]}")


def called(breaker: CircuitBreaker) -> str:
    """Return what people call what `breaker` stands for."""
    return f"{breaker.kind} {breaker.name}"


def why(breaker: CircuitBreaker) -> str:
    """Return what happened last on `breaker`."""
    reason: str = breaker.get_metrics()["last_reason"]
    return reason


def _recipe_of(session: DriverSession) -> Callable[[], Trial | None]:
    def recipe() -> Trial | None:
        from pytest_resilience.browser.trial import Trial

        return Trial.of_session(session)

    return recipe


def _start_of(failed: FailedStart) -> Callable[[], Trial | None]:
    def recipe() -> Trial | None:
        from pytest_resilience.browser.trial import Trial

        return Trial.of_failed_start(failed)

    return recipe


def _no_recipe() -> Trial | None:
    return None
