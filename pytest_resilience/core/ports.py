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


class Meter(Protocol):
    """What the machine and this process are using."""

    def sample(self) -> Mapping[str, float]:
        """Return the state now.

        ``cpu_percent``, ``memory_percent`` and ``disk_percent`` of the machine (0 to 100),
        ``cpu_s`` seconds all its processors have worked, ``process_cpu`` seconds and
        ``process_memory_mb`` megabytes of this process with its children, ``net_sent_bytes``
        and ``net_recv_bytes``. What cannot be read is left out.
        """


class EventSink(Protocol):
    """Where records go."""

    def emit(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Record `payload` as an event of `kind`; never raises."""

    def emit_many(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Record several events of (kind, payload) at once; never raises."""


class Environment(Protocol):
    """What a recovery may find out about, and do to, the surroundings of an item.

    An implementation knows what the failed attempt used and what of that is broken, and
    repairs it by rebuilding the fixtures that own it. Each method answers for the latest
    failure; those that return whether something is so are quick and change nothing, except
    where they say that they ask.
    """

    def is_broken(self) -> bool:
        """Return whether a session is broken that the next attempt would meet again."""

    def restart_browsers(self, *, with_driver: bool) -> bool:
        """Replace the broken sessions; `with_driver` also replaces their driver processes.

        Returns False if a broken session could not be replaced.
        """

    def has_dead_tabs(self) -> bool:
        """Return whether tabs are all that is broken, in browsers that can open others."""

    def replace_tabs(self) -> bool:
        """Give each session whose tab died another tab, and rebuild what was built on the old.

        Returns False if one could not be replaced.
        """

    def has_timeouts(self) -> bool:
        """Return whether the user has set a time-out for pages or scripts."""

    def extend_timeouts(self, factor: float) -> bool:
        """Multiply the time-outs for pages and scripts until the item has its verdict.

        Returns False if there are none.
        """

    def has_connections(self) -> bool:
        """Return whether fixtures hold connections of the database library that failed."""

    def reconnect(self) -> bool:
        """Let these fixtures, and what was built on them, be set up anew.

        Returns False if there are none.
        """

    def has_other_endpoint(self) -> bool:
        """Return whether the endpoint that failed is one of several we may use."""

    def switch_endpoint(self) -> bool:
        """Let new sessions for the endpoint that failed start at another one; asks which is ready.

        Returns False if none is.
        """

    def has_other_node(self) -> bool:
        """Ask the grid concerned, in at most 2 s, whether a node can be avoided that failed."""

    def switch_node(self) -> bool:
        """Let new sessions of that grid avoid the node for a while; asks which others it has.

        Returns False if none can take its place.
        """

    def has_coordinator(self) -> bool:
        """Return whether a grid is concerned."""

    def coordinator_is_ready(self) -> bool:
        """Ask the grid concerned whether it is ready for new sessions, in at most 2 s."""

    def reset(self) -> bool:
        """End every browser of the item and all that is left over; let the user reset the rest.

        Returns False if something could not be replaced, or the user's reset failed.
        """

    def may_reduce(self, what: str) -> bool:
        """Return whether the next attempt of the item can do with less.

        Args:
            what: ``batch``, of what it does at once or what runs beside it, or ``precision``.
        """

    def reduce(self, what: str) -> bool:
        """Let the next attempt do with less, in browsers that are not broken.

        Returns False if a broken session could not be replaced.
        """

    def may_defer(self) -> bool:
        """Return whether the item can be run again when all others have run."""

    def defer(self) -> bool:
        """Put the item behind all others; return whether that was done."""

    def may_change_worker(self, *, fresh: bool) -> bool:
        """Return whether the item can be run on another worker; with `fresh` on a new one."""

    def change_worker(self, *, fresh: bool) -> bool:
        """Have the item run on another worker and not again on this; return whether it will."""
