"""The browsers of an attempt: which ones it used, whether they live, how to replace them.

Invariant: only sessions that evidence calls broken are replaced, and of the fixtures
only those that own one, with everything built on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.evidence import ERROR, Evidence, ProbeResult
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper, requests

if TYPE_CHECKING:
    import pytest

    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
    from pytest_resilience.browser.starts import FailedStart


@dataclass(slots=True)
class Scene:
    """What was found when an attempt had failed.

    Attributes:
        mark: The registry's mark when the attempt began.
        session: The session the failure concerns: the first broken one, else the one
            used last; None if the attempt used no browser.
        evidence: What probes said of that session.
        broken: All sessions that cannot be used any more.
        failed_fixtures: Fixtures whose set-up was what failed.
        failed_start: The browser that could not be started in the attempt, None if all were.
    """

    mark: int
    session: DriverSession | None = None
    evidence: Evidence = field(default_factory=Evidence)
    broken: list[DriverSession] = field(default_factory=list)
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

    def examine(
        self,
        mark: int,
        item: pytest.Item,
        error: BaseException | None = None,
    ) -> Scene:
        """Probe every session the attempt used, or whose fixture `item` requests.

        Args:
            error: What the attempt raised.
        """
        scene = Scene(mark)
        if error is not None:
            scene.failed_fixtures = self._keeper.failed_with(error)
        sessions = self._concerned(mark, item)
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

    def restart_browsers(self, *, with_driver: bool) -> bool:
        """Replace the broken sessions of the last scene; see `core.ports.Environment`.

        A local driver serves one session, so its process goes with the session whether
        or not that is asked for.
        """
        replaced = [self._replace(session) for session in self._scene.broken]
        return all(replaced)

    def drop_failed_fixtures(self, item: pytest.Item) -> None:
        """Let those fixtures of `item` whose set-up failed be set up again."""
        for fixturedef, _error in list(self._keeper.failed()):
            if fixturedef in self._scene.failed_fixtures or requests(item, fixturedef):
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
