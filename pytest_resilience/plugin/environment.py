"""The browsers of an attempt: which ones it used, whether they live, how to replace them.

Invariant: only sessions that evidence calls broken are replaced, and of the fixtures
only those that own one, with everything built on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.applicability import BATCH, PRECISION
from pytest_resilience.core.evidence import ERROR, Evidence, ProbeResult
from pytest_resilience.plugin.connections import libraries
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper, requests
from pytest_resilience.plugin.knobs import KNOBS, shortages
from pytest_resilience.plugin.observe import exception_chain
from pytest_resilience.plugin.repairs import Repairs

if TYPE_CHECKING:
    import pytest

    from pytest_resilience.browser.first import Asked
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
    from pytest_resilience.browser.starts import FailedStart
    from pytest_resilience.plugin.station import Station
    from pytest_resilience.plugin.turnstile import Turnstile


@dataclass(slots=True)
class Scene:
    """What was found when an attempt had failed.

    Attributes:
        mark: The registry's mark when the attempt began.
        session: The session the failure concerns: the first broken one, else the one
            used last; None if the attempt used no browser.
        evidence: What probes said of that session.
        sessions: All sessions the attempt used, or whose fixture the item requests, the one
            used last first.
        evidence_of: What probes said of each of them.
        broken: Those that cannot be used any more.
        libraries: Database libraries that raised what the attempt raised.
        failed_fixtures: Fixtures whose set-up was what failed.
        failed_start: The browser that could not be started in the attempt, None if all were.
    """

    mark: int
    session: DriverSession | None = None
    evidence: Evidence = field(default_factory=Evidence)
    sessions: list[DriverSession] = field(default_factory=list)
    evidence_of: dict[DriverSession, Evidence] = field(default_factory=dict)
    broken: list[DriverSession] = field(default_factory=list)
    libraries: frozenset[str] = frozenset()
    failed_fixtures: list[FixtureDef] = field(default_factory=list)
    failed_start: FailedStart | None = None

    @property
    def place(self) -> dict[str, Any]:
        """What a `Failure` says of the browser concerned."""
        if self.session is not None:
            return {
                "command": self.session.last_command,
                "browser": self.session.browser,
                "endpoint": self.session.endpoint,
                "remote": self.session.remote,
                "environment": _surroundings(self.session),
            }
        if self.failed_start is not None:
            start = self.failed_start
            return {"command": "newSession", "endpoint": start.endpoint, "remote": start.remote}
        return {}


@dataclass(frozen=True, slots=True)
class Owner:
    """The set-up of a fixture in which a session was made.

    Attributes:
        setup: Its number; an object left over from an earlier one is nobody's any more.
    """

    fixturedef: FixtureDef
    setup: int

    def is_being_set_up(self) -> bool:
        """Return whether its function runs at this moment."""
        return self.fixturedef.cached_result is None


class BrowserEnvironment(Repairs):
    """Examines the sessions of an attempt, and replaces the broken ones.

    Args:
        reset: The user's own reset of what is not ours.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        keeper: FixtureKeeper,
        deferrals: Deferrals,
        *,
        reset: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(registry, keeper, Scene(0), reset)
        #: Returns the point in the stream of WebDriver commands at which we are.
        self.mark = registry.mark
        #: Where items wait that are run again at the end.
        self.deferrals = deferrals
        #: The way to other workers, None where there are none.
        self.station: Station | None = None
        #: Knows which fixtures are set up.
        self.keeper = keeper
        #: Lets browsers in, None where there is nothing to limit.
        self.turnstile: Turnstile | None = None

    def adopt(self, session: DriverSession) -> None:
        """Note which fixture is creating `session`."""
        fixturedef = self._keeper.being_set_up()
        if fixturedef is not None:
            session.owner = Owner(fixturedef, self._keeper.setups(fixturedef))

    def found_dead(self, item: pytest.Item) -> list[DriverSession]:
        """Return those sessions `item` is about to use that do not answer any more.

        These are the ones that live on from earlier tests in a fixture it requests. Whether
        it will use one that no fixture owns cannot be known.
        """
        sessions = self._registry.living()
        if not sessions:
            return []
        from pytest_resilience.browser import probes

        return [
            session
            for session in sessions
            if self._serves(session, item) and not probes.is_healthy(session)
        ]

    def ask_first(self, mark: int, item: pytest.Item) -> Asked | None:
        """Ask the sessions that `examine` will probe, without waiting for their answers.

        Returns:
            What was asked, to be given to `examine` or forgotten; None if nothing was.
        """
        sessions = self._concerned(mark, item)
        if not sessions:
            return None
        from pytest_resilience.browser import first, probes

        return first.Asked(sessions, limit_s=probes.STATUS_LIMIT_S)

    def examine(
        self,
        mark: int,
        item: pytest.Item,
        error: BaseException | None = None,
        asked: Asked | None = None,
    ) -> Scene:
        """Probe every session the attempt used, or whose fixture `item` requests.

        Args:
            error: What the attempt raised.
            asked: What `ask_first` returned since.
        """
        scene = Scene(mark)
        if error is not None:
            scene.failed_fixtures = self._keeper.failed_with(error)
            scene.libraries = libraries(exception_chain(error))
        scene.sessions = self._concerned(mark, item)
        if scene.sessions:
            from pytest_resilience.browser import probes

            for session in scene.sessions:
                first = asked.of(session) if asked is not None else None
                evidence = Evidence(_whole(probes.probe(session, asked=first)))
                scene.evidence_of[session] = evidence
                if probes.broken(evidence):
                    # One that the test ended says nothing where another has died.
                    ended = scene.session is not None and scene.session.closed_by_test
                    if not scene.broken or ended:
                        scene.session, scene.evidence = session, evidence
                    scene.broken.append(session)
                elif scene.session is None:
                    scene.session, scene.evidence = session, evidence
        if not scene.broken:
            self._examine_start(scene)
        self._scene = scene
        return scene

    def _examine_start(self, scene: Scene) -> None:
        """A browser that could not be started last tells more than one that is fine."""
        failed = self._registry.failed_starts_since(scene.mark)[-1:]
        if not failed or (scene.session is not None and scene.session.last_mark > failed[0].mark):
            return
        from pytest_resilience.browser import probes

        scene.session, scene.failed_start = None, failed[0]
        scene.evidence = Evidence(_whole(probes.probe_start(failed[0])))

    def _concerned(self, mark: int, item: pytest.Item) -> list[DriverSession]:
        used = {id(session): session for session in self._registry.used_since(mark)}
        for session in self._registry.living():
            if self._serves(session, item):
                used.setdefault(id(session), session)
        return sorted(used.values(), key=lambda session: -session.last_mark)

    def _serves(self, session: DriverSession, item: pytest.Item) -> bool:
        """Return whether the present value of a fixture that `item` requests made `session`."""
        owner: Owner | None = session.owner
        return (
            owner is not None
            and requests(item, owner.fixturedef)
            and self._keeper.setups(owner.fixturedef) == owner.setup
            and self._keeper.is_alive(owner.fixturedef)
        )

    @property
    def scene(self) -> Scene:
        """What was found when an attempt had failed last."""
        return self._scene

    def limit(self, turnstile: Turnstile) -> None:
        """Let browsers in by `turnstile` alone."""
        self.turnstile = self._registry.guard.turnstile = turnstile

    def may_reduce(self, what: str) -> bool:
        """See `core.ports.Environment`."""
        case = self.deferrals.case
        if case is None:
            return False
        known = case.item.stash.get(KNOBS, None)
        if what == PRECISION:
            return known is not None and known.precision_can_sink()
        if known is not None and known.batch_can_shrink():
            return True
        again = shortages(case) > 0
        return self.turnstile is not None and self.turnstile.may_shrink(again=again)

    def reduce(self, what: str) -> bool:
        """See `core.ports.Environment`; the knobs turn by themselves, as attempts run short."""
        case = self.deferrals.case
        if what == BATCH and self.turnstile is not None and case is not None:
            self.turnstile.shrink(again=shortages(case) > 0)
        return self.restart_browsers(with_driver=True)

    def may_defer(self) -> bool:
        """See `core.ports.Environment`."""
        return self.deferrals.possible()

    def defer(self) -> bool:
        """See `core.ports.Environment`."""
        # What is broken must not wait for the end: others may need the same browser.
        self.restart_browsers(with_driver=True)
        self.restore_timeouts()
        return self.deferrals.defer()

    def may_change_worker(self, *, fresh: bool) -> bool:
        """See `core.ports.Environment`."""
        station = self.station
        return station is not None and station.may_leave(self.deferrals.case, fresh=fresh)

    def change_worker(self, *, fresh: bool) -> bool:
        """See `core.ports.Environment`."""
        if self.station is None or not self.may_change_worker(fresh=fresh):
            return False
        # What is broken must not stay: the next item here may need it.
        self.restart_browsers(with_driver=True)
        self.restore_timeouts()
        return self.station.leave(self.deferrals.case, fresh=fresh)

    def drop_failed_fixtures(self, item: pytest.Item) -> None:
        """Let those fixtures of `item` whose set-up failed be set up again."""
        for fixturedef, _error in list(self._keeper.failed()):
            if fixturedef in self._scene.failed_fixtures or requests(item, fixturedef):
                self._finish(fixturedef)
        self._registry.reap_failed_starts()


def _surroundings(session: DriverSession) -> str:
    """Return what lessons of `session` hold for: browser, major version, system and place."""
    granted = session.capabilities
    version = str(granted.get("browserVersion") or granted.get("version") or "")
    parts = (
        session.browser,
        version.partition(".")[0],
        str(granted.get("platformName") or "").lower(),
        "grid" if session.remote else "local",
    )
    return " ".join(part for part in parts if part)


def _whole(results: Iterator[ProbeResult]) -> Iterator[ProbeResult]:
    """Yield `results`; should a probe fail, what the others found out still counts."""
    try:
        yield from results
    except Exception as fault:  # noqa: BLE001 - a probe that fails is told as one
        yield ProbeResult("probes", ERROR, f"{type(fault).__name__}: {fault}")
