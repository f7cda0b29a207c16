"""What recoveries do to the surroundings of an item; see `core.ports.Environment`.

Invariant: only what the latest scene says is touched: broken sessions, the fixtures that
own them or hold a lost connection, what was built on these, and time-outs that are put
back when the item has its verdict. A reset alone also ends sessions that are well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pytest_resilience.core.evidence import Evidence
from pytest_resilience.plugin import connections
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper

if TYPE_CHECKING:
    from pytest_resilience.browser.nodes import Nodes
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
    from pytest_resilience.browser.wire import Wire
    from pytest_resilience.plugin.environment import Owner, Scene


class Repairs:
    """Mends what the latest scene shows.

    Args:
        reset: The user's own reset of what is not ours.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        keeper: FixtureKeeper,
        scene: Scene,
        reset: Callable[[], object],
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._scene = scene
        self._reset = reset
        #: What teardowns of replaced fixtures raised, with the names of these fixtures.
        self.noise: list[tuple[str, BaseException]] = []

    # Sessions

    def is_broken(self) -> bool:
        """See `core.ports.Environment`."""
        return any(map(self._outlives_attempt, self._scene.broken))

    def restart_browsers(self, *, with_driver: bool) -> bool:
        """Replace the broken sessions of the last scene; see `core.ports.Environment`.

        A local driver serves one session, so its process goes with the session whether
        or not that is asked for.
        """
        return self._replace(self._scene.broken)

    def has_dead_tabs(self) -> bool:
        """See `core.ports.Environment`."""
        broken = self._scene.broken
        if not broken or not all(map(self._outlives_attempt, broken)):
            return False
        if any(session.care.furnished for session in broken):
            # Nobody would open the page again that its tests expect in it.
            return False
        from pytest_resilience.browser import windows

        evidence = self._scene.evidence_of
        return all(windows.is_all_that_died(session, evidence[session]) for session in broken)

    def replace_tabs(self) -> bool:
        """See `core.ports.Environment`; a session that cannot open a tab is replaced whole."""
        from pytest_resilience.browser import windows

        hopeless = []
        for session in self._scene.broken:
            owner: Owner | None = session.owner
            if session.closed:
                continue
            if not windows.replace_dead_tab(session):
                hopeless.append(session)
            elif owner is not None and self._keeper.setups(owner.fixturedef) == owner.setup:
                self._take_note(owner.fixturedef, self._keeper.finish_dependants(owner.fixturedef))
        return self._replace(hopeless)

    def reset(self) -> bool:
        """See `core.ports.Environment`; what the user's reset raises is raised."""
        used = [s for s in self._scene.sessions if not s.closed or s in self._scene.broken]
        ended_before = {session for session in used if session.discarded}
        for session in used:
            self._registry.discard(session)
        self._registry.reap_all(unused=True)
        try:
            self._reset()
        finally:
            rebuilt = [self._rebuild(session, session in ended_before) for session in used]
        return all(rebuilt)

    def _replace(self, sessions: Iterable[DriverSession]) -> bool:
        replaced = []
        for session in sessions:
            ended_before = session.discarded
            # The processes go first, so that teardowns which still talk to them fail at once.
            self._registry.discard(session)
            replaced.append(self._rebuild(session, ended_before))
        return all(replaced)

    def _rebuild(self, session: DriverSession, ended_before: bool) -> bool:
        owner: Owner | None = session.owner
        if owner is not None and not ended_before:
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

    def _outlives_attempt(self, session: DriverSession) -> bool:
        """Return whether the next attempt meets `session` again if nothing is done."""
        owner: Owner | None = session.owner
        if owner is None or self._keeper.setups(owner.fixturedef) != owner.setup:
            return session.created_mark < self._scene.mark and session.driver is not None
        return self._keeper.is_alive(owner.fixturedef) and owner.fixturedef.scope != "function"

    # Time-outs

    def has_timeouts(self) -> bool:
        """See `core.ports.Environment`."""
        from pytest_resilience.browser import patience

        return any(map(patience.is_limited, self._scene.sessions))

    def extend_timeouts(self, factor: float) -> bool:
        """See `core.ports.Environment`."""
        from pytest_resilience.browser import patience

        if not self.has_timeouts():
            return False
        # Sessions yet to be made get theirs when they are.
        self._registry.guard.patience = factor
        for session in self._scene.sessions:
            patience.stretch(session, factor)
        return True

    def restore_timeouts(self) -> None:
        """Put the time-outs back that were extended for an item."""
        guard = self._registry.guard
        if guard.patience == 1.0:
            return
        from pytest_resilience.browser import patience

        guard.patience = 1.0
        for session in self._registry.living():
            patience.stretch(session, 1.0)

    # Databases

    def has_connections(self) -> bool:
        """See `core.ports.Environment`."""
        return bool(self._lost_connections())

    def reconnect(self) -> bool:
        """See `core.ports.Environment`."""
        holders = self._lost_connections()
        for fixturedef in holders:
            self._finish(fixturedef)
        return bool(holders)

    def _lost_connections(self) -> list[FixtureDef]:
        return connections.holders(self._keeper, self._scene.libraries)

    # Grids

    def has_other_endpoint(self) -> bool:
        """See `core.ports.Environment`."""
        endpoints = self._registry.guard.endpoints
        return endpoints is not None and endpoints.has_others(self._grid()[0])

    def switch_endpoint(self) -> bool:
        """See `core.ports.Environment`."""
        endpoints, (endpoint, way) = self._registry.guard.endpoints, self._grid()
        if endpoints is None or way is None or not endpoints.switch(endpoint, way):
            return False
        # A session stays where it is, and so is of no use, even if nothing was wrong with it.
        self._condemn(lambda session: session.endpoint == endpoint)
        return True

    def has_other_node(self) -> bool:
        """See `core.ports.Environment`."""
        session = self._scene.session
        return session is not None and session.remote and self._nodes().has_other(session)

    def switch_node(self) -> bool:
        """See `core.ports.Environment`."""
        failed = self._scene.session
        if failed is None or not failed.remote or not self._nodes().avoid(failed):
            return False
        # As long as it is used, it is where it is.
        self._condemn(lambda session: session is failed)
        return True

    def _nodes(self) -> Nodes:
        from pytest_resilience.browser.nodes import Nodes

        guard = self._registry.guard
        if guard.nodes is None:
            guard.nodes = Nodes(self._registry.monotonic)
        return guard.nodes

    def has_coordinator(self) -> bool:
        """See `core.ports.Environment`."""
        return self._grid()[1] is not None

    def coordinator_is_ready(self) -> bool:
        """See `core.ports.Environment`."""
        from pytest_resilience.browser import endpoints, probes

        wire = self._grid()[1]
        if wire is None or not endpoints.is_ready(wire):
            return False
        # While it was away it may have lost them.
        self._condemn(lambda session: probes.broken(Evidence(probes.probe(session))))
        return True

    def _condemn(self, is_broken: Callable[[DriverSession], bool]) -> None:
        """Add the sessions behind grids that `is_broken` to the broken ones."""
        broken = self._scene.broken
        for session in self._scene.sessions:
            known = session.closed or session in broken
            if session.remote and not known and is_broken(session):
                broken.append(session)

    def _grid(self) -> tuple[str, Wire | None]:
        """Return the endpoint concerned and the way to it; ("", None) if it is no grid."""
        place = self._scene.session or self._scene.failed_start
        if place is None or not place.remote:
            return "", None
        return place.endpoint, place.wire

    # Fixtures

    def _finish(self, fixturedef: FixtureDef) -> None:
        self._take_note(fixturedef, self._keeper.finish(fixturedef))

    def _take_note(self, fixturedef: FixtureDef, errors: Iterable[BaseException]) -> None:
        self.noise += [(fixturedef.argname, error) for error in errors]

    def take_noise(self) -> list[tuple[str, BaseException]]:
        """Return what teardowns of replaced fixtures raised since this was last asked."""
        noise, self.noise = self.noise, []
        return noise
