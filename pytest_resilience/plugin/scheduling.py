"""Works around the scheduler that xdist, or another plugin, has chosen: nothing gets lost in it.

The scheduler inside decides what runs where, and is told that all is well: of a worker that is
lost it hears that everything it had was done. What was not done, and what is to be run on
another worker, waits here, and is given to workers the scheduler has nothing more for. These
stay until all is done.

Invariant: every index that was sent is completed once, returned once, or waits here; nothing is
sent to a worker that has not said what it collected; in the modes that keep tests of one scope
together, those that are left of a scope are sent together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_resilience.plugin.seats import Book, Parcel, Seat, Session, told
from pytest_resilience.plugin.station import COMMAND

#: Items a worker needs to run one of them: xdist holds the last one back.
_HELD = 2


class StandIn:
    """What the scheduler takes for a worker."""

    def __init__(self, seat: Seat, scheduling: ResilientScheduling) -> None:
        self._seat = seat
        self._scheduling = scheduling

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seat.node, name)

    def __repr__(self) -> str:
        return repr(self._seat.node)

    @property
    def shutting_down(self) -> bool:
        """Whether the scheduler can give it nothing more."""
        return self._seat.released or self._seat.gone

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Let it run `indices`."""
        self._scheduling.send(self._seat, indices)

    def send_steal(self, indices: Sequence[int]) -> None:
        """Ask it to give `indices` back."""
        told(self._seat, "steal", indices=indices)

    def shutdown(self) -> None:
        """The scheduler has nothing more for it."""
        self._scheduling.release(self._seat)


