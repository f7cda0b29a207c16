"""A fault in force: what proves that it struck, and how it is undone.

Invariant: what a fault changed is undone once, the last change first; undoing never raises,
and what could not be undone is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.injection import Fault, Platform
from pytest_resilience.exceptions import ResilienceError

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: Arranges a fault of the application's own, and returns what undoes it, if anything does.
Arrange = Callable[[], "Callable[[], object] | None"]


class FaultError(ResilienceError):
    """A fault could not be made to happen, or not in this session."""

    slug = "fault-impossible"


class InjectedError(RuntimeError):
    """Raised on purpose: the failure of somebody's code, made by the failure injector."""


class Applied:
    """A fault that was made to happen.

    Attributes:
        fault: Which one.
        registry: The sessions of this process.
        platform: Where the session runs.
        during: Whether a command of the session is under way in another thread.
        history: The history file, for faults of the history; else None.
        arrange: Arranges a fault of the application; None if nobody can.
    """

    def __init__(
        self,
        fault: Fault,
        registry: SessionRegistry,
        session: DriverSession | None,
        platform: Platform,
        *,
        during: bool = False,
        history: Path | None = None,
        arrange: Arrange | None = None,
    ) -> None:
        self.fault = fault
        self.registry = registry
        self.platform = platform
        self.during = during
        self.history = history
        self.arrange = arrange
        self._session = session
        self._facts: dict[str, Any] = {}
        self._looks: list[Callable[[], Mapping[str, Any]]] = []
        self._changes: list[Callable[[], object]] = []
        self._left: list[str] = []
        self._undone = False
        # Whoever is interrupted while undoing may undo the rest.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<{self.fault.name}, {'undone' if self._undone else 'in force'}>"

    @property
    def name(self) -> str:
        """Name of the fault."""
        return self.fault.name

    @property
    def session(self) -> DriverSession:
        """The session it strikes.

        Raises:
            FaultError: There is none.
        """
        if self._session is None:
            raise FaultError(f"{self.name} needs a browser, and no session is known.")
        return self._session

    @property
    def undone(self) -> bool:
        """True once all was undone that can be."""
        return self._undone

    @property
    def left(self) -> tuple[str, ...]:
        """What could not be undone."""
        return tuple(self._left)

    def evidence(self) -> dict[str, Any]:
        """Return plain values that prove that the fault struck, and how things are now."""
        found: dict[str, Any] = {"fault": self.name, **self._facts}
        for look in self._looks:
            try:
                found.update(look())
            except Exception as error:  # noqa: BLE001 - what cannot be seen any more is no proof
                found.setdefault("unseen", []).append(f"{type(error).__name__}: {error}"[:200])
        return {**found, "undone": self._undone, "left": list(self._left)}

    def undo(self) -> None:
        """Undo what can be undone; may be called again; never raises."""
        with self._lock:
            while self._changes:
                try:
                    self._changes.pop()()
                except Exception as error:  # noqa: BLE001 - the rest must be undone, too
                    self._left.append(f"{type(error).__name__}: {error}"[:300])
            self._undone = True

    # For those who make it happen

    def prove(self, **facts: Any) -> None:
        """Add plain values to the evidence."""
        self._facts.update(facts)

    def look(self, see: Callable[[], Mapping[str, Any]]) -> None:
        """Let `see` add to the evidence whenever it is asked for."""
        self._looks.append(see)

    def when_undone(self, action: Callable[[], object]) -> None:
        """Let `action` undo a change; it must be bounded in time.

        If all was undone in the meantime, it is done at once.
        """
        with self._lock:
            self._changes.append(action)
            if self._undone:
                self.undo()

    def leaves(self, what: str) -> None:
        """Tell what cannot be undone."""
        self._left.append(what)


def until(condition: Callable[[], object], *, within_s: float) -> bool:
    """Wait until `condition` holds, at most `within_s` seconds; return whether it does."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
