"""What goes wrong inside the plugin: said once, loudly, and without consequence.

Invariant: calling a `FaultReporter` never raises and never changes a verdict.
"""

from __future__ import annotations

import traceback
from typing import Any

import pytest


class FaultReporter:
    """Collects faults of the plugin and shows each kind once, at the end of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seen: dict[str, str] = {}
        #: Everything worth a warning in the reports, in order.
        self.messages: list[str] = []
        #: What a reader of the report may want to know of the run, by name.
        self.notes: dict[str, str] = {}

    def __call__(self, fault: Exception) -> None:
        """Report `fault`; the same fault again is counted as said."""
        frame = traceback.extract_tb(fault.__traceback__)[-1:]
        where = f"{frame[0].name}, line {frame[0].lineno}" if frame else "?"
        key = f"{type(fault).__name__} in {where}"
        if key not in self._seen:
            self._seen[key] = "".join(traceback.format_exception(fault))
            self.warn(
                f"pytest-resilience itself failed and left the test alone: "
                f"{type(fault).__name__}: {fault} (in {where}) [internal]"
            )

    def warn(self, message: str) -> None:
        """Add `message` to the warnings of the run, once."""
        if message not in self.messages:
            self.messages.append(message)

    @property
    def tracebacks(self) -> list[str]:
        """Tracebacks of the faults seen."""
        return list(self._seen.values())

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the tracebacks, so that the fault can be reported."""
        if self._seen:
            terminalreporter.section("pytest-resilience: internal errors", red=True)
            for text in self.tracebacks:
                terminalreporter.write(text)
