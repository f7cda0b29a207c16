"""The errors this package raises for people to read.

Invariant: every error has a *slug*, and the slug is the name of its section in
``docs/reference/messages.md``, so that a message leads to its explanation.
"""

from __future__ import annotations

import functools


class ResilienceError(Exception):
    """Base class of all errors raised by pytest-resilience.

    Attributes:
        slug: Section of ``docs/reference/messages.md`` that explains the error.
    """

    slug = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [{self.slug}]"


class ConfigurationError(ResilienceError):
    """An option, ini key, environment variable or marker has a value we cannot use."""

    slug = "bad-option"


class MarkerError(ConfigurationError):
    """A marker of ours was given wrong arguments."""

    slug = "bad-marker"


class StrategyError(ConfigurationError):
    """A recovery strategy of the user's own cannot be used."""

    slug = "bad-strategy"


class ForkedTestsError(ResilienceError):
    """Tests run in processes of their own, where they cannot be retried."""

    slug = "forked-tests"


class RerunTestsError(ResilienceError):
    """Another plugin decides how often tests are run."""

    slug = "rerun-tests"


class CheckpointError(ResilienceError, ValueError):
    """A test has saved what cannot be kept for its next attempt."""

    slug = "bad-checkpoint"


class ResumeError(ResilienceError):
    """A run cannot go on where another one was broken off."""

    slug = "cannot-resume"


class StoreError(ResilienceError):
    """The history could not be read or written; the spool keeps the data."""

    slug = "history-unavailable"


class HistoryDamagedError(ResilienceError):
    """The history was damaged; it was moved aside, and a new one begun."""

    slug = "history-damaged"


class RecordsUnreadableError(ResilienceError):
    """Lines in the spools of killed runs were torn; they are kept aside."""

    slug = "records-unreadable"


class ReportError(ResilienceError):
    """A report could not be rendered or written; the verdicts stand."""

    slug = "report-unavailable"


class BrowserLimitError(ResilienceError):
    """No browser could be started in time: as many are in use as may be."""

    slug = "browser-limit"


class CircuitOpenError(ResilienceError):
    """A circuit refused a call, because what it needs is known to be down.

    Attributes:
        circuit: Name of the circuit.
        kind: What kind of thing it stands for, "" if that was not said.
        state: ``open``, ``half-open`` (its trials are under way) or ``isolated``.
        retry_after: Seconds after which a permit may be had at the earliest; infinite if
            somebody has to reset the circuit.
        reason: Why it opened, "" if that is not known.
    """

    slug = "circuit-open"

    def __init__(
        self,
        circuit: str,
        retry_after: float,
        reason: str = "",
        *,
        kind: str = "",
        state: str = "open",
    ) -> None:
        self.circuit = circuit
        self.kind = kind
        self.state = state
        self.retry_after = retry_after
        self.reason = reason
        what = f"{kind} circuit" if kind else "circuit"
        why = f": {reason}" if reason else ""
        when = (
            "it stays so until it is reset"
            if retry_after == float("inf")
            else f"try again in {retry_after:.1f} s"
        )
        super().__init__(f"{what} {circuit!r} is {state}{why}; {when}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Be carried between processes with all attributes."""
        again = functools.partial(type(self), kind=self.kind, state=self.state)
        return again, (self.circuit, self.retry_after, self.reason)
