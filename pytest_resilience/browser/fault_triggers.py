"""Strikes at WebDriver commands: before, after or during the n-th one, or a named one.

Invariant: while no trigger has begun, a command costs nothing more; commands that a strike
sends itself are neither counted nor struck.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.injection_points import Point

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: Seconds after which a command is on its way to the driver.
LAG_S = 0.005
#: Seconds a command waits, at most, for what strikes it.
_STRIKE_LIMIT_S = 60.0
_NEW_SESSION = "newSession"


@dataclass(frozen=True, slots=True)
class Strike:
    """A point that was reached.

    Attributes:
        point: The point.
        session: The session whose command it is; None if it could not be understood.
        command: Name of the command.
        number: Which command it is, from 1; 0 for the request of a new session.
        in_flight: Whether the command was under way when it was struck.
    """

    point: Point
    session: DriverSession | None
    command: str
    number: int
    in_flight: bool


Action = Callable[[Strike], object]


@dataclass(slots=True)
class _Late:
    """A strike in a thread of its own."""

    answered: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    thread: threading.Thread | None = None


class CommandTrigger:
    """Counts the commands of all sessions, and strikes at some.

    Args:
        registry: The sessions of this process, which must be watched.
        lag_s: Seconds after which a command is taken to be under way.
    """

    def __init__(self, registry: SessionRegistry, *, lag_s: float = LAG_S) -> None:
        self._watch = registry._watch
        self._lag_s = lag_s
        self._waiting: list[tuple[Point, Action]] = []
        self._count = 0
        self._lock = threading.Lock()
        self._striking = threading.local()

    @property
    def commands(self) -> int:
        """Commands since the count began, requests of new sessions excepted."""
        return self._count

    def at(self, point: Point, action: Action) -> None:
        """Call `action` at `point`, once.

        Before and after a command it is called by the thread that sends it, and what it raises
        is raised by the command. During a command a thread of its own calls it; the command
        waits for it, and raises what it raised unless it failed itself.

        Raises:
            ValueError: The point lies at no command.
        """
        if not point.is_command:
            raise ValueError(f"{point} lies at no command")
        with self._lock:
            self._waiting.append((point, action))

    def begin(self) -> None:
        """Watch the commands, and count anew.

        Raises:
            RuntimeError: Another trigger watches them.
        """
        if self._watch.on_command not in (None, self._carry):
            raise RuntimeError("another trigger watches the commands already")
        with self._lock:
            self._count = 0
        self._watch.on_command = self._carry

    def end(self) -> None:
        """Forget all points, and leave the commands alone; may be called again."""
        with self._lock:
            self._waiting.clear()
        if self._watch.on_command == self._carry:
            self._watch.on_command = None

    def __enter__(self) -> CommandTrigger:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def _carry(self, session: DriverSession | None, command: str, send: Callable[[], Any]) -> Any:
        """Send a command, and strike at it."""
        __tracebackhide__ = True
        if getattr(self._striking, "now", False):
            return send()
        number = self._next(command)
        self._strike("before", session, command, number)
        late = self._begin_during(session, command, number)
        try:
            response = send()
        except Exception:
            # An error is an answer, too.
            self._finish(late)
            self._strike("after", session, command, number)
            raise
        self._finish(late)
        self._strike("after", session, command, number)
        for one in late:
            if one.error is not None:
                raise one.error
        return response

    def _next(self, command: str) -> int:
        if command == _NEW_SESSION:
            return 0
        with self._lock:
            self._count += 1
            return self._count

    def _due(self, moment: str, command: str, number: int) -> list[tuple[Point, Action]]:
        if not self._waiting:
            return []
        with self._lock:
            due = [w for w in self._waiting if w[0].meets(moment, number, command)]
            self._waiting = [w for w in self._waiting if w not in due]
        return due

    def _strike(
        self, moment: str, session: DriverSession | None, command: str, number: int
    ) -> None:
        __tracebackhide__ = True
        for point, action in self._due(moment, command, number):
            self._act(action, Strike(point, session, command, number, in_flight=False))

    def _act(self, action: Action, strike: Strike) -> None:
        __tracebackhide__ = True
        self._striking.now = True
        try:
            action(strike)
        finally:
            self._striking.now = False

    def _begin_during(
        self, session: DriverSession | None, command: str, number: int
    ) -> list[_Late]:
        begun = []
        for point, action in self._due("during", command, number):
            late = _Late()

            def run(late: _Late = late, point: Point = point, action: Action = action) -> None:
                under_way = not late.answered.wait(self._lag_s)
                try:
                    self._act(action, Strike(point, session, command, number, under_way))
                except BaseException as error:  # noqa: BLE001 - raised by the command
                    late.error = error

            late.thread = threading.Thread(target=run, daemon=True, name="resilience-strike")
            late.thread.start()
            begun.append(late)
        return begun

    def _finish(self, begun: list[_Late]) -> None:
        for late in begun:
            late.answered.set()
            if late.thread is not None:
                late.thread.join(_STRIKE_LIMIT_S)
