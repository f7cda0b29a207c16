"""Beside another plugin that re-runs tests: we diagnose and repair, it decides.

Invariant: for an item that pytest-rerunfailures or flaky re-runs, we never add an
attempt of our own; between its attempts the environment is repaired as for ours.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Set
from typing import Any

import pytest

from pytest_resilience.config import ItemPolicy
from pytest_resilience.core.events import Attempt
from pytest_resilience.engine import Incident
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.desk import Case, FailureDesk


def is_foreign(item: pytest.Item) -> bool:
    """Return whether pytest-rerunfailures or flaky re-runs `item`."""
    config = item.config
    marked = item.get_closest_marker("flaky") is not None
    if _has(config, "rerunfailures", "pytest_rerunfailures") and (
        marked
        or config.getoption("reruns", None)
        or config.getoption("force_reruns", None)
        or (config.getoption("reruns", None) is None and _ini_reruns(config))
    ):
        return True
    if not _has(config, "flaky", "flaky.flaky_pytest_plugin"):
        return False
    function = getattr(item, "obj", None)
    return (
        marked
        or bool(config.getoption("force_flaky", False))
        or getattr(function, "_flaky_max_runs", None) is not None
    )


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
    """Diagnoses the failures of foreign items, and repairs what they broke."""

    def __init__(
        self,
        desk: FailureDesk,
        policies: Mapping[pytest.Item, ItemPolicy],
        foreign: Set[pytest.Item],
        worker: str,
    ) -> None:
        self._desk = desk
        self._policies = policies
        self._foreign = foreign
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
                setattr(report, observe.ATTEMPT, attempt.to_dict())
                if incident.report.error_type.infrastructure:
                    self._pending[item] = (incident, attempt)
        return report
