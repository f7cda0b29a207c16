"""The errors this package raises for people to read.

Invariant: every error has a *slug*, and the slug is the name of its section in
``docs/reference/messages.md``, so that a message leads to its explanation.
"""

from __future__ import annotations


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
