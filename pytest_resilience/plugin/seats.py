"""What the scheduling speaks of: workers, items that wait, and those it asks about both.

Invariant: nothing here decides anything; a command to a worker that has just been lost does
not raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Session(Protocol):
    """What is needed of xdist's session beyond what schedulers are given."""

    @property
    def stopping(self) -> bool:
        """Whether the session is to end although not all has run."""

    def coming(self, nodes: Sequence[Any]) -> bool:
        """Return whether workers besides `nodes` are being started."""

    def go_on(self) -> None:
        """Do not end the session although no more workers may be started."""

    def start_like(self, node: Any) -> bool:
        """Start another worker like `node`; return False if none may be started."""


class Book(Protocol):
    """What is known of items, besides where they are."""

    def running(self, nodeid: str) -> bool:
        """Return whether an item has begun, and has no verdict yet."""

    def settled(self, nodeid: str, worker: str) -> bool:
        """Return whether an item has its verdict; `worker`, which had it, is lost."""

    def departs(self, index: int) -> bool | None:
        """Return whether an item that has ended is to be run elsewhere: True for a new worker,
        False for any, None if it is not.
        """

    def arrival(self, index: int) -> Mapping[str, Any] | None:
        """Return what an item takes along to its next worker, None if it has run nowhere yet."""

    def heard(self, node: Any, message: Mapping[str, Any]) -> None:
        """Take in what a worker says of its items."""

    def unfit(self, node: Any) -> None:
        """A worker has not collected what the others have, and is not used."""


@dataclass(eq=False, slots=True)
class Seat:
    """A worker, as far as it concerns what runs where.

    Attributes:
        node: xdist's object for it.
        queue: What was sent to it and is not done, in order.
        released: Whether the scheduler has nothing more for it.
        closed: Whether its batch was closed, so that it runs the last item of it.
        alone: Whether nothing is to be sent behind what it has.
        retiring: Whether it ends as soon as it has nothing to do.
        ended: Whether it was told to end.
        gone: Whether it is not there any more.
    """

    node: Any
    queue: list[int] = field(default_factory=list)
    released: bool = False
    closed: bool = False
    alone: bool = False
    retiring: bool = False
    ended: bool = False
    gone: bool = False

    @property
    def name(self) -> str:
        """Its id, such as ``gw0``."""
        return str(self.node.gateway.id)


@dataclass(eq=False, slots=True)
class Parcel:
    """Items that wait for a worker, to be run on one, in this order.

    Attributes:
        scope: What they belong to, if that must not be run apart, else "".
        avoid: Names of workers that they must not go to.
        alone: Whether the worker is to have nothing else meanwhile.
        left: The seat that they have left, None if they come from elsewhere.
    """

    indices: list[int]
    scope: str = ""
    avoid: set[str] = field(default_factory=set)
    alone: bool = False
    left: Seat | None = None


def told(seat: Seat, command: str, **keywords: Any) -> None:
    """Send a command to a worker; one that has just been lost is told of later."""
    try:
        seat.node.sendcommand(command, **keywords)
    except OSError:
        seat.closed = True
