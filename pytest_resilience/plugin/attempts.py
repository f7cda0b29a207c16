"""The attempt loop: runs an item, and runs it again after a recovered failure.

Invariant: every item gets exactly one set of final reports; a superseded attempt
publishes exactly one report, with outcome ``rerun``; whether an attempt is superseded
is decided before its teardown. With `fixtures` this is the only module that touches
private parts of pytest.

The loop replaces pytest's own protocol, and for a passing test it makes fewer calls
than that: options are read once, nothing is copied, nothing is probed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Set
from typing import Any

import pytest
from _pytest.runner import check_interactive_exception, show_test_item

from pytest_resilience.config import ItemPolicy
from pytest_resilience.engine import Incident
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.desk import Case, FailureDesk
from pytest_resilience.plugin.fixtures import FixtureKeeper
from pytest_resilience.plugin.timeouts import TestTimeouts

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
        worker: str,
    ) -> None:
        self._desk = desk
        self._forget_starting = keeper.forget_starting
        self._policies = policies
        self._foreign = foreign
        self._timeouts = timeouts
        self._subtests = subtests
        self._worker = worker
        self._setup_only = bool(config.getoption("setuponly", False))
        self._setup_show = bool(config.getoption("setupshow", False))
        self._reraise: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
        if not config.getoption("usepdb", False):
            self._reraise += (KeyboardInterrupt,)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: pytest.Item | None) -> bool | None:
        """Run `item` to its verdict, unless another plugin re-runs it."""
        if item in self._foreign:
            return None
        ihook = item.ihook
        ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        case = Case(item, self._policies[item])
        sections, properties = len(item._report_sections), len(item.user_properties)
        while self._attempt(case, nextitem):
            case.number += 1
            item.execution_count = case.number
            # Each attempt shows its own output, and its own properties alone.
            del item._report_sections[sections:], item.user_properties[properties:]
            _drop_instance(item)
            self._timeouts.rearm(item)
        ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _attempt(self, case: Case, nextitem: pytest.Item | None) -> bool:
        """Run one attempt of `case`; return True if it is superseded by another."""
        item: Any = case.item
        has_request = hasattr(item, "_request")
        if has_request and not item._request:
            item._initrequest()
        self._forget_starting()
        self._desk.begin(case)
        try:
            setup_call, setup = self._phase(item, "setup", item.ihook.pytest_runtest_setup)
            last_call, last = setup_call, setup
            if setup.outcome == "passed":
                if self._setup_show:
                    show_test_item(item, add_space=not self._setup_only)
                if not self._setup_only:
                    if self._subtests is not None:
                        self._subtests.case = case
                    last_call, last = self._phase(item, "call", item.ihook.pytest_runtest_call)
            if last.outcome == "failed" and self._superseded(case, last_call, last, setup):
                return True
            if self._subtests is not None and self._subtests.superseded(case):
                self._rerun(case, case.history.incidents[-1], last, setup)
                return True
            if case.number > 1:
                _name_attempt(case, last)
            if last is not setup:
                item.ihook.pytest_runtest_logreport(report=setup)
            self._publish(item, last_call, last)
            self._finish(case, last, nextitem)
            return False
        finally:
            # As in pytest's own protocol: let funcargs and request go.
            if has_request:
                item._request = False
                item.funcargs = None

    def _phase(self, item: Any, when: Any, hook: Any, **kwargs: Any) -> tuple[Call, Report]:
        call = pytest.CallInfo.from_call(
            functools.partial(hook, item=item, **kwargs), when=when, reraise=self._reraise
        )
        return call, item.ihook.pytest_runtest_makereport(item=item, call=call)

    def _publish(self, item: Any, call: Call, report: Report) -> None:
        item.ihook.pytest_runtest_logreport(report=report)
        if call.excinfo is not None and check_interactive_exception(call, report):
            item.ihook.pytest_exception_interact(node=item, call=call, report=report)

    def _finish(self, case: Case, last: Report, nextitem: pytest.Item | None) -> None:
        """Tear the final attempt down and publish that."""
        item: Any = case.item
        if stopping(item):
            nextitem = None
        call, report = self._phase(
            item, "teardown", item.ihook.pytest_runtest_teardown, nextitem=nextitem
        )
        if call.excinfo is not None and report.outcome == "failed":
            self._judge_teardown(case, call, report, last)
        self._publish(item, call, report)
        if case.history.incidents:
            self._desk.close(case, passed=last.outcome != "failed")

    def _superseded(self, case: Case, call: Call, report: Report, setup: Report) -> bool:
        """Diagnose a failed attempt; if it may be retried, recover and publish it as a rerun."""
        if call.excinfo is None:
            # A strict xfail that passed: nothing was raised, nothing is to be recovered.
            return False
        item: Any = case.item
        incident = self._desk.open(case, report.when or "call", call.excinfo.value)
        if incident is None:
            return False
        if incident.decision.retry and not stopping(item):
            self._rerun(case, incident, report, setup)
            return True
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        return False

    def _rerun(self, case: Case, incident: Incident, report: Report, setup: Report) -> None:
        """Tear the attempt down, recover, and publish the attempt as superseded."""
        item: Any = case.item
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        self._timeouts.cancel(item)
        # Exactly the item is torn down: its parent is what the next attempt shares with it.
        down_call, down = self._phase(
            item, "teardown", item.ihook.pytest_runtest_teardown, nextitem=item.parent
        )
        if down_call.excinfo is not None:
            report.sections.append(("Teardown of this attempt", observe.failure_text(down)))
        self._desk.recover(case, incident, attempt)
        report.duration = sum({id(r): r.duration for r in (setup, report, down)}.values())
        attempt.outcome, attempt.duration_s = "rerun", report.duration
        report.outcome = "rerun"  # type: ignore[assignment]
        report.rerun = case.number - 1  # type: ignore[attr-defined]
        setattr(report, observe.ATTEMPT, attempt.to_dict())
        item.ihook.pytest_runtest_logreport(report=report)

    def _judge_teardown(self, case: Case, call: Call, report: Report, last: Report) -> None:
        """A teardown that lost its browser does not turn a passed test into an error."""
        assert call.excinfo is not None
        incident = self._desk.open(case, "teardown", call.excinfo.value)
        if incident is None:
            return
        attempt = observe.failed_attempt(case.number, report, incident, self._worker)
        noise = incident.report.error_type.infrastructure and last.outcome == "passed"
        if noise and case.policy.retry != "never":
            attempt.outcome = "passed"
            attempt.reason = "the test had passed; its teardown lost the environment"
            self._desk.recover(case, incident, attempt)
            report.outcome, report.longrepr = "passed", None
        setattr(report, observe.ATTEMPT, attempt.to_dict())


def stopping(item: pytest.Item) -> bool:
    """Return whether the session is about to end, so that nothing is to be run again."""
    return bool(item.session.shouldfail or item.session.shouldstop)


class SubtestWatch:
    """Sees failures inside subtests, which pytest reports at once while the call passes.

    Registered only where items can have subtests. A failed subtest that may be retried
    is published as ``rerun``, and supersedes the attempt.
    """

    def __init__(self, desk: FailureDesk) -> None:
        self._desk = desk
        #: The case whose call phase runs, or ran last.
        self.case: Case | None = None
        self._error: BaseException | None = None
        self._superseded: Case | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Call) -> None:
        """Remember what a subtest raised; its report does not hold the exception."""
        failed = call.when == "call" and call.excinfo is not None
        self._error = call.excinfo.value if failed and call.excinfo is not None else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Publish a failed subtest as a rerun if its failure may be retried."""
        case, error = self.case, self._error
        if case is None or error is None or not is_subtest(report) or not report.failed:
            return
        incident = self._desk.open(case, "call", error)
        if incident is not None and incident.decision.retry and not stopping(case.item):
            report.outcome = "rerun"
            self._superseded = case

    def superseded(self, case: Case) -> bool:
        """Return whether a subtest of the attempt just run has superseded it."""
        self.case = self._error = None
        if self._superseded is not case:
            return False
        self._superseded = None
        _forget_failed_subtests(case.item)
        return True


def is_subtest(report: Any) -> bool:
    """Return whether `report` is about a part of a test, reported on its own."""
    return hasattr(report, "context")


def _forget_failed_subtests(item: Any) -> None:
    # Otherwise pytest fails the item for the subtests of a superseded attempt.
    try:
        from _pytest.subtests import failed_subtests_key
    except ImportError:
        return
    failed = item.config.stash.get(failed_subtests_key, {})
    for key in (getattr(item, "id", None), item.nodeid):
        failed.pop(key, None)


def _name_attempt(case: Case, report: Report) -> None:
    """Say on the final report of an item that it took several attempts."""
    report.rerun = case.number - 1  # type: ignore[attr-defined]
    if report.when == "call" and report.outcome == "passed" and not hasattr(report, "wasxfail"):
        setattr(report, observe.RECOVERED, True)


def _drop_instance(item: Any) -> None:
    """Let the next attempt get an instance of the test class of its own."""
    if isinstance(item, pytest.Function) and item.cls is not None:
        vars(item).pop("_instance", None)
        item._obj = None
