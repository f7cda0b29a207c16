"""The browsers of an attempt: which ones it used, whether they live, how to replace them.

Invariant: only sessions that evidence calls broken are replaced, and of the fixtures
only those that own one, with everything built on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_resilience.core.evidence import ERROR, Evidence, ProbeResult
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry


@dataclass(slots=True)
class Scene:
    """What was found when an attempt had failed.

    Attributes:
        mark: The registry's mark when the attempt began.
        session: The session the failure concerns: the first broken one, else the one
            used last; None if the attempt used no browser.
        evidence: What probes said of that session.
        broken: All sessions that cannot be used any more.
    """

    mark: int
    session: DriverSession | None = None
    evidence: Evidence = field(default_factory=Evidence)
    broken: list[DriverSession] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Owner:
    """The set-up of a fixture in which a session was made.

    Attributes:
        setup: Its number; an object left over from an earlier one is nobody's any more.
    """

    fixturedef: FixtureDef
    setup: int


class BrowserEnvironment:
    """Examines the sessions of an attempt, and replaces the broken ones."""

    def __init__(self, registry: SessionRegistry, keeper: FixtureKeeper) -> None:
        self._registry = registry
        #: Returns the point in the stream of WebDriver commands at which we are.
        self.mark = registry.mark
        self._keeper = keeper
        self._scene = Scene(0)
        #: What teardowns of replaced fixtures raised; noise, shown in the report.
        self.noise: list[str] = []

    def adopt(self, session: DriverSession) -> None:
        """Note which fixture is creating `session`."""
        fixturedef = self._keeper.being_set_up()
        if fixturedef is not None:
            session.owner = Owner(fixturedef, self._keeper.setups(fixturedef))

    def found_dead(self, fixturenames: Sequence[str]) -> list[DriverSession]:
        """Return those sessions a coming attempt may use that do not answer any more.

        These are the ones that live on from earlier tests, in a fixture it requests or in
        no fixture at all.
        """
        sessions = self._registry.living()
        if not sessions:
            return []
        from pytest_resilience.browser import probes

        return [
            session
            for session in sessions
            if (session.owner is None or self._serves(session, fixturenames))
            and not probes.is_healthy(session)
        ]

    def examine(
        self,
        mark: int,
        fixturenames: Sequence[str],
        suspects: Sequence[DriverSession] = (),
    ) -> Scene:
        """Probe every session the attempt used or whose fixture it requests, and `suspects`."""
        scene = Scene(mark)
        sessions = [*suspects, *(s for s in self._concerned(mark, fixturenames) if s not in suspects)]
        if sessions:
            from pytest_resilience.browser import probes

            for session in sessions:
                evidence = Evidence(_whole(probes.probe(session)))
                if probes.broken(evidence):
                    if not scene.broken:
                        scene.session, scene.evidence = session, evidence
                    scene.broken.append(session)
                elif scene.session is None:
                    scene.session, scene.evidence = session, evidence
        self._scene = scene
        return scene

    def _concerned(self, mark: int, fixturenames: Sequence[str]) -> list[DriverSession]:
        used = {id(session): session for session in self._registry.used_since(mark)}
        for session in self._registry.living():
            if self._serves(session, fixturenames):
                used.setdefault(id(session), session)
        return sorted(used.values(), key=lambda session: -session.last_mark)

    def _serves(self, session: DriverSession, fixturenames: Sequence[str]) -> bool:
        """Return whether the present value of one of the named fixtures made `session`."""
        owner: Owner | None = session.owner
        return (
            owner is not None
            and owner.fixturedef.argname in fixturenames
            and self._keeper.setups(owner.fixturedef) == owner.setup
            and self._keeper.is_alive(owner.fixturedef)
        )

    def restart_browsers(self, *, with_driver: bool) -> bool:
        """Replace the broken sessions of the last scene; see `core.ports.Environment`.

        A local driver serves one session, so its process goes with the session whether
        or not that is asked for.
        """
        replaced = [self._replace(session) for session in self._scene.broken]
        return all(replaced)

    def drop_failed_fixtures(self, fixturenames: Sequence[str]) -> None:
        """Let those of the named fixtures whose set-up failed be set up again."""
        for fixturedef, _error in list(self._keeper.failed()):
            if fixturedef.argname in fixturenames:
                self._finish(fixturedef)
        self._registry.reap_failed_starts()

    def _replace(self, session: DriverSession) -> bool:
        replaced_before = session.discarded
        # The processes go first, so that teardowns which still talk to them fail at once.
        self._registry.discard(session)
        owner: Owner | None = session.owner
        if owner is not None and not replaced_before:
            if self._keeper.setups(owner.fixturedef) == owner.setup:
                self._finish(owner.fixturedef)
            return True
        # Nobody makes a new one: no fixture owns it, or the one that did handed out an
        # object that is kept elsewhere.
        if session.created_mark >= self._scene.mark or session.driver is None:
            # Made by the attempt itself: the next one makes its own.
            return True
        reborn = self._registry.rebirth(session)
        if reborn is not None:
            reborn.owner = None
        return reborn is not None

    def _finish(self, fixturedef: FixtureDef) -> None:
        for error in self._keeper.finish(fixturedef):
            self.noise.append(f"{type(error).__name__}: {error}")


def _whole(results: Iterator[ProbeResult]) -> Iterator[ProbeResult]:
    """Yield `results`; should a probe fail, what the others found out still counts."""
    try:
        yield from results
    except Exception as fault:  # noqa: BLE001 - a probe that fails is told as one
        yield ProbeResult("probes", ERROR, f"{type(fault).__name__}: {fault}")
