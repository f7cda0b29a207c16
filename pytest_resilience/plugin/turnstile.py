"""Lets browsers in, one slot each, and those wait that find none.

Invariant: a session has its slot before it is asked for, and until nothing is left of it; who
waits keeps nobody from giving back what is waited for; and a limit that nobody has set is never
what a test fails of.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.ports import Clock
from pytest_resilience.exceptions import BrowserLimitError
from pytest_resilience.plugin.crowd import Crowd
from pytest_resilience.plugin.hold import Announcer
from pytest_resilience.plugin.timeouts import TestTimeouts
from pytest_resilience.store.slots import Claim, Holder, Slots

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.2
#: Seconds from which on it is shown that somebody waits; short waits are nothing to tell.
_SHOWN_S = 5.0
#: Seconds a browser is used before it is given to others who wait for one.
SLICE_S = 5.0
_ABOUT = "a browser"


@dataclass(eq=False, slots=True)
class Turn:
    """The right to use one browser.

    Attributes:
        since: Moment of the clock at which it was had.
    """

    claims: list[Claim] = field(default_factory=list)
    since: float = 0.0


class Turnstile:
    """Stands before every session that tests of this process ask for.

    Args:
        crowd: The browsers of this run.
        machine: The slots of all runs on this machine, None where the user sets no limit.
        max_wait_s: Seconds a browser is waited for.
        item: Returns the test that runs at the moment, None if none does.
        warn: Called with what the user should know, when slots cannot be had at all.
    """

    def __init__(
        self,
        crowd: Crowd,
        machine: Slots | None,
        *,
        clock: Clock,
        max_wait_s: float,
        announcer: Announcer,
        timeouts: TestTimeouts,
        item: Callable[[], Any],
        warn: Callable[[str], None],
    ) -> None:
        self.crowd = crowd
        self._machine = machine
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._announcer = announcer
        self._timeouts = timeouts
        self._item = item
        self._warn = warn
        self._broken = False
        #: The sessions that have a slot.
        self.turns: dict[DriverSession, Turn] = {}
        #: Called when the first browser is let in.
        self.on_first: Callable[[], object] | None = None

    # What the browser room asks

    def enter(self) -> Turn:
        """Return the turn of a session about to be asked for; waits for it if need be.

        Raises:
            BrowserLimitError: There was none within the time; only where the user set a limit.
        """
        if self.on_first is not None:
            self.on_first()
            self.on_first = None
        turn = Turn(since=self._clock.monotonic())
        if self._broken:
            return turn
        try:
            tickets: list[Claim] = []
            turn.claims = self._enter(tickets) or self._wait(tickets)
            self.crowd.begins()
        except OSError as error:
            self._give_up(error)
        turn.since = self._clock.monotonic()
        return turn

    def entered(self, turn: Turn, session: DriverSession | None) -> None:
        """The session with `turn` was started; None if it could not be."""
        if session is None:
            self._release(turn)
        else:
            self.turns[session] = turn

    def left(self, session: DriverSession) -> None:
        """Nothing is left of `session`."""
        turn = self.turns.pop(session, None)
        if turn is not None:
            self._release(turn)

    # What the end of an attempt asks

    def ended(self, *, failed: bool) -> None:
        """An attempt that used a browser has ended; see `Crowd.ended`."""
        if not self._broken:
            try:
                self.crowd.ended(failed=failed)
            except OSError as error:
                self._give_up(error)

    def may_shrink(self, *, again: bool) -> bool:
        """See `Crowd.may_shrink`."""
        try:
            return not self._broken and self.crowd.may_shrink(again=again)
        except OSError:
            return False

    def shrink(self, *, again: bool) -> bool:
        """See `Crowd.shrink`."""
        try:
            return not self._broken and self.crowd.shrink(again=again)
        except OSError as error:
            self._give_up(error)
            return False

    def is_wanted(self) -> bool:
        """Return whether others need what this process uses: it is too much, or they wait."""
        if self._broken or not self.turns or (self._machine is None and self.crowd.limit is None):
            return False
        try:
            return self._is_too_much() or self._others_wait()
        except OSError as error:
            self._give_up(error)
            return False

    def _is_too_much(self) -> bool:
        limit = self.crowd.limit
        return limit is not None and len(self.crowd.slots.taken()) > limit

    def _others_wait(self) -> bool:
        """Return whether somebody waits, and this process had browsers for long enough."""
        longest_s = self._clock.monotonic() - min(turn.since for turn in self.turns.values())
        # Who waits must not wait in vain because those before it take their time.
        if longest_s < min(SLICE_S, self._max_wait_s / 8):
            return False
        return any(pool.waiting() for pool, _limit in self._pools())

    # Inside

    def _pools(self) -> list[tuple[Slots, int | None]]:
        pools = [(self.crowd.slots, self.crowd.limit)]
        if self._machine is not None:
            pools.append((self._machine, self.crowd.cap))
        return pools

    def _enter(self, tickets: list[Claim], *, anyway: bool = False) -> list[Claim]:
        """Return a slot of each pool, [] if not all of them have one; then tickets for those."""
        with contextlib.ExitStack() as doors:
            for pool, _limit in self._pools():
                doors.enter_context(pool.door())
            pools = self._pools()
            for place, (pool, limit) in enumerate(pools):
                ticket = tickets[place] if place < len(tickets) else None
                if not anyway and not pool.admits(limit, ticket):
                    tickets += [pool.queue() for pool, _ in pools[len(tickets) : place + 1]]
                    return []
            extra = any(limit is not None and len(p.taken()) >= limit for p, limit in pools)
            claims = [pool.take() for pool, _limit in pools]
            # Before the doors are opened: nobody may take us for one who still waits.
            for ticket in tickets:
                ticket.release()
        self.crowd.note("extra" if extra else "taken")
        return claims

    def _wait(self, tickets: list[Claim]) -> list[Claim]:
        begun, pause_s = self._clock.monotonic(), _FIRST_PAUSE_S
        try:
            with self._untimed():
                while True:
                    for ticket in tickets:
                        ticket.touch()
                    claims = self._enter(tickets)
                    waited_s = self._clock.monotonic() - begun
                    if claims or waited_s >= self._max_wait_s:
                        break
                    if waited_s >= _SHOWN_S:
                        self._show(waited_s)
                    self._clock.sleep(min(pause_s, self._max_wait_s - waited_s))
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if not claims:
                self._refuse(tickets, waited_s)
                claims = self._enter(tickets, anyway=True)
            self.crowd.note("waited", seconds=waited_s)
            if waited_s >= _SHOWN_S:
                self._announcer.done(f"{_ABOUT}: goes on after {waited_s:.0f} s")
            return claims
        finally:
            for ticket in tickets:
                ticket.release()

    def _refuse(self, tickets: Sequence[Claim], waited_s: float) -> None:
        """Raise, if what was waited for is a limit that the user has set."""
        if self._machine is None or len(tickets) < len(self._pools()):
            return
        self._announcer.done(f"{_ABOUT}: given up after {waited_s:.0f} s")
        raise BrowserLimitError(
            f"no browser could be started within {waited_s:.0f} s: --resilience-max-browsers is "
            f"{self.crowd.cap}, and in use are {_named(self._machine.taken())}; end those, allow "
            "more browsers, or wait longer with --resilience-max-wait."
        )

    def _show(self, waited_s: float) -> None:
        pool, limit = self._pools()[-1 if self._machine is not None else 0]
        left_s = max(0.0, self._max_wait_s - waited_s)
        self._announcer.waiting(
            _ABOUT,
            f"waiting for {_ABOUT} ({_named(pool.taken())} of {limit or 'any number'} in use), "
            f"giving up in {left_s:.0f} s",
        )

    @contextlib.contextmanager
    def _untimed(self) -> Iterator[None]:
        """Let no time-out of the test run meanwhile: it is not the test that takes its time."""
        item = self._item() if threading.current_thread() is threading.main_thread() else None
        if item is not None:
            self._timeouts.cancel(item)
        try:
            yield
        finally:
            if item is not None:
                self._timeouts.rearm(item)

    def _release(self, turn: Turn) -> None:
        for claim in turn.claims:
            claim.release()
        if turn.claims and not self._broken:
            turn.claims = []
            try:
                self.crowd.note("given back")
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._broken = True
        self._warn(
            "the number of browsers is not limited any more: "
            f"{self.crowd.slots.folder} cannot be used ({error})"
        )


def _named(holders: Sequence[Holder]) -> str:
    """Return whose `holders` are, for people."""
    names = dict.fromkeys(
        f"{h.told.get('worker', '?')} of {h.told.get('project', '?')} (pid {h.pid})"
        for h in holders
    )
    return f"{len(holders)}: {', '.join([*names][:8])}" if holders else "none"
