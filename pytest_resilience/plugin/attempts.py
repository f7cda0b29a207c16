"""The attempt loop: runs an item, and runs it again after a recovered failure.

Invariant: every item gets exactly one set of final reports; a superseded attempt
publishes exactly one report, with outcome ``rerun``; whether an attempt is superseded
is decided before its teardown. With `fixtures` this is the only module that touches
private parts of pytest.

The loop replaces pytest's own protocol, and for a passing test it makes fewer calls
than that: options are read once, nothing is copied, nothing is probed.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from _pytest.runner import check_interactive_exception, show_test_item

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.applicability import LEAVING, WORKER_CHANGES
from pytest_resilience.core.deferral import DEFER
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.policy import Decision
from pytest_resilience.engine import Incident
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.desk import Case, FailureDesk
from pytest_resilience.plugin.final_reports import name_attempt, simply_passed
from pytest_resilience.plugin.fixtures import (
    FixtureKeeper,
    clear_unfinished,
    drop_instance,
    forget_failed_subtests,
    shared_node,
    tear_down_to,
)
from pytest_resilience.plugin.gate import Admission, Gate
from pytest_resilience.plugin.subtests import Part, SubtestWatch
from pytest_resilience.plugin.teardowns import note_teardown
from pytest_resilience.plugin.timeouts import TestTimeouts

# An argument that older versions of pytest do not have.
_SHOWING: dict[str, Any] = (
    {"add_space": True} if "add_space" in inspect.signature(show_test_item).parameters else {}
)

Report = pytest.TestReport
Call = pytest.CallInfo[Any]


class AttemptLoop:
    """Owns ``pytest_runtest_protocol`` for every item that no other plugin re-runs."""

    def __init__(
        self,
        config: pytest.Config,
        *,
        desk: FailureDesk,
        keeper: FixtureKeeper,
        policies: Mapping[pytest.Item, ItemPolicy],
        foreign: Set[pytest.Item],
        timeouts: TestTimeouts,
        subtests: SubtestWatch | None,
        recorder: observe.Recorder,
        deferrals: Deferrals,
        gate: Gate,
        preflight: bool,
        worker: str,
    ) -> None:
        self._gate = gate
        self._circuits = gate.circuits
        self._position = -1
        self._desk = desk
        self._mark = desk.mark
        self._recorder = recorder
        self._deferred = deferrals.waiting
        deferrals.give_up = self._give_up
        self._commands = desk.commands
        self._preflight = preflight
        self._forget_starting = keeper.forget_starting
        self._policies = policies
        self._foreign = foreign
        self._timeouts = timeouts
        self._subtests = subtests
        self._worker = worker
        self._setup_show = bool(config.getoption("setupshow", False))
        self._reraise: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
        if not config.getoption("usepdb", False):
            self._reraise += (KeyboardInterrupt,)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: pytest.Item | None) -> bool | None:
        """Run `item` to its verdict, unless another plugin re-runs it."""
        self._position += 1
        if item in self._foreign:
            return None
        if not self._circuits.calm and not self._let_in(item, nextitem):
            return True
        # Looked up once: each look-up of these costs pytest a dozen calls.
        ihook, nodeid, location = item.ihook, item.nodeid, item.location
        ihook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        if self._deferred and item in self._deferred:
            case = self._deferred.pop(item)
            self._desk.resume(case)
            case.returned = True
        else:
            case = Case(item, self._policies[item], ihook)
        case.nextitem = nextitem
        self._commands.case = case
        sections, properties = len(item._report_sections), len(item.user_properties)
        while (reports := self._attempt(case, nextitem)) is None:
            case.number += 1
            item.execution_count = case.number
            # Each attempt shows its own output, and its own properties alone.
            del item._report_sections[sections:], item.user_properties[properties:]
            drop_instance(item)
            if item in self._deferred:
                self._desk.parted(case)
                ihook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
                return True
            self._timeouts.rearm(item)
        if case.failures is None and simply_passed(reports):
            self._recorder.passed(nodeid, reports, self._worker)
        else:
            self._recorder.settled(nodeid, reports, case.superseded, self._worker)
        self._commands.case = None
        if case.mark:
            self._desk.answered(case)
        if case.asked is not None:
            case.forget()
        ihook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
        return True

    def _attempt(self, case: Case, nextitem: pytest.Item | None) -> tuple[Report, ...] | None:
        """Run one attempt of `case`; return its reports, None if another attempt follows."""
        item, ihook = case.item, case.ihook
        has_request = hasattr(item, "_request")
        if has_request and not item._request:
            item._initrequest()
        self._forget_starting()
        case.mark = self._mark()
        # Where no command was ever sent, no browser can have died.
        if case.mark and (case.returned or (self._preflight and case.number == 1)):
            self._desk.preflight(case)
            case.returned = False
        try:
            call, setup = self._phase(case, "setup", partial(ihook.pytest_runtest_setup, item=item))
            last = setup
            if setup.outcome == "passed":
                if case.failures is not None:
                    self._desk.underway(case)
                if self._setup_show:
                    show_test_item(item, **_SHOWING)
                if self._subtests is not None:
                    self._subtests.case = case
                run = partial(ihook.pytest_runtest_call, item=item)
                try:
                    call, last = self._phase(case, "call", run)
                except self._reraise:
                    # What ran when the run was ended is there for people to see.
                    ihook.pytest_runtest_logreport(report=setup)
                    raise
            lost, failed = self._subtests.end() if self._subtests is not None else (None, None)
            if failed is not None:
                self._fail_for(failed, case, last)
            elif last.outcome == "failed":
                if self._superseded(case, call, last, setup):
                    return None
            elif lost is not None and lost.incident is not None:
                self._rerun(case, lost.incident, last, setup, text=lost.text)
                return None
            if case.failures is not None:
                name_attempt(case, last)
            if last is not setup:
                ihook.pytest_runtest_logreport(report=setup)
            ihook.pytest_runtest_logreport(report=last)
            if call.excinfo is not None:
                self._interact(case, call, last)
            teardown = self._finish(case, call, last, nextitem)
            return (setup, teardown) if last is setup else (setup, last, teardown)
        finally:
            # As in pytest's own protocol: let funcargs and request go.
            if has_request:
                item._request = False
                item.funcargs = None

    def _phase(
        self, case: Case, when: Any, run: Callable[[], object], *, judged: bool = True
    ) -> tuple[Call, Report]:
        call = pytest.CallInfo.from_call(run, when=when, reraise=self._reraise)
        if judged and call.excinfo is not None:
            self._desk.ask_first(case, call.excinfo.value)
        return call, case.ihook.pytest_runtest_makereport(item=case.item, call=call)

    def _interact(self, case: Case, call: Call, report: Report) -> None:
        if report.outcome == "failed" and check_interactive_exception(call, report):
            case.ihook.pytest_exception_interact(node=case.item, call=call, report=report)

    def _finish(self, case: Case, ran: Call, last: Report, nextitem: Any) -> Report:
        """Tear the final attempt down and publish that."""
        if case.stopping:
            nextitem = None
        tear_down = case.ihook.pytest_runtest_teardown
        call, report = self._phase(
            case, "teardown", partial(tear_down, item=case.item, nextitem=nextitem)
        )
        if call.excinfo is not None and report.outcome == "failed":
            blameless = last.outcome == "passed"
            self._judge_teardown(case, call.excinfo.value, report, blameless=blameless)
        elif case.mended is not None and not hasattr(last, observe.ATTEMPT):
            setattr(report, observe.ATTEMPT, case.mended.to_dict())
        case.ihook.pytest_runtest_logreport(report=report)
        if call.excinfo is not None:
            self._interact(case, call, report)
        if case.failures is not None:
            skipped = ran.excinfo is not None and ran.excinfo.errisinstance(pytest.skip.Exception)
            failed = last.outcome == "failed" or hasattr(last, observe.PART_FAILED)
            self._desk.close(case, passed=skipped or not failed)
        return report

    def _superseded(self, case: Case, call: Call, report: Report, setup: Report) -> bool:
        """Diagnose a failed attempt; if it may be retried, recover and publish it as a rerun."""
        if call.excinfo is None:
            # A strict xfail that passed: nothing was raised, nothing is to be recovered.
            return False
        # From here on it is our time, not the test's.
        self._timeouts.cancel(case.item)
        incident = self._desk.open(case, report.when or "call", call.excinfo.value)
        if incident is None:
            return False
        if incident.decision.retry and not case.stopping and self._goes_on(case, incident):
            self._rerun(case, incident, report, setup)
            return True
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        return False

    def _goes_on(self, case: Case, incident: Incident) -> bool:
        """Return whether another attempt may follow; if it does so here, wait for its circuits."""
        if self._circuits.calm or incident.strategy_name in WORKER_CHANGES:
            return True
        admission = self._gate.admission(case.item, self._position)
        if admission is Admission.REFUSED:
            incident.decision = Decision(False, self._gate.refusal)
            return False
        if admission is Admission.LATER:
            self._deferred[case.item] = case
            case.nextitem = case.item.session.items[self._position + 1]
        else:
            self._desk.reconsider(incident)
        return True

    def _let_in(self, item: Any, nextitem: Any) -> bool:
        """Return whether `item` may run now; if not, see to its place or its verdict."""
        admission = self._gate.admission(item, self._position)
        if admission is Admission.RUNS:
            return True
        case = self._deferred.get(item) or Case(item, self._policies[item], item.ihook)
        if admission is Admission.LATER:
            nextitem = item.session.items[self._position + 1]
        elif self._deferred.pop(item, None) is not None:
            self._give_up(case, self._gate.refusal)
        else:
            self._refuse(case, nextitem)
            return False
        down = self._make_way(case, nextitem)
        if down.outcome == "failed":
            case.ihook.pytest_runtest_logreport(report=down)
        return False

    def _make_way(self, case: Case, nextitem: Any) -> Report:
        """Tear down for `nextitem` what an item shares that does not run now."""
        run = partial(tear_down_to, case.item, nextitem)
        call, down = self._phase(case, "teardown", run, judged=False)
        if call.excinfo is not None and down.outcome == "failed":
            self._judge_teardown(case, call.excinfo.value, down, blameless=True, recover=False)
        return down

    def _refuse(self, case: Case, nextitem: Any) -> None:
        """Give `case` its verdict without running it: what it needs is down."""
        item, ihook = case.item, case.ihook
        ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        refuse = pytest.skip if self._gate.action == "skip" else partial(pytest.fail, pytrace=False)
        told = partial(refuse, self._gate.refusal)
        _call, setup = self._phase(case, "setup", told, judged=False)
        setattr(setup, observe.BLOCKED, True)
        setattr(setup, observe.ATTEMPT, self._gate.attempt(self._worker).to_dict())
        self._recorder.blocked()
        ihook.pytest_runtest_logreport(report=setup)
        down = self._make_way(case, nextitem)
        ihook.pytest_runtest_logreport(report=down)
        self._recorder.settled(item.nodeid, (setup, down), [], self._worker)
        ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _fail_for(self, part: Part, case: Case, report: Report) -> None:
        """Say on the report of an item that a part of it failed; pytest lets the item pass."""
        setattr(report, observe.PART_FAILED, True)
        if part.incident is not None:
            attempt = observe.failed_attempt(case.number, report, part.incident, self._worker)
            attempt.traceback = part.text
            setattr(report, observe.ATTEMPT, attempt.to_dict())

    def _rerun(
        self, case: Case, incident: Incident, report: Report, setup: Report, text: str = ""
    ) -> None:
        """Tear the attempt down, recover, and publish the attempt as superseded."""
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        attempt.traceback = text or attempt.traceback
        self._timeouts.cancel(case.item)
        try:
            duration_s = self._clear_away(case, incident, report, attempt)
        except BaseException:
            # The user has ended the run: nothing follows, so this failure is the last word.
            self._conclude(case, report, setup, attempt)
            raise
        clear_unfinished(case.item)
        forget_failed_subtests(case.item)
        report.duration = sum({id(r): r.duration for r in (setup, report)}.values()) + duration_s
        attempt.duration_s, attempt.started_us = report.duration, int(setup.start * 1_000_000)
        case.last = copy.copy(report) if case.item in self._deferred else None
        report.outcome = "rerun"  # type: ignore[assignment]
        report.rerun = case.number - 1  # type: ignore[attr-defined]
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        case.supersede(self._recorder.superseded(report, case.number, self._worker))
        case.ihook.pytest_runtest_logreport(report=report)

    def _clear_away(
        self, case: Case, incident: Incident, report: Report, attempt: Attempt
    ) -> float:
        """Tear down what the attempt leaves, and recover; return the seconds of the teardown."""
        later = case.item in self._deferred
        leaves = later or incident.strategy_name in LEAVING
        following = case.nextitem if leaves else shared_node(case.item)
        run = partial(case.ihook.pytest_runtest_teardown, item=case.item, nextitem=following)
        call, down = self._phase(case, "teardown", run, judged=False)
        if call.excinfo is not None:
            report.sections.append(("Teardown of this attempt", observe.failure_text(down)))
            note_teardown(attempt, "of this attempt", call.excinfo.value)
        if later:
            attempt.strategy, attempt.level = DEFER, int(ProgressiveRecoveryLevel.CRITICAL)
            attempt.reason = "a circuit that it needs is open: it runs behind the others"
            self._desk.leave(case)
        else:
            self._desk.recover(case, incident, attempt)
        return float(down.duration)

    def _conclude(self, case: Case, report: Report, setup: Report, attempt: Attempt) -> None:
        """Publish an attempt that was to be superseded as the last one."""
        attempt.reason = "the run was ended before it could be run again"
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        reports = (setup,) if report is setup else (setup, report)
        for published in reports:
            case.ihook.pytest_runtest_logreport(report=published)
        self._recorder.settled(case.item.nodeid, reports, case.superseded, self._worker)

    def _give_up(
        self, case: Case, reason: str = "deferred, and the session ended before it could run again"
    ) -> None:
        """A deferred item will not run again: the failure it was deferred for is final."""
        report = case.last
        attempt = replace(case.superseded[-1], strategy="", level=0, recovery_s=0.0, reason=reason)
        report.outcome, report.duration = "failed", 0.0
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        self._recorder.settled(case.item.nodeid, (report,), case.superseded, self._worker)
        case.ihook.pytest_runtest_logreport(report=report)

    def _judge_teardown(
        self,
        case: Case,
        error: BaseException,
        report: Report,
        *,
        blameless: bool,
        recover: bool = True,
    ) -> None:
        """A teardown that lost its browser is no error of a test that is `blameless`."""
        self._timeouts.cancel(case.item)
        incident = self._desk.open(case, "teardown", error)
        if incident is None:
            return
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        if blameless and self._desk.is_noise(incident, error) and case.policy.retry != "never":
            attempt.reason = "the test had passed; its teardown lost the environment"
            if recover:
                self._desk.recover(case, incident, attempt)
            report.outcome, report.longrepr = "passed", None
        setattr(report, observe.ATTEMPT, attempt.to_dict())
