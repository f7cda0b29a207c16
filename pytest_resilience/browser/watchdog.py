"""Ends commands that hang because what should answer them is stopped, silent or gone.

Invariant: a command is ended only after its deadline, and only when two examinations,
apart in time, blame the same culprit for it; a slow page in a healthy browser is left
alone for ever. No thread runs unless there is a session to look after, and it sleeps until
a command can be overdue.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_resilience.browser import deadlines
from pytest_resilience.core.evidence import GRID, Evidence

if TYPE_CHECKING:
    from pytest_resilience.browser.hangs import Cause
    from pytest_resilience.browser.sessions import DriverSession

_log = logging.getLogger("pytest_resilience")

#: Seconds a command gets by default before it is looked after.
HANG_TIMEOUT_S = 8.0
#: Seconds between two examinations that must blame the same culprit.
CONFIRM_S = 1.0
#: Seconds a command gets in a session where one was ended before and nothing worked since.
RELAPSE_S = 1.0
#: How the time until the next look grows while a command takes long and nobody is to blame.
_BACKOFF_FACTOR, _BACKOFF_CAP_S = 1.5, 10.0
#: Seconds after which a new attempt is made to end a command that did not end.
_CUT_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Hang:
    """A command that was ended.

    Attributes:
        number: Number of the command in its session.
        command: Its name.
        seconds: How long it had hung.
        cause: Who is to blame.
        evidence: What was found out while it hung.
    """

    number: int
    command: str
    seconds: float
    cause: Cause
    evidence: Evidence


@dataclass(slots=True)
class _Suspicion:
    """What is thought of a command in flight.

    Attributes:
        number: Number of that command in its session.
        look_at: Monotonic seconds at which to look at it next.
        pause_s: Seconds between the last look and that one.
        cause: Who was to blame at the last look.
    """

    number: int
    look_at: float
    pause_s: float
    cause: Cause | None = None


@dataclass(slots=True)
class _Turn:
    """One life of the thread."""

    wake: threading.Event = field(default_factory=threading.Event)
    stopped: bool = False
    thread: threading.Thread | None = None


class Watchdog:
    """Looks after the commands of sessions.

    Args:
        sessions: Returns those that could hang.
        monotonic: Clock, seconds.
        hang_timeout_s: Seconds a command gets before it is looked after, more than 0; a
            time-out that the user set for it, or a history of slow ones, lengthens that.
    """

    def __init__(
        self,
        sessions: Callable[[], Iterable[DriverSession]],
        *,
        monotonic: Callable[[], float],
        hang_timeout_s: float = HANG_TIMEOUT_S,
    ) -> None:
        self._sessions = sessions
        self._monotonic = monotonic
        self._hang_timeout_s = hang_timeout_s
        self._suspicions: dict[DriverSession, _Suspicion] = {}
        self._heard: dict[DriverSession, frozenset[str]] = {}
        self._grids: set[str] = set()
        self._turn: _Turn | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def attend(self) -> None:
        """There is a new session: begin to look after it.

        Does nothing in a fork of this process: it shares the connections of its parent.
        """
        if os.getpid() != self._pid:
            return
        # Here, not in the thread: what is forked while that imports waits for it for ever.
        from pytest_resilience.browser import endings, hangs, tunnel  # noqa: F401

        with self._lock:
            turn = self._turn
            if turn is None:
                turn = self._turn = _Turn()
                turn.thread = threading.Thread(
                    target=self._run, args=(turn,), daemon=True, name="resilience-watchdog"
                )
                turn.thread.start()
            turn.wake.set()

    def stop(self) -> None:
        """End the thread; one that is examining something ends soon."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            turn, self._turn = self._turn, None
        if turn is not None and turn.thread is not None:
            turn.stopped = True
            turn.wake.set()
            turn.thread.join(1.0)
        self._forget_all_but(())

    def _run(self, turn: _Turn) -> None:
        while not turn.stopped:
            turn.wake.clear()
            try:
                pause_s = self.look()
            except Exception:  # noqa: BLE001 - observing must not harm the test
                _log.warning("hanging commands could not be looked after", exc_info=True)
                pause_s = self._hang_timeout_s
            if pause_s is None and self._leave(turn):
                return
            turn.wake.wait(pause_s)
        # Whoever told it to end did not wait for ways to browsers that were being opened then.
        with self._lock:
            if self._turn is None:
                self._forget_all_but(())

    def _leave(self, turn: _Turn) -> bool:
        """End the turn unless a session came in the meantime."""
        with self._lock:
            if turn.wake.is_set() or self._turn is not turn:
                return turn.stopped
            self._turn = None
        return True

    def look(self) -> float | None:
        """Look at all sessions once, ending what hangs.

        Returns:
            Seconds until the next look that can find something; None if there is no session.
        """
        sessions = list(self._sessions())
        self._forget_all_but(sessions)
        pauses = [self._look_at(session) for session in sessions]
        return min(pauses, default=None)

    def _forget_all_but(self, sessions: Iterable[DriverSession]) -> None:
        present = set(sessions)
        for session in self._heard.keys() - present:
            if session.care.tunnel is not None:
                session.care.tunnel.close()
        self._suspicions = {s: kept for s, kept in self._suspicions.items() if s in present}
        self._heard = {s: kept for s, kept in self._heard.items() if s in present}

    def _look_at(self, session: DriverSession) -> float:
        if session not in self._heard:
            self._listen(session)
        # Read in the order opposite to that in which a command writes them.
        command, since, number = session.in_flight, session.in_flight_since, session.commands
        if not command or session.quitting:
            return self._shortest_s(session)
        suspicion = self._suspicion(session, number, command, since)
        now = self._monotonic()
        if now < suspicion.look_at:
            return min(suspicion.look_at - now, self._shortest_s(session))
        self._judge(session, suspicion)
        # The command may end, and the next one be overdue before this one is.
        return max(0.0, min(suspicion.look_at - self._monotonic(), self._shortest_s(session)))

    def _listen(self, session: DriverSession) -> None:
        from pytest_resilience.browser import hangs

        self._hear(session, hangs.listen(session))

    def _hear(self, session: DriverSession, probes: frozenset[str]) -> None:
        if GRID in probes:
            self._grids.add(session.endpoint)
        elif session.endpoint in self._grids:
            probes |= {GRID}
        self._heard[session] = self._heard.get(session, frozenset()) | probes

    def _suspicion(
        self, session: DriverSession, number: int, command: str, since: float
    ) -> _Suspicion:
        known = self._suspicions.get(session)
        if known is None or known.number != number:
            allowed_s = self._allowed_s(session, command)
            known = self._suspicions[session] = _Suspicion(number, since + allowed_s, allowed_s)
        return known

    def _shortest_s(self, session: DriverSession) -> float:
        if session.care.hang is None:
            return self._hang_timeout_s
        return min(RELAPSE_S, self._hang_timeout_s)

    def _allowed_s(self, session: DriverSession, command: str) -> float:
        shortest_s = self._shortest_s(session)
        if session.care.hang is not None:
            return shortest_s
        return deadlines.deadline(
            command,
            hang_timeout_s=shortest_s,
            timeouts_ms=session.care.user_timeouts(session),
            slowest_s=session.care.slowest.get(command, 0.0),
        )

    def _judge(self, session: DriverSession, suspicion: _Suspicion) -> None:
        from pytest_resilience.browser import hangs

        evidence = hangs.examine(session)
        cause = hangs.cause_of(evidence, self._heard[session], session.endpoint)
        command, since = session.in_flight, session.in_flight_since
        if session.commands != suspicion.number or not command:
            return
        if cause is None:
            self._hear(session, hangs.answered(evidence))
            grown_s = max(suspicion.pause_s, self._hang_timeout_s) * _BACKOFF_FACTOR
            suspicion.pause_s = min(grown_s, _BACKOFF_CAP_S)
        elif cause.is_like(suspicion.cause):
            seconds = self._monotonic() - since
            told = hangs.without_consequences(evidence, cause)
            self._end(session, Hang(suspicion.number, command, seconds, cause, told))
            suspicion.pause_s = _CUT_AGAIN_S
        else:
            suspicion.pause_s = CONFIRM_S
        suspicion.cause = cause
        suspicion.look_at = self._monotonic() + suspicion.pause_s

    def _end(self, session: DriverSession, hang: Hang) -> None:
        session.care.hang = hang
        if session.care.line is not None and session.care.line.cut():
            return
        from pytest_resilience.browser import endings

        # Not selenium's own kind of connection: it ends with the process it leads to.
        if not session.remote:
            endings.end_processes(session)
