"""Stops recovering while recoveries do not help: a storm of failures is an outage.

Invariant: a recovery that fails takes a token, every passed test gives back a fraction, and
one that cures gives back all, for it shows that there is no outage; recoveries are allowed
while more than half of the tokens are there. After gRPC's retry throttling (gRFC A6).
"""

from __future__ import annotations

#: Tokens to begin with, and at most.
TOKENS = 20.0
#: What a passed test gives back.
REFUND = 0.1


class Throttle:
    """The tokens of one run."""

    def __init__(self, tokens: float = TOKENS, refund: float = REFUND) -> None:
        self._most = self._tokens = tokens
        self._refund = refund
        self._passed = 0

    def failed(self) -> None:
        """A recovery did not cure."""
        self._tokens = max(0.0, self._tokens - 1.0)

    def cured(self) -> None:
        """A recovery cured."""
        self._tokens = self._most

    def heard(self, passed: int) -> None:
        """Take note that `passed` tests have passed in all so far."""
        gained = max(0, passed - self._passed) * self._refund
        self._passed = max(self._passed, passed)
        self._tokens = min(self._most, self._tokens + gained)

    @property
    def open(self) -> bool:
        """Whether another recovery may be tried."""
        return self._tokens > self._most / 2

    @property
    def reason(self) -> str:
        """Why none may be, for people."""
        lost = self._most - self._tokens
        return (
            f"recoveries have stopped: the last {lost:.0f} or so have cured nothing, "
            "which looks like an outage; they resume as tests pass"
        )
