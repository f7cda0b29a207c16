"""Circuits of workers on other machines, which cannot open the file that the others share.

Such a worker asks its controller, over the line that xdist has to it: what the circuits hold,
and to replace what one of them holds if that is still what the worker took it for.

Invariant: the controller's file is the one truth. A worker changes a circuit only by an
exchange that the controller has confirmed, on the controller's clock; a controller that does not
answer is told of once, and the worker goes on with what it knew last.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import pytest

from pytest_resilience.core import starts, throttle
from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.core.shared import Plain
from pytest_resilience.store.live import SharedCell, SharedCells

Answer = TypeVar("Answer")
Record = TypeVar("Record", bound=Plain)

#: What is shared besides circuits, by kind, while nobody has said anything.
EMPTY: Mapping[str, Plain] = {starts.KIND: starts.Starts(), throttle.KIND: throttle.Purse()}

#: Name of the worker's questions among the events of xdist, and of the answers among its commands.
NAME = "resilience_circuits"
#: Seconds for which a worker believes what it was told.
FRESH_S = 0.25
#: Seconds a controller gets to answer, which takes it a millisecond and the way.
PATIENCE_S = 5.0
#: Questions by which a worker finds out what time it is at the controller's.
_LOOKS = 3


# At the controller


class Exchange:
    """Answers the workers on other machines, from the circuits that those on this one use.

    Args:
        fault: Called with what goes wrong here.
    """

    def __init__(self, cells: SharedCells, fault: Callable[[Exception], None]) -> None:
        self._cells = cells
        self._fault = fault

    def attend(self, node: Any) -> bool:
        """Listen to a worker that is about to start; return False if its xdist is unknown to us.

        Answers are given by the thread that hears the worker, so that they come soon whatever
        the session is busy with.
        """
        hear = getattr(node, "process_from_remote", None)
        if not (callable(hear) and callable(getattr(node, "sendcommand", None))):
            return False

        def heard(event: Any) -> None:
            if isinstance(event, tuple) and event[0] == NAME:
                self._answer(node, event[1])
            else:
                hear(event)

        node.process_from_remote = heard
        return True

    def _answer(self, node: Any, question: Mapping[str, Any]) -> None:
        try:
            done = bool(question["change"]) and self._replaced(*question["change"])
            told = {
                "number": question["number"],
                "done": done,
                "records": [self._record(*name) for name in question["cells"]],
                "now": time.monotonic(),
            }
            # A worker that has just been lost wants no answer.
            with contextlib.suppress(OSError):
                node.sendcommand(NAME, **told)
        except Exception as fault:  # noqa: BLE001 - xdist would shut the worker down for it
            self._fault(fault)

    def _record(self, kind: str, name: str) -> dict[str, Any]:
        told: dict[str, Any] = self._cell(kind, name).read().to_dict()
        return told

    def _replaced(
        self, kind: str, name: str, was: Mapping[str, Any], becomes: Mapping[str, Any]
    ) -> bool:
        cell = self._cell(kind, name)
        expected, wanted = map(type(cell.record).from_dict, (was, becomes))
        return cell.update(lambda record: (wanted, True) if record == expected else (record, False))

    def _cell(self, kind: str, name: str) -> SharedCell[Any]:
        return self._cells.kept(kind, name, EMPTY.get(kind, CircuitRecord()))


# At the worker


class Line:
    """A worker's line to its controller, by which one question is asked at a time.

    Args:
        interactor: xdist's half in this worker.
    """

    def __init__(self, interactor: Any, *, patience_s: float = PATIENCE_S) -> None:
        self._interactor = interactor
        self._patience_s = patience_s
        self._replies: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._number = 0
        self._process = os.getpid()
        #: Whether answers can be heard: before the first item they cannot.
        self.open = False
        # Called from a thread of xdist's.
        self._hear_xdist = interactor.handle_command
        interactor.handle_command = self._hear

    def ask(self, **question: Any) -> Mapping[str, Any]:
        """Return the controller's answer.

        Raises:
            OSError: There is none.
        """
        if os.getpid() != self._process:
            raise OSError("a forked process cannot hear the answer")
        with self._lock:
            self._number += 1
            self._interactor.sendevent(NAME, number=self._number, **question)
            deadline = time.monotonic() + self._patience_s
            while (left_s := deadline - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    reply = self._replies.get(timeout=left_s)
                    # One that comes too late is of a question that was given up.
                    if reply["number"] == self._number:
                        return reply
        raise OSError(f"no answer within {self._patience_s:g} s")

    def _hear(self, command: Any) -> None:
        self.open = True
        if isinstance(command, tuple) and command[0] == NAME:
            self._replies.put(command[1])
        else:
            self._hear_xdist(command)


class RelayedCells:
    """The circuits of a run, as a worker on another machine sees them.

    Args:
        monotonic: Clock of this machine, seconds.
    """

    def __init__(self, line: Line, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._monotonic = monotonic
        self._guard = threading.RLock()
        self._cells: dict[tuple[str, str], RelayedCell[Any]] = {}
        self._heard_at: float | None = None
        self._ahead_s: float | None = None
        #: Why circuits are no longer shared, "" while they are.
        self.failure = ""

    def clock(self) -> float:
        """Return the seconds of the controller's monotonic clock."""
        return self._monotonic() + (self._ahead_s or 0.0)

    def close(self) -> None:
        """There is nothing to let go of: the line is xdist's."""

    def cell(self, kind: str, name: str) -> RelayedCell[CircuitRecord]:
        """Return the cell of a circuit."""
        return self.kept(kind, name, CircuitRecord())

    def kept(self, kind: str, name: str, empty: Record) -> RelayedCell[Record]:
        """Return the cell of what need not be a circuit; see `SharedCells.kept`."""
        with self._guard:
            if (kind, name) not in self._cells:
                self._cells[kind, name] = RelayedCell(self, empty)
                # Nothing has been heard of it yet.
                self._heard_at = None
            return self._cells[kind, name]

    def read(self, cell: RelayedCell[Record]) -> Record:
        """Return the record of `cell`, as it was a moment ago."""
        with self._guard:
            heard_at = self._heard_at
            if heard_at is None or self._monotonic() - heard_at > FRESH_S:
                self._exchange()
            return cell.record

    def update(
        self, cell: RelayedCell[Record], change: Callable[[Record], tuple[Record, Answer]]
    ) -> Answer:
        """Change the record of `cell` and return the answer of `change`."""
        with self._guard:
            while True:
                known = self.read(cell)
                record, answer = change(known)
                if record is known:
                    return answer
                if not self._is_shared() or self._exchange(cell, record):
                    cell.record = record
                    return answer
                # Somebody else was faster, or we are on our own now.

    def _is_shared(self) -> bool:
        return self._line.open and not self.failure

    def _exchange(self, cell: RelayedCell[Any] | None = None, record: Plain | None = None) -> bool:
        """Hear what all cells hold; return whether that of `cell` was replaced by `record`."""
        if not self._is_shared():
            return False
        try:
            if self._ahead_s is None:
                self._set_clock()
            names = list(self._cells)
            change: list[Any] = []
            if cell is not None and record is not None:
                name = next(name for name, known in self._cells.items() if known is cell)
                change = [*name, cell.record.to_dict(), record.to_dict()]
            reply = self._line.ask(cells=[list(name) for name in names], change=change)
            for name, told in zip(names, reply["records"], strict=True):
                known = self._cells[name]
                known.record = type(known.record).from_dict(told)
        except Exception as error:  # noqa: BLE001 - a lost line must not change a verdict
            self._degrade(error)
            return False
        self._heard_at = self._monotonic()
        return bool(reply["done"])

    def _set_clock(self) -> None:
        """Find out how far the controller's clock is ahead, by the quickest answer of a few.

        Once and for all, for circuits need a clock that does not jump.
        """
        looks = []
        for _ in range(_LOOKS):
            asked_at = self._monotonic()
            reply = self._line.ask(cells=[], change=[])
            took_s = self._monotonic() - asked_at
            looks.append((took_s, reply["now"] - asked_at - took_s / 2))
        self._ahead_s = min(looks)[1]

    def _degrade(self, error: Exception) -> None:
        self.failure = (
            "circuits are no longer shared with workers on other machines, because the controller"
            f" cannot be asked: {error}; this worker goes on with its own"
        )


class RelayedCell(Generic[Record]):
    """Where one circuit is kept, as seen from another machine; made by `RelayedCells`.

    Attributes:
        record: What was heard of it last.
    """

    def __init__(self, cells: RelayedCells, empty: Record) -> None:
        self.record = empty
        self._cells = cells

    def read(self) -> Record:
        """Return the record, at most `FRESH_S` old."""
        return self._cells.read(self)

    def update(self, fn: Callable[[Record], tuple[Record, Answer]]) -> Answer:
        """Replace the record by what `fn` makes of it, and return the answer of `fn`.

        Nobody changes the record in between. `fn` may be called again.
        """
        return self._cells.update(self, fn)


def line_of(config: pytest.Config) -> Line | None:
    """Return the line of this worker to its controller, None if its xdist is unknown to us."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ != "WorkerInteractor":
            continue
        if all(callable(getattr(plugin, part, None)) for part in ("handle_command", "sendevent")):
            return Line(plugin)
    return None
