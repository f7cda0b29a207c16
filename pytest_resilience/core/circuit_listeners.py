"""Tells those who want to hear of transitions.

Invariant: each listener is told everything once, in the order in which it happened, by one
thread at a time; none is waited for by whoever made it happen in another thread, and what a
listener raises changes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Told = TypeVar("Told")

#: Lines that are kept of what listeners raised.
MOST_FAILURES = 20


class Listeners(Generic[Told]):
    """Functions of one argument, and what they still have to be told."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[Told], object], ...] = ()
        self._changing = threading.Lock()
        self._waiting: deque[Told] = deque()
        self._telling = threading.Lock()
        self._failures: deque[str] = deque(maxlen=MOST_FAILURES)

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each of the latest times that a listener raised."""
        return tuple(self._failures)

    def add(self, function: Callable[[Told], object]) -> None:
        """Let `function` hear of everything from now on."""
        with self._changing:
            self._functions = (*self._functions, function)

    def remove(self, function: Callable[[Told], object]) -> None:
        """Let `function` hear of nothing more; one that was not added is no error."""
        with self._changing:
            left = list(self._functions)
            if function in left:
                left.remove(function)
            self._functions = tuple(left)

    def post(self, news: Iterable[Told]) -> None:
        """Keep `news` for the listeners; the order of these calls is the order they hear."""
        self._waiting.extend(news)

    def deliver(self) -> None:
        """Tell what is waiting, unless it is being told already, perhaps by our caller."""
        # Whoever posts while the lock is held leaves it to its holder, who looks once more.
        while self._waiting and self._telling.acquire(blocking=False):
            try:
                self._tell_all()
            finally:
                self._telling.release()

    def _tell_all(self) -> None:
        while self._waiting:
            news = self._waiting.popleft()
            for function in self._functions:
                try:
                    function(news)
                except Exception as error:  # noqa: BLE001 - a listener must not stop a circuit
                    self.failed(function, error)

    def failed(self, function: Callable[..., object], error: Exception) -> None:
        """Keep a line about what `function` raised."""
        name = getattr(function, "__qualname__", repr(function))
        self._failures.append(f"{name}: {type(error).__name__}: {error}")
