"""What the terminal says of injected failures: the plan beforehand, the count afterwards.

Invariant: a line tells what the reports hold, and nothing is hidden: what was planned and not
injected is counted, with the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_resilience.plugin.attributes import INJECTED, NOT_INJECTED

if TYPE_CHECKING:
    from pytest_resilience.core.injection_plan import Injection

TOLD = "resilience-injection-told"
_ATTEMPTS_SHOWN = 100


class Planned(Protocol):
    """See `injection.Asked`."""

    @property
    def settings(self) -> Any:
        """The settings of the run."""

    @property
    def all(self) -> tuple[Injection, ...]:
        """Everything that is asked for by name."""

    def plan(self, item: pytest.Item, attempt: int) -> tuple[Injection, ...]:
        """Return what strikes an attempt of `item`."""


class PlanShown:
    """Shows what would be injected, with ``--collect-only``."""

    def __init__(self, items: Sequence[pytest.Item], asked: Planned) -> None:
        self._items = items
        self._asked = asked

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the plan, one line for each attempt that is struck."""
        terminalreporter.section("failures to be injected")
        struck = 0
        for item in self._items:
            lines = list(plan_lines(self._asked, item))
            struck += bool(lines)
            for line in lines:
                terminalreporter.write_line(line)
        seed = self._asked.settings.inject_seed
        terminalreporter.write_line(f"{struck} of {len(self._items)} tests, with seed {seed}")


def plan_lines(asked: Planned, item: pytest.Item) -> Iterable[str]:
    """Yield a line for each attempt of `item` that is struck."""
    from pytest_resilience.plugin.injection import name_of

    most = max((injection.times for injection in asked.all), default=1)
    for attempt in range(1, min(most, _ATTEMPTS_SHOWN) + 1):
        planned = asked.plan(item, attempt)
        if planned:
            told = ", ".join(f"{i}{' (simulated)' if i.simulated else ''}" for i in planned)
            which = f", attempt {attempt}" if most > 1 else ""
            yield f"{name_of(item)}{which}: {told}"


class Told:
    """Counts, at the end of a run, what was injected."""

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print how many attempts were struck, and what was not injected."""
        attempts: dict[tuple[str, int], str] = {}
        missed: Counter[str] = Counter()
        for report in _reports(terminalreporter):
            key = report.nodeid, getattr(report, "rerun", 0)
            # The last report of an attempt tells most.
            attempts[key] = max(attempts.get(key, ""), getattr(report, INJECTED, ""), key=len)
            missed.update(getattr(report, NOT_INJECTED, "").splitlines())
        struck = Counter(what for told in attempts.values() for what in told.split(", ") if what)
        if not struck and not missed:
            return
        terminalreporter.section("injected failures")
        for what, count in sorted(struck.items()):
            terminalreporter.write_line(f"{count} x {what}")
        for what, count in sorted(missed.items()):
            terminalreporter.write_line(f"{count} x not injected: {what}", yellow=True)


def register_told(manager: pytest.PytestPluginManager) -> None:
    """Let the end of the run tell what was injected."""
    if not manager.hasplugin(TOLD):
        manager.register(Told(), TOLD)


def _reports(terminalreporter: Any) -> Iterable[Any]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, INJECTED) or hasattr(report, NOT_INJECTED):
                yield report
