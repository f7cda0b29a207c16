"""Waits for a circuit to close, and finds out whether it can.

Invariant: waiting for one outage takes no longer than it may, in all; only a real session
closes a circuit; a circuit that was given up is not waited for again before it has closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.circuit_record import CircuitState, Outcome
from pytest_resilience.core.ports import Clock
from pytest_resilience.plugin.circuits import called, why

if TYPE_CHECKING:
    from pytest_resilience.browser.trial import Trial

#: The longest pause between two probes, seconds; they double up to it.
LONGEST_PAUSE_S = 30.0
#: Seconds a throw-away session may take.
TRIAL_LIMIT_S = 30.0
#: Seconds between two updates of what is shown.
_TICK_S = 1.0


class Announcer(Protocol):
    """Where people read what is waited for."""

    def waiting(self, about: str, text: str) -> None:
        """Show `text`, in place of what was shown before about the same thing."""

    def done(self, text: str) -> None:
        """Show `text`, for good."""


def _nobody_asks(_breaker: CircuitBreaker, _succeeded: bool) -> None:
    """Where there are no other workers, nobody asks what can be had here."""


class Hold:
    """Holds the run until a circuit has closed.

    Args:
        max_wait_s: Seconds one outage of a circuit may be waited for, in all.
        first_pause_s: Seconds before the first probe of an outage.
        trial: Returns how a session like those of a circuit is tried, None if nobody knows.
        tried: Called with the circuit for which a session was tried, and whether it was had.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_wait_s: float,
        first_pause_s: float,
        trial: Callable[[CircuitBreaker], Trial | None],
        announcer: Announcer,
        tried: Callable[[CircuitBreaker, bool], object] = _nobody_asks,
    ) -> None:
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._first_pause_s = first_pause_s
        self._trial = trial
        self._tried = tried
        self._announcer = announcer
        self._waited: dict[CircuitBreaker, float] = {}
        self._all_waits: dict[CircuitBreaker, float] = {}

    @property
    def total_s(self) -> float:
        """Seconds waited in this run, for all circuits."""
        return sum(self._all_waits.values())

    def waited(self, breaker: CircuitBreaker) -> float:
        """Return the seconds waited in this run for `breaker`."""
        return self._all_waits.get(breaker, 0.0)

    def wait(self, breaker: CircuitBreaker) -> str:
        """Wait until `breaker` lets a test run; return why it does not, "" if it does.

        Raises:
            KeyboardInterrupt: The user does not want to wait.
        """
        begun, waited_s = self._clock.monotonic(), self._waited.get(breaker, 0.0)
        refusal = f"{called(breaker)} is down, and was waited for in vain: {why(breaker)}"
        try:
            if self._until_closed(breaker, begun + self._max_wait_s - waited_s):
                refusal = ""
        finally:
            seconds = self._clock.monotonic() - begun
            self._all_waits[breaker] = self.waited(breaker) + seconds
            self._waited[breaker] = waited_s + seconds
        if not refusal:
            del self._waited[breaker]
        if seconds >= _TICK_S:
            ending = "given up" if refusal else "goes on"
            self._announcer.done(f"{called(breaker)}: {ending} after {seconds:.0f} s")
        return refusal

    def _until_closed(self, breaker: CircuitBreaker, deadline: float) -> bool:
        """Probe `breaker` until a test may run; return False if `deadline` comes first."""
        trial, pause_s, told = self._trial(breaker), self._first_pause_s, why(breaker)
        while breaker.get_state() is not CircuitState.CLOSED:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0 or breaker.get_state() is CircuitState.ISOLATED:
                return False
            if trial is None:
                # Nobody knows how to try it: the test itself will, as soon as it may.
                if breaker.get_state() is CircuitState.HALF_OPEN:
                    return True
                pause_s = breaker.retry_after()
            # A probe that comes too early does not count.
            earliest_s = breaker.next_probe() if breaker.get_state() is CircuitState.OPEN else 0.0
            self._pause(breaker, min(max(pause_s, earliest_s), left_s), deadline, told)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if trial is not None:
                told = self._probe(breaker, trial, deadline) or told
        return True

    def _pause(self, breaker: CircuitBreaker, seconds: float, deadline: float, told: str) -> None:
        """Let `seconds` pass, or fewer if another process closes the circuit meanwhile."""
        end = self._clock.monotonic() + seconds
        while (now := self._clock.monotonic()) < end:
            self._announcer.waiting(
                called(breaker),
                f"waiting for {called(breaker)} ({told}): next look in {end - now:.0f} s, "
                f"giving up in {max(0.0, deadline - now):.0f} s",
            )
            self._clock.sleep(min(_TICK_S, end - now))
            if breaker.get_state() is CircuitState.CLOSED:
                return

    def _probe(self, breaker: CircuitBreaker, trial: Trial, deadline: float) -> str:
        """Look whether `breaker` can close, and let it; return why it cannot, "" if unknown."""
        ready, told = trial.is_ready()
        breaker.probed(ready)
        while ready and breaker.get_state() is CircuitState.HALF_OPEN:
            permit = breaker.try_acquire()
            if permit is None:
                return "another worker tries it"
            left_s = deadline - self._clock.monotonic()
            try:
                ready, told = trial.succeeds(min(TRIAL_LIMIT_S, max(1.0, left_s)))
            except BaseException:
                breaker.report(permit, Outcome.IGNORED, "not tried to the end")
                raise
            outcome = Outcome.SUCCESS if ready else Outcome.FAILURE
            self._tried(breaker, ready)
            breaker.report(permit, outcome, told or "a session was started")
        return told
