"""What several processes of a run know together, one value at a time.

Invariant: a value never changes, only another takes its place, by one atomic step; `from_dict`
of what `to_dict` wrote is the same value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

Answer = TypeVar("Answer")
Value = TypeVar("Value")


class Plain(Protocol):
    """A value that can be written down, and read by another process."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as a small JSON-plain dict."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Any:
        """Return what `to_dict` wrote; raises KeyError, TypeError or ValueError if it is not."""


class Kept(Protocol[Value]):
    """Where one value is kept, by one process or several."""

    def read(self) -> Value:
        """Return the value as it is now."""

    def update(self, fn: Callable[[Value], tuple[Value, Answer]]) -> Answer:
        """Put the value that `fn` makes of the present one in its place; return its answer.

        Nobody else changes the value in between. `fn` is quick, and may be called again if the
        change could not be kept.
        """


class Own(Generic[Value]):
    """A value in the memory of this process, changed under a lock."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._lock = threading.Lock()

    def read(self) -> Value:
        """See `Kept.read`."""
        return self._value

    def update(self, fn: Callable[[Value], tuple[Value, Answer]]) -> Answer:
        """See `Kept.update`."""
        with self._lock:
            self._value, answer = fn(self._value)
        return answer
