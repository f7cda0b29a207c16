"""A worker of xdist that stays: it waits for more when its batch has ended, and items come and go.

Invariant: a worker stays only while its controller says so; an item that leaves publishes
one ``rerun`` report and nothing more, and one that arrives has its attempts with it. The
parts of xdist that are used here are named in `fits`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.applicability import WORKER_CHANGES
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.plugin import checkpoints, travel
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.desk import Case

#: Name of the command that the controller sends to its workers, besides those of xdist.
COMMAND = "resilience"
#: What of xdist's half in a worker is used.
PARTS = ("run_one_test", "handle_command", "sendevent")


def fits(interactor: object) -> bool:
    """Return whether xdist's half in a worker is as we know it."""
    return all(callable(getattr(interactor, part, None)) for part in PARTS)


class Station:
    """The worker's side of all that goes on between workers.

    Args:
        interactor: xdist's half in this worker.
        strategies: All recoveries.
        fault: Called with what goes wrong here.
    """

    def __init__(
        self,
        config: pytest.Config,
        interactor: Any,
        deferrals: Deferrals,
        strategies: Iterable[RecoveryStrategy],
        fault: Callable[[Exception], None],
    ) -> None:
        self._config = config
        self._interactor = interactor
        self._waiting = deferrals.waiting
        self._strategies = {strategy.name: strategy for strategy in strategies}
        self._fault = fault
        self._shelf = checkpoints.Shelf()
        self._policies: Mapping[pytest.Item, ItemPolicy] = {}
        self._session: Any = None
        self._stays = False
        self._switches = self._others = False
        # Called from a thread of xdist's.
        self._hear_xdist = interactor.handle_command
        interactor.handle_command = self._hear

    @classmethod
    def of(
        cls,
        config: pytest.Config,
        deferrals: Deferrals,
        strategies: Iterable[RecoveryStrategy],
        fault: Callable[[Exception], None],
    ) -> Station | None:
        """Return the station of this worker, None if its xdist is not as we know it."""
        for plugin in config.pluginmanager.get_plugins():
            if type(plugin).__name__ == "WorkerInteractor" and fits(plugin):
                return cls(config, plugin, deferrals, strategies, fault)
        return None

    def settle_in(
        self,
        session: pytest.Session,
        policies: Mapping[pytest.Item, ItemPolicy],
        foreign: Iterable[pytest.Item],
        usual: ItemPolicy,
    ) -> None:
        """All items are known now; tell the controller of those it must treat in another way.

        Args:
            foreign: Those that another plugin re-runs.
            usual: The policy of an item without a marker.
        """
        self._session, self._policies = session, policies
        places = {item: index for index, item in enumerate(session.items)}
        terms = {
            places[item]: [policy.retry, policy.max_attempts, policy.max_level, *policy.strategies]
            for item, policy in policies.items()
            if policy != usual and item in places
        }
        left = [places[item] for item in foreign if item in places]
        if terms or left:
            # The only event of xdist's whose content goes to the scheduler as it is.
            self._interactor.sendevent("unscheduled", indices={"terms": terms, "foreign": left})

    # Staying

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Run batch after batch, as long as the controller may still have some."""
        try:
            result = yield
            while self._stays and not (session.shouldfail or session.shouldstop):
                self._run_batch(session)
            return result
        finally:
            # What has come and was not run is the controller's to settle.
            self._waiting.clear()

    def _run_batch(self, session: pytest.Session) -> None:
        """Run items until xdist says that no more follow at once; that may be at once."""
        ours = self._interactor
        ours.nextitem_index = ours.torun.get()
        while isinstance(ours.nextitem_index, int):
            ours.run_one_test()
            if session.shouldfail or session.shouldstop:
                return

    # What the controller says

    def _hear(self, command: Any) -> None:
        if not isinstance(command, tuple):
            # There is no controller any more.
            self._stays = False
        elif command[0] == COMMAND:
            try:
                self._told(**command[1])
            except Exception as fault:  # noqa: BLE001 - xdist would close the line for it
                self._fault(fault)
            return
        self._hear_xdist(command)

    def _told(
        self,
        *,
        stay: bool | None = None,
        switches: bool | None = None,
        others: bool | None = None,
        arrival: Mapping[str, Any] | None = None,
    ) -> None:
        self._stays = self._stays if stay is None else stay
        self._switches = self._switches if switches is None else switches
        self._others = self._others if others is None else others
        if arrival is not None:
            item = self._session.items[arrival["index"]]
            policy = self._policies.get(item)
            if checkpoints.MESSAGE in arrival:
                self._shelf.take(arrival[checkpoints.MESSAGE])
            if policy is not None:
                attempts = arrival["attempts"]
                self._waiting[item] = travel.arrived(item, attempts, policy, self._strategies)

    def carry(self, shelf: checkpoints.Shelf) -> None:
        """Let what items bring along be put on `shelf`, and send on what nobody else can see."""
        self._shelf = shelf
        if shelf.apart:
            shelf.post = self._post

    def _post(self, checkpoint: str) -> None:
        if self._stays:
            self._interactor.sendevent("unscheduled", indices={checkpoints.MESSAGE: checkpoint})

    @property
    def mixes(self) -> bool:
        """Whether tests of one scope are run on several workers."""
        return self._stays and self._switches

    def say(self, said: Mapping[str, Any]) -> None:
        """Let the controller show what is waited for here."""
        if self._stays:
            self._interactor.sendevent("unscheduled", indices={"says": dict(said)})

    # Leaving

    def may_leave(self, case: Case | None, *, fresh: bool) -> bool:
        """Return whether the item of `case` may be run on another worker.

        Args:
            fresh: Whether on one that is started for it.
        """
        if case is None or case.stopping or not self._stays:
            return False
        if not (self._switches or WORKER_CHANGES.intersection(case.policy.strategies)):
            # Its scope must run on one worker, and its marker does not say otherwise.
            return False
        return travel.hops(case.superseded) < travel.HOPS and (fresh or self._others)

    def leave(self, case: Case | None, *, fresh: bool) -> bool:
        """Let the item of `case` end here, to be run on another worker."""
        if case is None:
            return False
        self._waiting[case.item] = case
        departure = Departure(self._config, self._waiting, case, fresh=fresh)
        self._config.pluginmanager.register(departure)
        return True


class Departure:
    """Sees one item off: marks the report of its last attempt here.

    Registered for that long alone, since reports come by for every test.
    """

    def __init__(
        self, config: pytest.Config, waiting: dict[Any, Case], case: Case, *, fresh: bool
    ) -> None:
        self._config = config
        self._waiting = waiting
        self._case = case
        self._fresh = fresh

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Say on the report that the item is to be run elsewhere."""
        if report.outcome == "rerun" and report.nodeid == self._case.item.nodeid:
            setattr(report, travel.HANDOVER, travel.handover(self._case, fresh=self._fresh))

    def pytest_runtest_logfinish(self) -> None:
        """The item has left."""
        self._waiting.pop(self._case.item, None)
        self._config.pluginmanager.unregister(self)
