"""One truth about circuits for all workers of a run on this machine.

Invariant: the controller says where it is kept and removes it; a worker that cannot be told,
because it runs elsewhere, keeps circuits of its own, and the user is told so.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.config import Settings
from pytest_resilience.store.live import SharedCells

#: In a worker's input: where circuits are kept, "" if it has to keep its own; and when the run
#: began, by the monotonic clock of the machine.
_PLACE, _BEGUN = "resilience_live", "resilience_begun"
#: In a worker's output: what became of its circuits.
_TOLD = "resilience_circuits"


class SharedCircuits:
    """The controller's part: names the place, and hears from workers what became of circuits."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        # Not beside the history: that may be on another machine's disk, where it cannot be shared.
        self._folder = tempfile.mkdtemp(prefix="pytest-resilience-")
        self._place = Path(self._folder) / "circuits.sqlite"
        self._enabled = settings.circuit_breaker
        self._warn = warn
        self._begun = time.monotonic()
        self._told: list[Mapping[str, Any]] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where circuits are kept."""
        here = bool(getattr(node.gateway.spec, "popen", False))
        node.workerinput[_PLACE] = str(self._place) if here and self._enabled else ""
        if here:
            node.workerinput[_BEGUN] = self._begun
        elif self._enabled:
            self._warn("workers on other machines keep circuits of their own")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what became of the circuits of a worker."""
        told = getattr(node, "workeroutput", {}).get(_TOLD)
        if told:
            self._told.append(told)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def told(self) -> dict[str, Any]:
        """Return what became of all circuits; see `breakers.CircuitLog.told`."""
        return merged(self._told)


def cells_of(
    worker_input: Mapping[str, Any], session_id: str, warn: Callable[[str], None]
) -> SharedCells | None:
    """Return the circuits that a worker shares with others, None if it has its own."""
    place = worker_input.get(_PLACE)
    if not place:
        return None
    return SharedCells(Path(place), run=session_id, on_degraded=warn)


class WorkerCells:
    """Lets go of the circuits a worker shares with others when it ends."""

    def __init__(self, cells: SharedCells) -> None:
        self._cells = cells

    def pytest_unconfigure(self) -> None:
        """Close them."""
        self._cells.close()


def begun(worker_input: Mapping[str, Any] | None) -> float | None:
    """Return when the run of a worker began, None if the clocks differ."""
    return (worker_input or {}).get(_BEGUN)


def hand_in(output: dict[str, Any], told: Mapping[str, Any]) -> None:
    """Let the controller know what became of the circuits of this worker."""
    output[_TOLD] = dict(told)


def merged(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several workers told as one.

    Each tells the transitions it made. The figures of a circuit are shared; who moved it last
    tells those it ended with.
    """
    circuits: dict[tuple[str, str], dict[str, Any]] = {}
    waited_s, moved, best, cases = 0.0, 0, 0, 0
    for part in told:
        waited_s = max(waited_s, part["waited_s"])
        moved += part["moved"]
        best += part["agreement"]["best"]
        cases += part["agreement"]["cases"]
        for circuit in part["circuits"]:
            key = (circuit["kind"], circuit["name"])
            circuits[key] = _joined(circuits[key], circuit) if key in circuits else dict(circuit)
    return {
        "circuits": [circuits[key] for key in sorted(circuits)],
        "waited_s": waited_s,
        "moved": moved,
        "agreement": {"best": best, "cases": cases},
    }


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    transitions = sorted(
        [*one["transitions"], *other["transitions"]], key=lambda move: float(move["at_s"])
    )
    later = max(one, other, key=lambda part: part["successes"] + part["failures"])
    return {
        **later,
        "state": transitions[-1]["to_state"] if transitions else later["state"],
        "opened": one["opened"] + other["opened"],
        "waited_s": max(one["waited_s"], other["waited_s"]),
        "reason": later["reason"] or one["reason"] or other["reason"],
        "transitions": transitions,
    }
