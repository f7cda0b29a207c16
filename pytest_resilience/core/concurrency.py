"""How many browsers may be used at once: fewer when resources run short, more when they do not.

Additive increase, multiplicative decrease, on cohorts: of the last `window` attempts that have
ended, at least two and 10 % must have run short before the limit falls to three quarters, and
an attempt that began under an older limit says nothing about the present one. So eight that fail
together lower it once. A whole window with at most one shortage raises it by one, if the limit
was used at all.

Invariant: the limit stays between 1 and the cap; it falls at most once per window, and never for
what began before it fell last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pytest_resilience.core.ports import Clock

#: Attempts a window has at least.
LEAST_WINDOW = 8
#: Shortages in a window that lower the limit: so many, and this share of it.
FAILURES, SHARE = 2, 0.10
#: What is left of the limit then.
FACTOR = 0.75
#: Changes that are kept; a run has few.
CHANGES_KEPT = 200


@dataclass(frozen=True, slots=True)
class Change:
    """The limit has changed.

    Attributes:
        at: Moment of the clock.
        active: Browsers in use at that moment.
        reason: Why, for people.
    """

    at: float
    from_limit: int
    to_limit: int
    active: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a JSON-plain dict."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """What is known of the concurrency of a run.

    Attributes:
        limit: Browsers that may be used at once.
        cap: What the limit never exceeds.
        generation: How often the limit fell.
        recent: The latest attempts of this generation, oldest first: whether they ran short.
        since: Attempts that have ended since the limit changed.
        peak: Most browsers in use since then.
    """

    limit: int
    cap: int
    generation: int = 0
    recent: tuple[bool, ...] = ()
    since: int = 0
    peak: int = 0

    @classmethod
    def at_most(cls, cap: int) -> Concurrency:
        """Return the state of a run that has met no shortage.

        Raises:
            ValueError: `cap` is less than 1.
        """
        if cap < 1:
            raise ValueError(f"a cap of {cap} browsers lets no test run; expected 1 or more")
        return cls(cap, cap)

    @property
    def window(self) -> int:
        """Attempts that are looked at together."""
        return max(self.limit, LEAST_WINDOW)

    @property
    def failures(self) -> int:
        """Shortages among the latest attempts."""
        return sum(self.recent)

    @property
    def is_short(self) -> bool:
        """Whether the latest attempts say that the limit is too high."""
        return self.failures >= FAILURES and self.failures >= SHARE * len(self.recent)

    def ended(
        self,
        *,
        failed: bool,
        generation: int,
        active: int,
        pressed: Callable[[], bool] = bool,
    ) -> Concurrency:
        """Return what is known after an attempt that used a browser has ended.

        Args:
            failed: Whether resources ran short in it.
            generation: That under which it began.
            active: Browsers in use now.
            pressed: Tells whether the machine is short of memory now; asked only where the
                limit would rise otherwise.
        """
        if generation != self.generation:
            # It began under another limit.
            return self
        known = replace(
            self,
            recent=(*self.recent, failed)[-self.window :],
            since=self.since + 1,
            peak=max(self.peak, active),
        )
        if known.is_short:
            return known.lowered()
        if known.since < known.window:
            return known
        risen = min(known.limit + 1, known.cap)
        clean = known.failures < FAILURES and 2 * known.peak >= known.limit
        if risen > known.limit and clean and not pressed():
            return replace(known, limit=risen, since=0, peak=active)
        return replace(known, since=0, peak=active)

    def lowered(self) -> Concurrency:
        """Return what is known after the limit has fallen; a new window begins."""
        limit = max(1, math.floor(FACTOR * self.limit))
        return Concurrency(limit, self.cap, self.generation + 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a JSON-plain dict."""
        return {**asdict(self), "recent": [*map(int, self.recent)]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Concurrency:
        """Return the state written by `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: `data` is no such state.
        """
        numbers = {
            name: int(data[name]) for name in ("limit", "cap", "generation", "since", "peak")
        }
        if not 1 <= numbers["limit"] <= numbers["cap"]:
            raise ValueError(f"a limit of {numbers['limit']} with a cap of {numbers['cap']}")
        return cls(recent=tuple(map(bool, data["recent"])), **numbers)


class ConcurrencyRule:
    """Applies what ends to what is known, and says when the limit changes.

    Args:
        pressed: See `Concurrency.ended`.
    """

    def __init__(self, clock: Clock, pressed: Callable[[], bool] = bool) -> None:
        self._clock = clock
        self._pressed = pressed

    def ended(
        self, known: Concurrency, *, failed: bool, generation: int, active: int
    ) -> tuple[Concurrency, Change | None]:
        """Return what is known after an attempt has ended, and how the limit changed if it did."""
        after = known.ended(
            failed=failed, generation=generation, active=active, pressed=self._pressed
        )
        if after.limit > known.limit:
            reason = f"{known.window} attempts without a shortage"
        else:
            short = known.failures + failed
            reason = f"resources ran short in {short} of {len(known.recent) + 1} attempts"
        return after, self._change(known, after, active, reason)

    def demanded(
        self, known: Concurrency, *, generation: int, active: int
    ) -> tuple[Concurrency, Change | None]:
        """Lower the limit, because a test that ran short can be helped by nothing else.

        Does nothing if the limit fell since the test began, or cannot fall.
        """
        if generation != known.generation or known.limit == 1:
            return known, None
        after = known.lowered()
        reason = "a test that ran short needs fewer beside it"
        return after, self._change(known, after, active, reason)

    def _change(
        self, before: Concurrency, after: Concurrency, active: int, reason: str
    ) -> Change | None:
        if before.limit == after.limit:
            return None
        return Change(self._clock.monotonic(), before.limit, after.limit, active, reason)
