"""Beside another plugin that runs tests its own way: we diagnose and repair, it decides.

Invariant: for an item that pytest-rerunfailures or flaky re-runs, or that pytest-forked
runs in a child process, we never add an attempt of our own; between the attempts of the
former the environment is repaired as for ours.

What is found out in a child of pytest-forked reaches us on its reports and in no other
way: the child ends without a word, and its copy of this plugin with it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Set
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.events import Attempt
from pytest_resilience.engine import Incident
from pytest_resilience.exceptions import ForkedTestsError, RerunTestsError
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.desk import Case, FailureDesk
from pytest_resilience.plugin.handle import PREVIOUS
from pytest_resilience.plugin.subtests import is_subtest

_FORKED = "pytest-forked runs it in a process of its own, once"
#: The plugins that run tests again: by the names of their entry points and modules, and for people.
_RERUNFAILURES = ("rerunfailures", "pytest_rerunfailures")
_FLAKY = ("flaky", "flaky.flaky_pytest_plugin")
_NAMES = ("pytest-rerunfailures", "flaky")


def is_foreign(item: pytest.Item) -> bool:
    """Return whether pytest-rerunfailures or flaky re-runs `item`."""
    config = item.config
    marked = item.get_closest_marker("flaky") is not None
    if _has(config, *_RERUNFAILURES) and (
        marked
        or config.getoption("reruns", None)
        or config.getoption("force_reruns", None)
        or (config.getoption("reruns", None) is None and _ini_reruns(config))
    ):
        return True
    if not _has(config, *_FLAKY):
        return False
    function = getattr(item, "obj", None)
    return (
        marked
        or bool(config.getoption("force_flaky", False))
        or getattr(function, "_flaky_max_runs", None) is not None
    )


def is_forked(item: pytest.Item) -> bool:
    """Return whether pytest-forked runs `item` in a child process."""
    config = item.config
    return _has(config, "pytest_forked", "pytest_forked") and (
        bool(config.getoption("forked", False)) or item.get_closest_marker("forked") is not None
    )


def notices(foreign: Collection[pytest.Item], forked: Collection[pytest.Item]) -> list[str]:
    """Return what the user should know of `foreign` items, some of which are `forked`."""
    told = []
    if len(foreign) > len(forked):
        tests = _tests(len(foreign) - len(forked))
        why = "failures are diagnosed and repaired, how often they run is decided there"
        told.append(str(RerunTestsError(f"{tests} left to {_owners(foreign)}: {why}")))
    if forked:
        why = "failures are diagnosed, but nothing is run again"
        told.append(str(ForkedTestsError(f"{_tests(len(forked))} left to pytest-forked: {why}")))
    return told


def _owners(foreign: Collection[pytest.Item]) -> str:
    config = next(iter(foreign)).config
    loaded = (_has(config, *_RERUNFAILURES), _has(config, *_FLAKY))
    return " or ".join(name for name, is_here in zip(_NAMES, loaded, strict=True) if is_here)


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count:,} tests"


def _has(config: pytest.Config, entry_point: str, module: str) -> bool:
    # A plugin has the name it was loaded by: found by itself, or asked for with -p.
    return any(map(config.pluginmanager.hasplugin, (entry_point, module)))


def _ini_reruns(config: pytest.Config) -> bool:
    try:
        return int(config.getini("reruns")) > 0
    except (ValueError, TypeError):
        # An ini key that is not set, or that this version of the plugin does not have.
        return False


class Companion:
    """Diagnoses the failures of foreign items, and repairs what they broke.

    Args:
        foreign: The items of other plugins.
        forked: Those of them that run in a child process.
    """

    def __init__(
        self,
        desk: FailureDesk,
        policies: Mapping[pytest.Item, ItemPolicy],
        foreign: Set[pytest.Item],
        forked: Set[pytest.Item],
        worker: str,
    ) -> None:
        self._desk = desk
        self._policies = policies
        self._foreign = foreign
        self._forked = forked
        self._worker = worker
        self._cases: dict[pytest.Item, Case] = {}
        self._pending: dict[pytest.Item, tuple[Incident, Attempt]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before another attempt of a foreign item, repair what the last one broke."""
        if item not in self._foreign:
            return
        case = self._cases.get(item)
        if case is None:
            case = self._cases[item] = Case(item, self._policies[item])
        else:
            case.number += 1
        pending = self._pending.pop(item, None)
        if pending is not None:
            self._desk.recover(case, *pending)
        case.mark = self._desk.mark()

    def pytest_runtest_logfinish(self) -> None:
        """An item has its verdict: what was changed for it alone is changed back."""
        self._desk.restore()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Diagnose a failure of a foreign item, and say so on its report."""
        report = yield
        if item in self._foreign and report.failed and call.excinfo is not None:
            case = self._cases.get(item) or Case(item, self._policies[item])
            incident = self._desk.open(case, report.when or "call", call.excinfo.value)
            if incident is not None:
                attempt = observe.failed_attempt(case.number, report, incident, self._worker)
                if incident.decision.retry and item in self._forked:
                    attempt.reason = _FORKED
                setattr(report, observe.ATTEMPT, attempt.to_dict())
                item.stash[PREVIOUS] = attempt
                if incident.report.error_type.infrastructure:
                    self._pending[item] = (incident, attempt)
        return report


class ForkedParts:
    """Keeps the failures of subtests in a child of pytest-forked.

    It brings none of their reports home, so that an item would pass whatever its subtests
    do. Here they fail their item.
    """

    def __init__(self, forked: Set[pytest.Item]) -> None:
        self._forked = forked
        self._nodeids = {item.nodeid for item in forked}
        self._error: BaseException | None = None
        self._failed: list[tuple[str, BaseException | None]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[Any]) -> None:
        """Remember what a subtest raised; its report does not hold the exception."""
        self._error = call.excinfo.value if call.excinfo is not None else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remember a subtest that failed; in a child nothing else is published."""
        if is_subtest(report) and report.failed and report.nodeid in self._nodeids:
            self._failed.append((observe.failure_text(report), self._error))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail an item that passed although a subtest failed."""
        result = yield
        if item in self._forked and self._failed:
            texts, errors = zip(*self._failed, strict=True)
            if len(errors) == 1:
                message = f"a subtest failed: {errors[0]}"
                raise pytest.fail.Exception(message, pytrace=False) from errors[0]
            # No one's cause may hide the others: they count as the test's own.
            pytest.fail("\n\n".join(("subtests failed:", *texts)), pytrace=False)
        return result
