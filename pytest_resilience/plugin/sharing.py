"""One truth about circuits and recoveries for all workers of a run, whichever machine they are on.

Invariant: the controller says where it is kept, and removes it: in a file, which the workers of
this machine open, and which the controller reads and writes for those of other machines
(`relay`). A worker that can do neither keeps circuits of its own, and the user is told so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.config import Settings
from pytest_resilience.core import starts, throttle
from pytest_resilience.core.shared import Kept
from pytest_resilience.core.starts import Starts
from pytest_resilience.core.throttle import Purse, Throttle, tokens_of
from pytest_resilience.plugin.blame import StartBook
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.relay import Exchange, RelayedCells, line_of
from pytest_resilience.store.live import SharedCells
from pytest_resilience.store.lodging import Lodging

#: In a worker's input: where circuits are kept, "" if it cannot open that; whether the controller
#: can be asked instead; and when the run began, by the monotonic clock of the controller.
_PLACE, _ASKS, _BEGUN = "resilience_live", "resilience_asks", "resilience_begun"
#: In a worker's output: what became of its circuits, and why they are not shared any more.
_TOLD, _FAILED = "resilience_circuits", "resilience_circuits_failed"


class SharedCircuits:
    """The controller's part: names the place, and hears from workers what became of circuits."""

    def __init__(self, settings: Settings, run: str, faults: FaultReporter) -> None:
        # Not beside the history: that may be on another machine's disk, where it cannot be shared.
        self._lodging = Lodging()
        self._place = self._lodging.path / "circuits.sqlite"
        #: What is shared.
        self.cells = SharedCells(self._place, run=run, on_degraded=faults.warn)
        self._exchange = Exchange(self.cells, faults)
        self._enabled = settings.circuit_breaker
        self._warn = faults.warn
        self._begun = time.monotonic()
        self._told: list[Mapping[str, Any]] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where circuits are kept."""
        here = is_here(node.gateway.spec)
        node.workerinput[_PLACE] = str(self._place) if here else ""
        asks = not here and self._exchange.attend(node)
        node.workerinput[_ASKS] = asks
        if here or asks:
            node.workerinput[_BEGUN] = self._begun
        elif self._enabled:
            self._warn(
                "workers on other machines keep circuits of their own, because this version of"
                " pytest-xdist is not known to pytest-resilience"
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what became of the circuits of a worker."""
        output = getattr(node, "workeroutput", {})
        if output.get(_FAILED):
            self._warn(f"{node.gateway.id}: {output[_FAILED]}")
        if output.get(_TOLD):
            self._told.append(output[_TOLD])

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        self.cells.close()
        self._lodging.remove()

    def told(self) -> dict[str, Any]:
        """Return what became of all circuits; see `breakers.CircuitLog.told`."""
        return merged(self._told)


def is_here(spec: Any) -> bool:
    """Return whether a worker runs on this machine; one behind a gateway to another does not."""
    return bool(getattr(spec, "popen", False)) and not getattr(spec, "via", None)


Cells = SharedCells | RelayedCells


def cells_of(config: pytest.Config, session_id: str) -> Cells | None:
    """Return the circuits that this process shares with others, None if it has its own."""
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    if given.get(_PLACE):
        return SharedCells(Path(given[_PLACE]), run=session_id)
    line = line_of(config) if given.get(_ASKS) else None
    return RelayedCells(line) if line is not None else None


def clock_of(cells: Cells | None) -> Callable[[], float]:
    """Return the clock, in seconds, of all who share `cells`."""
    return cells.clock if isinstance(cells, RelayedCells) else time.monotonic


def book_of(cells: Cells | None, worker: str) -> StartBook:
    """Return what `worker` knows of the browsers that others start."""
    kept: Callable[[str], Kept[Starts]] | None = None
    if cells is not None:
        kept = partial(_starts_of, cells)
    return StartBook(worker, clock_of(cells), kept)


def _starts_of(cells: Cells, browser: str) -> Kept[Starts]:
    return cells.kept(starts.KIND, browser, Starts())


def throttle_of(cells: Cells | None, workers: int) -> Throttle:
    """Return what stops recoveries in this process, and in all that share `cells`."""
    purse = cells.kept(throttle.KIND, throttle.NAME, Purse()) if cells is not None else None
    return Throttle(tokens_of(workers), purse=purse)


class WorkerCells:
    """Lets go of the circuits a worker shares with others when it ends."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the controller know if they were shared no longer."""
        output: dict[str, Any] = getattr(session.config, "workeroutput", {})
        output[_FAILED] = self._cells.failure

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
