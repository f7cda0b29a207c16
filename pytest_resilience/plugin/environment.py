"""The browsers of an attempt: which ones it used, whether they live, how to replace them.

Invariant: only sessions that evidence calls broken are replaced, and of the fixtures
only those that own one, with everything built on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_resilience.core.evidence import Evidence
from pytest_resilience.plugin.fixtures import FixtureKeeper

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
        session.owner = self._keeper.being_set_up()

    def examine(self, mark: int, fixturenames: Sequence[str]) -> Scene:
        """Probe every session the attempt used, or whose fixture it requests."""
        scene = Scene(mark)
        sessions = self._concerned(mark, fixturenames)
        if sessions:
            from pytest_resilience.browser import probes

            for session in sessions:
                evidence = Evidence(probes.probe(session))
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
            if session.owner is not None and session.owner.argname in fixturenames:
                used.setdefault(id(session), session)
        return sorted(used.values(), key=lambda session: -session.last_mark)

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
        # The processes go first, so that teardowns which still talk to them fail at once.
        self._registry.discard(session)
        owner = session.owner
        if owner is not None:
            self._finish(owner)
            return True
        if session.created_mark >= self._scene.mark or session.driver is None:
            # Made by the attempt itself: the next one makes its own.
            return True
        return self._registry.rebirth(session) is not None

    def _finish(self, fixturedef: object) -> None:
        for error in self._keeper.finish(fixturedef):  # type: ignore[arg-type]
            self.noise.append(f"{type(error).__name__}: {error}")
