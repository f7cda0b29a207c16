"""A circuit breaker: no call goes to what is known to be down, and few to what may be up again.

Invariant: the rules decide, in one atomic change of a cell; the breaker only reads the clock,
carries the change out and tells of it. No listener and no protected call runs under a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from pytest_resilience.core import circuit_figures as figures
from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_listeners import Listeners
from pytest_resilience.core.circuit_outcomes import outcome_of
from pytest_resilience.core.circuit_protection import Function, Guard, called, protected
from pytest_resilience.core.circuit_record import (
    CircuitRecord,
    CircuitState,
    Outcome,
    Permit,
    Transition,
)
from pytest_resilience.core.circuit_rules import CircuitConfig
from pytest_resilience.core.ports import RandomSource
from pytest_resilience.exceptions import CircuitOpenError

__all__ = [
    "Cell",
    "CircuitBreaker",
    "CircuitConfig",
    "CircuitRecord",
    "CircuitState",
    "MemoryCell",
    "Outcome",
    "Permit",
    "Transition",
]

Answer = TypeVar("Answer")
Listener = Callable[[Transition], object]

_CLOSED = CircuitState.CLOSED


class Cell(Protocol):
    """Where the record of one circuit is kept, by one process or several."""

    def read(self) -> CircuitRecord:
        """Return the record; cheap, and without waiting for anybody."""

    def update(self, fn: Callable[[CircuitRecord], tuple[CircuitRecord, Answer]]) -> Answer:
        """Put the record that `fn` makes of the present one in its place; return its answer.

        Nobody else changes the record in between. `fn` is quick, and may be called again if
        the change could not be kept.
        """


class MemoryCell:
    """A record in the memory of this process, changed under a lock and read without."""

    def __init__(self, record: CircuitRecord | None = None) -> None:
        self._record = CircuitRecord() if record is None else record
        self._lock = threading.Lock()

    def read(self) -> CircuitRecord:
        """See `Cell.read`."""
        return self._record

    def update(self, fn: Callable[[CircuitRecord], tuple[CircuitRecord, Answer]]) -> Answer:
        """See `Cell.update`."""
        with self._lock:
            self._record, answer = fn(self._record)
        return answer


class CircuitBreaker:
    """Refuses calls to what keeps failing, lets a few through later, and all when they succeed.

    Args:
        config: When it opens, and for how long; can be replaced by `configure`.
        name: Of the thing it stands for.
        kind: Of the thing it stands for, "" if that does not matter.
        monotonic: Returns seconds of a clock that never goes back, the same for all processes
            that share the cell.
        chance: Spreads the moments at which several circuits are tried again.
        cell: Where its record is; in this process's memory if not given.
        judge: Says what the error of a protected call, or None, means.
    """

    def __init__(
        self,
        config: CircuitConfig,
        *,
        name: str,
        kind: str = "",
        monotonic: Callable[[], float],
        chance: RandomSource,
        cell: Cell | None = None,
        judge: Callable[[BaseException | None], Outcome] = outcome_of,
    ) -> None:
        self.name = name
        self.kind = kind
        self.label = f"{kind}:{name}" if kind else name
        self._config = config
        self._monotonic = monotonic
        self._chance = chance
        self._cell: Cell = MemoryCell() if cell is None else cell
        self._judge = judge
        self._listeners: Listeners[Transition] = Listeners()
        self._in_order = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label} {self._cell.read().state}>"

    @property
    def config(self) -> CircuitConfig:
        """Its parameters."""
        return self._config

    def configure(self, config: CircuitConfig, cell: Cell | None = None) -> None:
        """Go by other parameters from now on and, if given, with another cell.

        Intervals that have begun are not changed; permits of the former cell become stale.
        """
        self._config = config
        if cell is not None:
            self._cell = cell

    # Permits and reports

    def acquire(self) -> Permit:
        """Return a permit for one call, which has to be reported.

        Raises:
            CircuitOpenError: None is to be had; says when to try again.
        """
        permit = self.try_acquire()
        if permit is None:
            raise self._refusal()
        return permit

    def try_acquire(self) -> Permit | None:
        """Return a permit for one call, which has to be reported; None if none is to be had."""
        record = self._cell.read()
        if record.state is _CLOSED:
            return Permit(self.label, 0, record.generation, self._monotonic(), True)
        return self._change(self._granted)

    def report(
        self, permit: Permit, outcome: Outcome, reason: str = "", seconds: float | None = None
    ) -> bool:
        """Say how the call of `permit` ended; once for each permit.

        Args:
            reason: What went wrong, for people.
            seconds: How long the call took; counts where the circuit is predictive.

        Returns:
            Whether it counts: False if the circuit has changed its state since the permit.

        Raises:
            ValueError: The permit is of another circuit.
        """
        if permit.circuit != self.label:
            raise ValueError(f"a permit of {permit.circuit} was reported to {self.label}")
        return self._apply(
            rules.report,
            outcome=outcome,
            reason=reason,
            seconds=seconds,
            generation=permit.generation,
            number=permit.number,
        )

    def record_failure(self, reason: str = "", seconds: float | None = None) -> bool:
        """Count a failure of a call made without a permit; return whether it counts.

        It counts unless the circuit is open or isolated.
        """
        return self._apply(rules.report, outcome=Outcome.FAILURE, reason=reason, seconds=seconds)

    def record_success(self, reason: str = "", seconds: float | None = None) -> bool:
        """Count a success of a call made without a permit; return whether it counts.

        It counts unless the circuit is open or isolated. A success needs no reason; one is
        taken so that both are called alike.
        """
        return self._apply(rules.report, outcome=Outcome.SUCCESS, seconds=seconds)

    # What is known otherwise

    def trip(self, reason: str) -> bool:
        """Open at once on hard evidence; return whether it was closed or half-open."""
        return self._apply(rules.trip, reason=reason)

    def probed(self, ok: bool) -> bool:
        """Take in the result of a cheap health probe; return whether it half-opened the circuit.

        A probe never closes it: that takes calls that succeed. See `next_probe`.
        """
        return self._apply(rules.probed, ok=ok)

    def isolate(self, reason: str = "") -> bool:
        """Open until `reset`; return whether it was not isolated before."""
        return self._apply(rules.isolate, reason=reason)

    def reset(self, reason: str = "") -> bool:
        """Close, and forget how often it opened; return whether it was not closed before."""
        return self._apply(rules.reset, reason=reason)

    # Where it stands

    def get_state(self) -> CircuitState:
        """Return where it stands; one whose time is over half-opens by being asked."""
        return self._settled().state

    @property
    def reason(self) -> str:
        """Why it opened, or what failed since; "" if nothing has."""
        return self._cell.read().last_reason

    def get_metrics(self) -> dict[str, Any]:
        """Return its figures as a JSON-plain dict: name, kind, and `circuit_figures.metrics`."""
        now = self._monotonic()
        shown = figures.metrics(self._settled(), self._config, now)
        return {"name": self.name, "kind": self.kind, **shown}

    def retry_after(self) -> float:
        """Return in how many seconds a permit may be had; 0 for now, infinite if isolated."""
        return figures.retry_after(self._settled(), self._config, self._monotonic())

    def next_probe(self) -> float:
        """Return in how many seconds a health probe counts; 0 for now, infinite if not open."""
        return figures.next_probe(self._settled(), self._monotonic())

    def health(self) -> float:
        """Return 0 (open) to 100 (nothing has failed lately); see `circuit_figures.health`."""
        return figures.health(self._settled(), self._config, self._monotonic())

    # Listeners

    def add_listener(self, fn: Listener) -> None:
        """Call `fn` with each `Transition` that this object makes, in order, under no lock.

        What it raises changes nothing and is kept in `troubles`. It may use the circuit.
        Transitions that other processes make are told there.
        """
        self._listeners.add(fn)

    def remove_listener(self, fn: Listener) -> None:
        """Do not call `fn` any more."""
        self._listeners.remove(fn)

    @property
    def troubles(self) -> tuple[str, ...]:
        """One line for each of the latest things that went wrong in listeners and reports."""
        return self._listeners.failures

    # Calls

    def execute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `func` with a permit, report how it ended, and return what it returns.

        For a coroutine function an awaitable is returned.

        Raises:
            CircuitOpenError: No permit is to be had; `func` was not called.
        """
        return called(self, func, *args, **kwargs)

    def guard(self) -> Guard:
        """Return a context manager that does for a block what `execute` does for a function.

        For ``with`` and ``async with``.
        """
        return Guard(self)

    def __call__(self, func: Function) -> Function:
        """Decorate `func`, sync or async, so that each call goes through the circuit.

        Raises:
            ConfigurationError: It is a generator function.
        """
        return protected(func, lambda: self)

    def finish(self, permit: Permit, error: BaseException | None) -> None:
        """Report that the call of `permit` ended with `error`, or without one; never raises."""
        seconds = self._monotonic() - permit.granted_at
        try:
            reason = "" if error is None else _told(error)
            self.report(permit, self._judge(error), reason, seconds)
        except Exception as trouble:  # noqa: BLE001 - the outcome of the call is worth more
            self._listeners.failed(self.finish, trouble)

    # The one way to change

    def _granted(self, record: CircuitRecord, now: float) -> rules.Step[Permit | None]:
        record, number, moves = rules.acquire(record, self._config, now, self._chance)
        if number is None:
            return record, None, moves
        return record, Permit(self.label, number, record.generation, now, number == 0), moves

    def _settled(self) -> CircuitRecord:
        record = self._cell.read()
        if not rules.is_due(record, self._config, self._monotonic()):
            return record
        return self._change(self._by_time)

    def _by_time(self, record: CircuitRecord, now: float) -> rules.Step[CircuitRecord]:
        record, moves = rules.settle(record, self._config, now, self._chance)
        return record, record, moves

    def _apply(self, rule: Callable[..., rules.Step[bool]], **what: Any) -> bool:
        return self._change(
            lambda record, now: rule(record, self._config, now, self._chance, **what)
        )

    def _change(self, rule: Callable[[CircuitRecord, float], rules.Step[Answer]]) -> Answer:
        """Let `rule` change the record, and tell of the transitions afterwards."""

        def change(
            record: CircuitRecord,
        ) -> tuple[CircuitRecord, tuple[Answer, rules.Moves]]:
            # The moment is taken inside: whoever comes later in the cell is later in time.
            record, answer, moves = rule(record, self._monotonic())
            return record, (answer, moves)

        with self._in_order:
            answer, moves = self._cell.update(change)
            if moves:
                self._listeners.post(self._signed(move) for move in moves)
        self._listeners.deliver()
        return answer

    def _signed(self, move: Transition) -> Transition:
        return replace(move, circuit=self.name, kind=self.kind)

    def _refusal(self) -> CircuitOpenError:
        record, now = self._cell.read(), self._monotonic()
        seconds = figures.retry_after(record, self._config, now)
        return CircuitOpenError(
            self.name, seconds, record.last_reason, kind=self.kind, state=record.state.value
        )


def _told(error: BaseException) -> str:
    first, _, _ = str(error).strip().partition("\n")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
