"""Keeps xdist's scheduler for ``--dist each`` in order when a worker is lost at any moment.

That scheduler still counts what a worker collected that was lost before all had, and cannot take
a worker that starts in the place of another when nothing is left, or while one more is starting:
each of these ends the session with an internal error. What was left for a worker that stood in for
another and is lost itself, it forgets (pytest-xdist 3.8).

Invariant: it knows only workers that have collected and for which there is something to run;
what it lets them run is its own decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: What is looked at of the scheduler, besides the protocol.
_INSIDE = ("node2collection", "node2pending", "_removed2pending")


def can_be_kept(inner: Any) -> bool:
    """Return whether `inner` is the scheduler that is meant, as far as it is known here."""
    return all(hasattr(inner, name) for name in _INSIDE)


class EachInOrder:
    """The scheduler that xdist sees.

    Args:
        inner: xdist's own for ``--dist each``.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._arriving: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def nodes(self) -> list[Any]:
        """The workers that are used, and those that are still collecting."""
        return [*self._inner.nodes, *self._arriving]

    def add_node(self, node: Any) -> None:
        """A worker has started; the scheduler hears of it when it has collected."""
        self._arriving.append(node)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """A worker has collected; let it end if nothing is left for it."""
        self._arriving.remove(node)
        if self._inner.collection_is_completed and not self._has_work(node, collection):
            node.shutdown()
            return
        self._inner.add_node(node)
        self._inner.add_node_collection(node, collection)
        # Of one that stands in it is not kept, and what was left for it is lost with it.
        self._inner.node2collection[node] = list(collection)

    def remove_node(self, node: Any) -> str | None:
        """A worker is gone; return the item it was running.

        Raises:
            KeyError: The worker was not used.
        """
        if node in self._arriving:
            self._arriving.remove(node)
            return None
        crashed: str | None = self._inner.remove_node(node)
        if not self._inner.collection_is_completed:
            self._inner.node2collection.pop(node, None)
        return crashed

    def _has_work(self, node: Any, collection: Sequence[str]) -> bool:
        """Return whether a lost worker like `node` has left anything that this one collected."""
        left = self._inner._removed2pending
        for lost in [lost for lost in left if lost.gateway.spec == node.gateway.spec]:
            if list(collection) == self._inner.node2collection[lost]:
                return True
            # Nobody else comes for it; without verdicts, its tests are told as such.
            del left[lost]
        return False