class ResilientScheduling:
    """The scheduler that xdist sees.

    Args:
        inner: The one that decides.

    Attributes:
        aborted: Whether the one inside would not begin: workers have collected different tests.
    """

    def __init__(self, inner: Any, session: Session, book: Book) -> None:
        self._inner = inner
        self._session = session
        self._book = book
        self._seats: dict[Any, Seat] = {}
        self._arriving: set[Any] = set()
        self._stand_ins: dict[Seat, StandIn] = {}
        self._waiting: list[Parcel] = []
        #: What is ours to see to: the scheduler believes it done.
        self._ours: set[int] = set()
        self._queued = 0
        self._first: list[str] = []
        self._collection: list[str] | None = None
        self._last_lost: Seat | None = None
        self.aborted = False
        self._scope_of: Callable[[str], str] | None = getattr(inner, "_split_scope", None)

    def __getattr__(self, name: str) -> Any:
        # Other plugins know more of schedulers than the protocol has.
        return getattr(self._inner, name)

    # What xdist asks

    @property
    def nodes(self) -> list[Any]:
        """The workers that are used, and those that are still collecting."""
        return [*self._seats, *self._arriving]

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers to begin with have collected."""
        return bool(self._inner.collection_is_completed)

    @property
    def has_pending(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self._queued or self._waiting or self._inner.has_pending)

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left that can be done; asked after every event."""
        if self._queued > len(self._seats) > 0 and not self._waiting:
            # Somebody has more than one item: most of the time, and all that has to be asked.
            return False
        if self._collection is not None and self._inner.tests_finished:
            # All that is left is held back, until somebody says that nothing more comes.
            for seat in self._seats.values():
                if not seat.released:
                    self.release(seat)
        if self._waiting:
            self._hand_out()
        if 0 < self._queued <= len(self._seats):
            self._push_on()
        if not self._seats and self._collection is not None:
            return not self._session.coming(())
        if self._queued or self._waiting or self._collection is None:
            return False
        return not self._inner.has_pending

    @property
    def keeps_scopes(self) -> bool:
        """Whether tests of one scope must run on one worker."""
        return self._scope_of is not None

    def add_node(self, node: Any) -> None:
        """A worker has started; what it is used for is decided when it has collected."""
        self._arriving.add(node)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """A worker has collected: from now on it can be used, if it has what the others have."""
        self._arriving.discard(node)
        if self._collection is not None and list(collection) != self._collection:
            self._book.unfit(node)
            node.shutdown()
            return
        self._first = self._first or list(collection)
        seat = self._seats[node] = Seat(node)
        stand_in = self._stand_ins[seat] = StandIn(seat, self)
        node.shutdown = lambda: self._asked_to_end(seat)
        told(seat, COMMAND, stay=True)
        self._inner.add_node(stand_in)
        self._inner.add_node_collection(stand_in, collection)

    def schedule(self) -> None:
        """Give out what there is; called when a worker has collected and all have."""
        self._collection = self._first
        several = len(self._seats) > 1
        for seat in self._seats.values():
            told(seat, COMMAND, switches=not self.keeps_scopes, others=several)
        self._inner.schedule()
        self.aborted = getattr(self._inner, "collection", self) is None
        self._fill_up()
        self._hand_out()

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """A worker has ended an item, for now or for good."""
        seat = self._seats.get(node)
        if seat is None or item_index not in seat.queue:
            return
        seat.queue.remove(item_index)
        self._queued -= 1
        if item_index not in self._ours:
            self._inner.mark_test_complete(self._stand_ins[seat], item_index, duration)
        fresh = self._book.departs(item_index)
        if fresh is not None:
            self._forward(item_index, seat, fresh=fresh)
        self._feed(seat)

    def mark_test_pending(self, item: str) -> None:
        """Run `item` once more; for plugins that know xdist's own schedulers."""
        if self._collection is not None:
            self.run_again(self._collection.index(item))

    def remove_pending_tests_from_node(self, node: Any, indices: Any) -> None:
        """A worker has given back what it had not begun, or has something to say."""
        if isinstance(indices, Mapping):
            self._book.heard(node, indices)
            return
        seat = self._seats.get(node)
        if seat is None:
            return
        returned = set(indices)
        self._queued -= len(returned)
        seat.queue[:] = [index for index in seat.queue if index not in returned]
        self._inner.remove_pending_tests_from_node(self._stand_ins[seat], indices)
        self._feed(seat)

    def remove_node(self, node: Any) -> str | None:
        """A worker is gone; return the item it was running when it was lost."""
        self._arriving.discard(node)
        seat = self._seats.pop(node, None)
        if seat is None:
            return None
        seat.gone = True
        self._last_lost = seat
        left, collection = list(seat.queue), self._collection or []
        self._queued -= len(left)
        self._take_over(seat, left)
        while left and self._book.settled(collection[left[0]], seat.name):
            del left[0]
        crashed = None
        if left and self._book.running(collection[left[0]]):
            crashed = collection[left.pop(0)]
        # One that had ended, and is to be run elsewhere, comes along.
        self._waiting += self._parcels(left, seat)
        return crashed

    # What our own parts ask

    def send(self, seat: Seat, indices: Sequence[int]) -> None:
        """Send `indices` to a worker, with what those take along that have run before."""
        for index in indices:
            arrival = self._book.arrival(index) if index in self._ours else None
            if arrival is not None:
                told(seat, COMMAND, arrival={"index": index, **arrival})
        seat.queue += indices
        seat.closed = False
        self._queued += len(indices)
        told(seat, "runtests", indices=list(indices))

    def release(self, seat: Seat) -> None:
        """The scheduler has nothing more for a worker: it is ours from now on."""
        seat.released = True
        self._feed(seat)

    def run_again(
        self, index: int, *, avoid: Sequence[str] = (), fresh: bool = False, alone: bool = False
    ) -> None:
        """Let an item run once more, before those of its scope that were left with it.

        Args:
            avoid: Names of workers it must not go to.
            fresh: Whether it must go to none that there is now.
            alone: Whether that worker is to have nothing else meanwhile.
        """
        self._ours.add(index)
        scope = self._scope(index)
        parcel = next((p for p in self._waiting if scope and p.scope == scope), None)
        if parcel is None:
            parcel = Parcel([], scope)
            self._waiting.append(parcel)
        parcel.indices.insert(0, index)
        parcel.alone = alone
        parcel.avoid.update(avoid, (seat.name for seat in self._seats.values() if fresh))

    def index_of(self, nodeid: str) -> int:
        """Return where `nodeid` stands in the collection, -1 if it does not."""
        collection = self._collection or []
        return collection.index(nodeid) if nodeid in collection else -1

    # What goes on inside

    def _take_over(self, seat: Seat, indices: Sequence[int]) -> None:
        """Let the scheduler believe that a worker which is gone had done all it had."""
        stand_in = self._stand_ins.pop(seat)
        for index in indices:
            if index not in self._ours:
                self._ours.add(index)
                self._inner.mark_test_complete(stand_in, index, 0)
        if stand_in in self._inner.nodes:
            self._inner.remove_node(stand_in)

    def _parcels(self, indices: Sequence[int], left: Seat) -> list[Parcel]:
        parcels: dict[object, Parcel] = {}
        for index in indices:
            fresh = self._book.departs(index)
            scope = self._scope(index)
            parcel = parcels.setdefault(scope or index, Parcel([], scope, left=left))
            parcel.indices.append(index)
            parcel.alone = parcel.alone or bool(fresh)
        return list(parcels.values())

    def _forward(self, index: int, seat: Seat, *, fresh: bool) -> None:
        """Let an item that has failed on `seat` run on another worker."""
        self._ours.add(index)
        here = {s.name for s in self._seats.values()} if fresh else {seat.name}
        self._waiting.append(Parcel([index], avoid=here, alone=fresh, left=seat))

    def _scope(self, index: int) -> str:
        if self._scope_of is None or self._collection is None:
            return ""
        return self._scope_of(self._collection[index])

    def _feed(self, seat: Seat) -> None:
        """Give a worker that is ours what waits, or let it end its batch."""
        if seat.gone or not seat.released:
            return
        if not seat.queue:
            seat.alone = False
        while len(seat.queue) < _HELD and not seat.alone:
            parcel = self._parcel_for(seat)
            if parcel is None:
                break
            self._waiting.remove(parcel)
            seat.alone = parcel.alone
            self.send(seat, parcel.indices)
        if _held_back(seat):
            self._close(seat)
        if seat.retiring and not seat.queue:
            self._end(seat)

    def _parcel_for(self, seat: Seat) -> Parcel | None:
        if seat.retiring:
            return None
        for parcel in self._waiting:
            if seat.name not in parcel.avoid and not (parcel.alone and seat.queue):
                return parcel
        return None

    def _hand_out(self) -> None:
        """Give what waits to workers that are free; see to it that it does not wait in vain."""
        for seat in list(self._seats.values()):
            self._feed(seat)
        if self._waiting and not self._session.coming(list(self._seats)):
            for parcel in list(self._waiting):
                if not self._has_taker(parcel) and self._rescue(parcel):
                    return

    def _fill_up(self) -> None:
        """Let no worker have one item only, which it would hold back, if there are more.

        To one that comes late some schedulers give so much, and then wait for it.
        """
        before = -1
        while before < self._queued and any(map(_held_back, self._seats.values())):
            before = self._queued
            self._inner.schedule()

    def _push_on(self) -> None:
        """If all workers wait for more, and nothing will make any come, let them run."""
        if all(not seat.queue or _held_back(seat) for seat in self._seats.values()):
            self._fill_up()
            for seat in filter(_held_back, self._seats.values()):
                self._close(seat)

    def _close(self, seat: Seat) -> None:
        """Let a worker run the item it holds back, end its fixtures, and wait."""
        seat.closed = True
        told(seat, "shutdown")

    def _has_taker(self, parcel: Parcel) -> bool:
        return any(
            seat.name not in parcel.avoid and not seat.retiring for seat in self._seats.values()
        )

    def _rescue(self, parcel: Parcel) -> bool:
        """Find a worker for what nobody can take; return whether one was started."""
        origin = parcel.left
        template = origin or next(iter(self._seats.values()), self._last_lost)
        if template is not None and self._session.start_like(template.node):
            if origin is not None and not origin.gone:
                # It is replaced, not joined: no more workers run than were asked for.
                origin.released = origin.retiring = True
                self._feed(origin)
            return True
        # Better where it failed, or on one that was to be replaced, than nowhere.
        parcel.avoid.clear()
        for seat in list(self._seats.values()):
            seat.retiring = seat.ended
            self._feed(seat)
        return False

    def _asked_to_end(self, seat: Seat) -> None:
        """xdist wants a worker to end."""
        done = self._session.stopping or self.tests_finished
        if done or not self._seats or seat.gone:
            self._end(seat)
        else:
            # No worker is to be started any more; those that are there can do the rest.
            self._session.go_on()

    def _end(self, seat: Seat) -> None:
        seat.retiring = seat.ended = True
        told(seat, COMMAND, stay=False)
        type(seat.node).shutdown(seat.node)


def _held_back(seat: Seat) -> bool:
    """Return whether a worker waits with the one item that it has."""
    return len(seat.queue) == 1 and not seat.closed
