"""Circuits set by what earlier runs went through, as a run begins: ``--resilience-auto-tune``.

Invariant: nothing is changed but what `store.tuning` proposes to change, from the value that
was set and within the bounds told there; whatever stands in the way leaves the settings as they
are and is told. All workers go by what their controller has found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.config import Settings
from pytest_resilience.core import events
from pytest_resilience.core.ports import EventSink
from pytest_resilience.exceptions import StoreError
from pytest_resilience.options import OPTIONS
from pytest_resilience.plugin.faults import FaultReporter

if TYPE_CHECKING:
    from pytest_resilience.store.tuning import Proposal

#: In a worker's input: the settings that its controller has changed.
_TUNED = "resilience_tuned"
_FLAGS = {option.name: option.flag for option in OPTIONS}


class Tuning:
    """What is to become of the settings of a run, and what has to be told of it.

    Args:
        proposals: By `store.tuning.tune`; one for each setting it looks after.
        told: Why there are none, "" if there are.
    """

    def __init__(self, proposals: Sequence[Proposal] = (), told: str = "") -> None:
        self._proposals = proposals
        self._told = told
        #: Where the proposals are recorded; None for nowhere.
        self.sink: EventSink | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that change, by name."""
        return {
            proposal.setting: _plain(proposal.proposed)
            for proposal in self._proposals
            if proposal.state == "change"
        }

    @property
    def lines(self) -> list[str]:
        """What became of each setting, for people."""
        return [
            f"{_FLAGS[p.setting]} {p.current:g} -> {p.proposed:g}: {p.reason}"
            if p.state == "change"
            else f"{_FLAGS[p.setting]} stays {p.current:g}: {p.reason}"
            for p in self._proposals
        ] or [self._told]

    def pytest_report_header(self) -> list[str]:
        """Say with what circuits the run goes."""
        return [f"resilience auto-tune: {line}" for line in self.lines]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Record what was proposed, and whether it holds now."""
        for proposal in self._proposals:
            if self.sink is not None:
                self.sink.emit(events.TUNING, proposal.to_dict())

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the changes to a worker about to start."""
        node.workerinput[_TUNED] = self.changes


def tuned(
    settings: Settings, worker_input: Mapping[str, Any] | None, faults: FaultReporter
) -> tuple[Settings, Tuning | None]:
    """Return the settings that hold, and what has to be told of it; None in a worker.

    Args:
        worker_input: What the controller told this worker, None in any other process.
    """
    if not (settings.auto_tune and settings.circuit_breaker):
        return settings, None
    if worker_input is not None:
        return replace(settings, **worker_input.get(_TUNED, {})), None
    tuning = _asked(settings, faults)
    faults.notes["circuits tuned"] = "; ".join(tuning.lines)
    return replace(settings, **tuning.changes), tuning


def _asked(settings: Settings, faults: FaultReporter) -> Tuning:
    if settings.db is None:
        return Tuning(told="nothing is changed, for no history is kept")
    if not settings.db.exists():
        return Tuning(told="nothing is changed, for there is no history yet")
    from pytest_resilience.store.tuning import CircuitSettings, tune

    current = CircuitSettings(
        settings.circuit_threshold,
        settings.circuit_half_open_after,
        settings.circuit_recovery_timeout,
    )
    try:
        return Tuning(tune(current, db=settings.db))
    except StoreError as error:
        faults.warn(f"the circuits were not tuned: {error}")
        return Tuning(told="nothing is changed, for the history cannot be read")


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value
