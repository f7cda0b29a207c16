"""The desk where a failed attempt is examined, decided on and repaired.

Invariant: nothing here raises; if the plugin itself fails, the failure of the test is
left exactly as pytest saw it, and the fault is reported once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.applicability import WORKER_CHANGES
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.failures import ExceptionFact, Failure
from pytest_resilience.core.knobs import ran_short
from pytest_resilience.core.rules.circuit import LIMITED
from pytest_resilience.engine import Incident, ItemHistory, RecoveryEngine
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.circuits import Circuits
from pytest_resilience.plugin.environment import BrowserEnvironment, Scene
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper, requests
from pytest_resilience.plugin.handle import PREVIOUS
from pytest_resilience.plugin.knobs import CASE
from pytest_resilience.plugin.mending import CommandRetries
from pytest_resilience.plugin.teardowns import is_noise, note_teardown

if TYPE_CHECKING:
    from pytest_resilience.browser.first import Asked

#: With these a test says that it has not failed.
_NO_FAILURES = (pytest.skip.Exception, pytest.xfail.Exception)

#: Failed set-ups in a row after which a fixture is given up: pytest then replays its
#: failure to every item that needs it, instead of spending more set-ups on it.
FIXTURE_FAILURE_LIMIT = 5

#: Stands for the exception that a dead session would have raised.
_FOUND_DEAD = (
    ExceptionFact(
        ("pytest_resilience.SessionFoundDead",), "the browser did not answer before the test began"
    ),
)


class Case:
    """One item on its way to its verdict.

    Attributes:
        ihook: The item's hooks.
        last: Report of the failure for which the item was deferred, None if it was not.
        nextitem: Item that runs after this one, None for the last.
        number: Number of the attempt that runs, from 1.
        mark: Where the stream of WebDriver commands stood when the attempt began.
        superseded: Attempts already superseded.
        failures: What was diagnosed and tried so far, None if nothing failed yet.
        was_deferred: Whether the item has been put behind all others.
        mended: What was repaired without spending an attempt: a session found dead before the
            first one, a command that was lost; None if nothing was.
        asked: What browsers were asked when the attempt had failed, until that is read.
        counted: Number of the attempt of which the limit of browsers has heard.
        returned: Whether it comes back from behind the others, and has not been set up yet.
    """

    __slots__ = (
        "asked",
        "counted",
        "failures",
        "ihook",
        "item",
        "last",
        "mark",
        "mended",
        "nextitem",
        "number",
        "policy",
        "returned",
        "superseded",
        "was_deferred",
    )

    def __init__(self, item: Any, policy: ItemPolicy, ihook: Any = None) -> None:
        self.item = item
        self.policy = policy
        self.ihook = ihook
        self.number = 1
        self.mark = 0
        self.superseded: list[Attempt] = []
        self.failures: ItemHistory | None = None
        self.was_deferred = False
        self.returned = False
        self.nextitem: Any = None
        self.last: Any = None
        self.mended: Attempt | None = None
        self.asked: Asked | None = None
        self.counted = 0

    @property
    def history(self) -> ItemHistory:
        """What was diagnosed and tried so far."""
        if self.failures is None:
            self.failures = ItemHistory()
        return self.failures

    @property
    def stopping(self) -> bool:
        """Whether the session is about to end, so that nothing is to be run again."""
        session = self.item.session
        return bool(session.shouldfail or session.shouldstop)

    def supersede(self, attempt: Attempt) -> None:
        """Another attempt follows `attempt`; the test may ask it why."""
        self.superseded.append(attempt)
        self.item.stash[PREVIOUS] = attempt

    def forget(self) -> None:
        """Do without answers that nobody has read."""
        asked, self.asked = self.asked, None
        if asked is not None:
            asked.forget()


class FailureDesk:
    """Opens an incident for a failure, and repairs what it broke."""

    def __init__(
        self,
        engine: RecoveryEngine,
        keeper: FixtureKeeper,
        environment: BrowserEnvironment,
        commands: CommandRetries,
        circuits: Circuits,
        *,
        guard: Callable[[Exception], None],
        worker: str,
    ) -> None:
        #: Hears of commands that are sent again; is told which item runs.
        self.commands = commands
        self._engine = engine
        self._keeper = keeper
        self._environment = environment
        self._circuits = circuits
        self._guard = guard
        self._worker = worker
        #: Returns what was injected into the present attempt of an item, "" if nothing was.
        self.injected: Callable[[Any], str] = _nothing
        #: Returns where the stream of WebDriver commands stands now.
        self.mark = environment.mark
        self._failed_setups: dict[FixtureDef, tuple[int, int]] = {}

    def open(self, case: Case, phase: str, error: BaseException) -> Incident | None:
        """Diagnose `error` and decide whether the item is run again.

        Returns None if the plugin itself failed; the failure is then final.
        """
        try:
            self._environment.deferrals.case = case
            case.item.stash[CASE] = case
            scene = self._environment.examine(case.mark, case.item, error, case.asked)
            fixturedef = next(iter(scene.failed_fixtures), None)
            chain = observe.exception_chain(error)
            failure = self._failure(case, phase, chain, scene, fixturedef)
            # Of a browser that does not start, a circuit takes care.
            covered = self._circuits.cover(scene, chain)
            hopeless = "" if covered else self._count_failed_setup(fixturedef)
            incident = self._engine.diagnose(
                failure,
                scene.evidence,
                case.policy,
                case.history,
                hopeless=hopeless,
                environment=self._environment,
                start_level=self._circuits.start_level(scene),
                elsewhere=self._works_elsewhere(scene),
                away=self._circuits.wants_away(scene),
            )
            again = incident.report.error_type.infrastructure or incident.diagnosis.transient
            self._settle(case, survived=not again)
            self._count(case, incident)
            last_follows = case.number + 1 >= case.policy.max_attempts
            self._circuits.failed(case.item, incident, scene, last_follows=last_follows)
            return incident
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)
            return None
        finally:
            case.forget()

    def ask_first(self, case: Case, error: BaseException) -> None:
        """`error` was raised: let the browsers be asked while pytest writes its report."""
        expected = case.item.get_closest_marker("xfail") is not None
        if expected or isinstance(error, _NO_FAILURES) or _skips_by_unittest(error):
            return
        try:
            case.forget()
            case.asked = self._environment.ask_first(case.mark, case.item)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def preflight(self, case: Case) -> None:
        """Before an item's first attempt, replace sessions that earlier tests left dead.

        No attempt is spent on them; the item is told as recovered if it passes.
        """
        try:
            dead = self._environment.found_dead(case.item)
            if not dead:
                return
            scene = self._environment.examine(case.mark, case.item)
            failure = self._failure(case, "setup", _FOUND_DEAD, scene, None)
            incident = self._engine.diagnose(
                failure, scene.evidence, case.policy, case.history, environment=self._environment
            )
            if incident.decision.retry and incident.report.error_type.infrastructure:
                attempt = observe.attempt_of(incident, self._worker)
                attempt.reason = "found dead before the test began, and replaced"
                self.recover(case, incident, attempt)
                case.mended = attempt
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def is_noise(self, incident: Incident, error: BaseException) -> bool:
        """Return whether `error`, of a last teardown, says only that it has lost its browser."""
        try:
            return is_noise(incident.report.error_type, error)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)
            return False

    def reconsider(self, incident: Incident) -> None:
        """A circuit was waited for, and others have tried meanwhile: they may know better."""
        try:
            if self._circuits.works_elsewhere(self._environment.scene):
                self._engine.reconsider(incident)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def recover(self, case: Case, incident: Incident, attempt: Attempt) -> None:
        """Run the recovery of `incident` and write down on `attempt` what was done."""
        try:
            self._environment.take_noise()
            self._engine.recover(incident, self._environment)
            for fixture, error in self._environment.take_noise():
                note_teardown(attempt, f"of fixture {fixture}", error)
            self._environment.drop_failed_fixtures(case.item)
            if incident.strategy is not None and incident.record is not None:
                attempt.strategy = incident.strategy.name
                attempt.level = int(incident.strategy.level)
                attempt.recovery_s = incident.record.execution_time
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def parted(self, case: Case) -> None:
        """The item ends here for now; if it has left, nothing more is heard of it here."""
        try:
            if case.history.incidents[-1].strategy_name in WORKER_CHANGES:
                self._circuits.weigh(final=True)
                self._circuits.release()
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def leave(self, case: Case) -> None:
        """The item is put behind others: keep nothing that would fail it when it returns."""
        try:
            self._environment.drop_failed_fixtures(case.item)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def answered(self, case: Case) -> None:
        """The item has its verdict; tell the circuits of the browsers it used."""
        try:
            turnstile = self._environment.turnstile
            if turnstile is not None and case.counted != case.number:
                turnstile.ended(failed=False)
            self._circuits.weigh(final=True)
            last = case.failures.incidents[-1:] if case.failures is not None else []
            lost = [i for i in last if i.report.error_type.infrastructure]
            if all(incident.report.retry_successful for incident in lost):
                self._circuits.survived(case.item, case.mark)
            self._circuits.release()
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def underway(self, case: Case) -> None:
        """An attempt after a failure has been set up."""
        self._engine.underway(case.history)

    def resume(self, case: Case) -> None:
        """The next attempt of a deferred item begins."""
        case.item.stash[CASE] = case
        self._engine.resume(case.history)

    def restore(self) -> None:
        """Change back what was changed for the item that has just ended."""
        try:
            self._environment.restore_timeouts()
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def close(self, case: Case, *, passed: bool) -> None:
        """The item has its verdict; settle its last recovery and leave nothing broken behind."""
        self.restore()
        try:
            if passed:
                self._settle(case, survived=True)
            elif self._infrastructure(case):
                self._environment.restart_browsers(with_driver=True)
                if not self._given_up(case):
                    self._environment.drop_failed_fixtures(case.item)
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def _count(self, case: Case, incident: Incident) -> None:
        """Let the limit of browsers hear of an attempt that is over, once."""
        turnstile, report = self._environment.turnstile, incident.report
        if turnstile is None or case.counted == case.number or report.rule == LIMITED:
            return
        failed = ran_short(report.error_type.label, report.evidence)
        if failed or incident.decision.retry:
            case.counted = case.number
            turnstile.ended(failed=failed)

    def _failure(
        self,
        case: Case,
        phase: str,
        chain: tuple[ExceptionFact, ...],
        scene: Scene,
        fixturedef: FixtureDef | None,
    ) -> Failure:
        return Failure(
            nodeid=case.item.nodeid,
            phase=phase,
            chain=chain,
            attempt=case.number,
            fixture=fixturedef.argname if fixturedef is not None else "",
            worker=self._worker,
            injected=self.injected(case.item),
            **scene.place,
        )

    def _works_elsewhere(self, scene: Scene) -> bool:
        """Return whether what failed works on other workers, or can be tried there first."""
        if self._circuits.works_elsewhere(scene):
            return True
        untried = self._circuits.may_work_elsewhere(scene)
        return untried and self._environment.may_change_worker(fresh=False)

    def _count_failed_setup(self, fixturedef: FixtureDef | None) -> str:
        if fixturedef is None:
            return ""
        count, last_setup = self._failed_setups.get(fixturedef, (0, 0))
        setup = self._keeper.setups(fixturedef)
        if setup != last_setup:
            # Otherwise pytest replays a failure that was counted already.
            count += 1
            self._failed_setups[fixturedef] = (count, setup)
        if count < FIXTURE_FAILURE_LIMIT:
            return ""
        return f"fixture {fixturedef.argname!r} failed to set up {count} times in a row"

    def _given_up(self, case: Case) -> bool:
        return any(
            count >= FIXTURE_FAILURE_LIMIT and requests(case.item, fixturedef)
            for fixturedef, (count, _last) in self._failed_setups.items()
        )

    def _settle(self, case: Case, *, survived: bool) -> None:
        self._engine.settle(case.history, survived=survived)
        if survived:
            for fixturedef in [f for f in self._failed_setups if self._keeper.is_alive(f)]:
                del self._failed_setups[fixturedef]

    @staticmethod
    def _infrastructure(case: Case) -> bool:
        incidents = case.history.incidents
        return bool(incidents) and incidents[-1].report.error_type.infrastructure


def _skips_by_unittest(error: BaseException) -> bool:
    # As pytest asks: loading it takes 10 ms, and where nobody has, nobody raises what is in it.
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(error, unittest.SkipTest)


def _nothing(_item: object) -> str:
    """Where nothing is injected, nothing was."""
    return ""
