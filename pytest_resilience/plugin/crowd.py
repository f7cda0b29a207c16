"""What all processes of a run know of the browsers they use at once, and of how many they may.

Invariant: nothing is kept and nothing read while nothing has run short, but for the slots
themselves; each change of the limit is recorded once, by the process that made it, and all of
them are told at the end, those of a process that was killed included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_resilience.core import events
from pytest_resilience.core.concurrency import CHANGES_KEPT, Change, Concurrency, ConcurrencyRule
from pytest_resilience.core.ports import Clock, EventSink
from pytest_resilience.store.slots import Slots

#: Looks like no state there is.
_UNREAD = (-1, -1)
#: Moments of a run that are told at the end.
SAMPLES = 500


class Crowd:
    """The browsers of a run, and their limit.

    Args:
        slots: One for each browser in use.
        cap: Browsers there may be at most, by what the user says; None for any number.
        workers: Processes of the run; how many browsers there are usually.
        begun: Moment of the clock at which the run began.
        pressed: Tells whether the machine is short of memory now; takes some milliseconds.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        cap: int | None,
        workers: int,
        clock: Clock,
        sink: EventSink,
        worker: str,
        begun: float,
        pressed: Callable[[], bool] = bool,
    ) -> None:
        self.slots = slots
        self.cap = cap
        self._workers = workers
        self._clock = clock
        self._sink = sink
        self._worker = worker
        self._begun = begun
        self._rule = ConcurrencyRule(clock, pressed)
        self._mark: tuple[int, int] | None = None
        self._known: Concurrency | None = None
        self._generation = 0
        self._ended = 0

    def known(self) -> Concurrency | None:
        """Return what is known of the limit, None while nothing has run short."""
        mark = self.slots.state_mark()
        if mark != self._mark:
            try:
                self._known = Concurrency.from_dict(self.slots.state() or {})
            except (KeyError, TypeError, ValueError):
                self._known = None
            self._mark = mark
        return self._known

    @property
    def limit(self) -> int | None:
        """Browsers that may be used at once, None for any number."""
        known = self.known()
        return known.limit if known is not None else None

    def begins(self) -> None:
        """An attempt begins now, under the present limit."""
        known = self.known()
        self._generation = known.generation if known is not None else 0

    def ended(self, *, failed: bool) -> None:
        """An attempt that used a browser has ended.

        Args:
            failed: Whether resources ran short in it.

        Raises:
            OSError: What is known cannot be shared any more.
        """
        self._ended = self._generation
        if failed or self.known() is not None:
            self._decide(
                lambda known, active: self._rule.ended(
                    known, failed=failed, generation=self._ended, active=active
                )
            )
            self.begins()

    def may_shrink(self, *, again: bool) -> bool:
        """Return whether the limit falls if the attempt that has just run short counts as such.

        Args:
            again: Whether its test had run short before.
        """
        active = len(self.slots.taken())
        if active < 2 and self.slots.state_mark() is None:
            return False
        known = self.known() or self._unlimited(active)
        after = known.ended(failed=True, generation=self._generation, active=active)
        return known.limit > 1 and (again or after.limit < known.limit)

    def shrink(self, *, again: bool) -> bool:
        """Lower the limit for the attempt that ended last, if it did not fall since that began.

        Args:
            again: Whether its test had run short before; otherwise nothing is done.

        Returns:
            Whether fewer browsers may be used now than when it began.
        """
        if again:
            self._decide(
                lambda known, active: self._rule.demanded(
                    known, generation=self._ended, active=active
                )
            )
            self.begins()
        return self._generation > self._ended

    def _decide(
        self,
        decide: Callable[[Concurrency, int], tuple[Concurrency, Change | None]],
    ) -> None:
        with self.slots.door():
            active = len(self.slots.taken())
            # Not from what was read before: two changes may look alike from outside.
            self._mark = _UNREAD
            known = self.known() or self._unlimited(active)
            after, change = decide(known, active)
            if after != self._known:
                self.slots.keep(after.to_dict())
            if change is not None:
                self._tell("changed", change.to_dict(), active)

    def _unlimited(self, active: int) -> Concurrency:
        most = max(self._workers, active, 1)
        return Concurrency.at_most(most if self.cap is None else min(most, self.cap))

    def note(self, what: str, **more: Any) -> None:
        """Write down what happens to a slot, and what that makes the crowd.

        Args:
            what: ``taken``, ``given back``, ``waited``, ``extra``.
        """
        self._tell(what, more, len(self.slots.taken()))

    def _tell(self, what: str, more: Mapping[str, Any], active: int) -> None:
        at = self._clock.monotonic()
        record = {
            **more,
            "what": what,
            "at_s": at - self._begun,
            "active": active,
            "limit": more.get("to_limit", self.limit),
            "worker": self._worker,
        }
        record.pop("at", None)
        self.slots.note(record)
        if what in ("changed", "waited", "extra"):
            payload = {**record, "timestamp_us": self._clock.now_us()}
            self._sink.emit(events.CONCURRENCY, payload)


def told(slots: Slots, cap: int | None) -> dict[str, Any]:
    """Return how many browsers a run used over time, JSON-plain; {} if that is not worth telling.

    Args:
        cap: See `Crowd`.
    """
    notes = sorted(slots.notes(), key=lambda note: float(note.get("at_s") or 0.0))
    changes = [note for note in notes if note["what"] == "changed"]
    waits = [note for note in notes if note["what"] == "waited"]
    extras = [note for note in notes if note["what"] == "extra"]
    if not (cap or changes or waits or extras):
        return {}
    limits = [change["to_limit"] for change in changes]
    return {
        "cap": cap,
        "limit": limits[-1] if limits else cap,
        "least": min(limits, default=cap),
        "most_active": max((note["active"] for note in notes), default=0),
        "waits": len(waits),
        "waited_s": sum(float(wait.get("seconds") or 0.0) for wait in waits),
        "extra": len(extras),
        "changes": [
            {key: change[key] for key in _OF_A_CHANGE} for change in changes[:CHANGES_KEPT]
        ],
        "samples": _thinned([[n["at_s"], n["active"], n["limit"]] for n in notes]),
    }


_OF_A_CHANGE = ("at_s", "from_limit", "to_limit", "active", "reason", "worker")


def _thinned(samples: list[list[Any]]) -> list[list[Any]]:
    """Return at most `SAMPLES` of `samples`: of those left out, none was a peak."""
    if len(samples) <= SAMPLES:
        return samples
    size = -(-len(samples) // SAMPLES)
    parts = (samples[start : start + size] for start in range(0, len(samples), size))
    return [max(part, key=lambda sample: int(sample[1])) for part in parts]
