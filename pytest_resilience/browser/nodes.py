"""The nodes of one grid: which of them is avoided for a while, and which takes its place.

A grid chooses the node itself; nobody can tell it which one not to take. But it takes only nodes
that do not contradict the request, and a node may offer a capability that the others offer
with another value (``"stereotype": {"browserName": "chrome", "node:id": "a"}``). By asking for the
value of a node that is well, the others are left out.

Invariant: a request is only added to, by a capability that a node which is up offers at that
moment and that every node to be avoided contradicts; where there is none it is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import offers
from pytest_resilience.browser.endpoints import plain
from pytest_resilience.core.evidence import BUSY, FREE, OK

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

_log = logging.getLogger("pytest_resilience")

#: Seconds for which a node is avoided.
AVOIDED_S = 300.0
#: Seconds a grid gets to describe its nodes.
_STATUS_LIMIT_S = 1.5
#: What a capability's name must not contain, or the grid leaves it to the driver.
_NOT_MATCHED = ("goog:", "moz:", "ms:", "se:")

Node = Mapping[str, Any]


class Nodes:
    """The nodes that sessions of this process avoid."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # Address of a grid to ids of nodes, and until when each is avoided.
        self._avoided: dict[str, dict[str, float]] = {}

    def has_other(self, session: DriverSession) -> bool:
        """Ask whether another node can take the place of the one that has `session`."""
        return self._other(session) is not None

    def avoid(self, session: DriverSession) -> bool:
        """Start no more sessions on the node that has `session`; return False if none replaces it.

        For five minutes, and as long as another one is there.
        """
        other = self._other(session)
        if other is None:
            return False
        until = self._monotonic() + AVOIDED_S
        self._avoided.setdefault(plain(session.endpoint), {})[other] = until
        return True

    def addition(self, awaited: DriverSession) -> dict[str, Any]:
        """Return what to add to the request for a session, so that it avoids nodes; often nothing.

        Asks the grid only where there is something to avoid.
        """
        avoided = self._avoided_at(awaited.endpoint) if self._avoided else ()
        if not (avoided and awaited.remote):
            return {}
        added = instead_of(avoided, _nodes_of(awaited), awaited.requested) or {}
        if added:
            _log.info("a session for %s asks for %s, to avoid a node", awaited.endpoint, added)
        return added

    def _other(self, session: DriverSession) -> str | None:
        """Return the id of the node that has `session`, if another one can take its place."""
        if not (session.remote and session.session_id):
            return None
        nodes = _nodes_of(session)
        holder = _holder(nodes, session.session_id)
        if not holder:
            return None
        avoided = {*self._avoided_at(session.endpoint), holder}
        return holder if instead_of(avoided, nodes, session.requested) else None

    def _avoided_at(self, endpoint: str) -> set[str]:
        now = self._monotonic()
        return {
            node for node, until in self._avoided.get(plain(endpoint), {}).items() if until > now
        }


def instead_of(
    avoided: Iterable[str], nodes: list[Node], requested: object
) -> dict[str, Any] | None:
    """Return the capability by which a request gets the best of the nodes that are not avoided.

    That is the one with the largest share of free slots that fit; if all are taken, any that is
    up. None if no capability leaves out all that are avoided.

    Args:
        avoided: Ids of nodes; those the grid no longer has need not be avoided.
        nodes: As `/status` lists them.
        requested: Capabilities, flat or in their W3C form; what they name is never changed.
    """
    avoided = set(avoided)
    left_out = [_marks(node) for node in nodes if node.get("id") in avoided]
    if not left_out:
        return {}
    named = offers.names(requested)
    for node in sorted(nodes, key=_taken):
        room, _detail = offers.room([node], requested)
        if node.get("id") in avoided or room not in (FREE, OK, BUSY):
            continue
        for name, value in _marks(node).items():
            if name not in named and all(_differs(marks.get(name), value) for marks in left_out):
                return {name: value}
    return None


def _differs(offered: object, wanted: object) -> bool:
    # To a node that does not offer it at all, everything is right; and so is another spelling.
    return offered is not None and str(offered).lower() != str(wanted).lower()


def _taken(node: Node) -> float:
    """Return the share of slots that are taken."""
    slots = offers.slots(node)
    taken = sum(1 for slot in slots if slot.get("session"))
    most = node.get("maxSessions")
    return taken / max(1, most if isinstance(most, int) else len(slots))


def _marks(node: Node) -> dict[str, Any]:
    """Return the capabilities that all slots of a node offer alike and the grid goes by."""
    offered = [slot.get("stereotype") or {} for slot in offers.slots(node)]
    return {
        name: value
        for name, value in (offered[0].items() if offered else ())
        if ":" in name
        and isinstance(value, (str, int))
        and not any(part in name for part in _NOT_MATCHED)
        and all(other.get(name) == value for other in offered)
    }


def _nodes_of(session: DriverSession) -> list[Node]:
    reply = session.wire.ask("GET", "/status", limit_s=_STATUS_LIMIT_S)
    if not (reply.good and isinstance(reply.value, Mapping)):
        return []
    return [node for node in reply.value.get("nodes") or () if isinstance(node, Mapping)]


def _holder(nodes: list[Node], session_id: str) -> str:
    for node in nodes:
        held = [
            slot["session"].get("sessionId") for slot in offers.slots(node) if slot.get("session")
        ]
        if session_id in held:
            return str(node.get("id") or "")
    return ""
