"""What the decisions need of the world, as narrow protocols.

Invariant: the core and the engine reach time, chance, browsers and disks only
through these; each has a real adapter in a room above and a fake in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Clock(Protocol):
    """Time, in seconds unless said otherwise."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""


class RandomSource(Protocol):
    """Chance."""

    def random(self) -> float:
        """Return a number from 0 up to, but not including, 1."""


class EventSink(Protocol):
    """Where records go."""

    def emit(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Record `payload` as an event of `kind`; never raises."""

    def emit_many(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Record several events of (kind, payload) at once; never raises."""


class Environment(Protocol):
    """What a recovery may do to the browsers of an item.

    An implementation knows which sessions the failed attempt used and which of them
    are broken, and repairs them by rebuilding the fixtures that own them.
    """

    def restart_browsers(self, *, with_driver: bool) -> bool:
        """Replace the broken sessions; `with_driver` also replaces their driver processes.

        Returns False if a broken session could not be replaced.
        """
