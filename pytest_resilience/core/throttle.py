"""Stops recovering while recoveries do not help: a storm of failures is an outage.

Invariant: a recovery that fails takes a token, every passed test gives back a fraction, and
one that cures gives back all, for it shows that there is no outage; recoveries are allowed
while more than half of the tokens are there. After gRPC's retry throttling (gRFC A6). All
workers of a run have one purse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_resilience.core.shared import Kept, Own

#: What is kept of recoveries, under this kind and name.
KIND, NAME = "recoveries", "run"
#: Tokens to begin with, and at most, of up to two processes.
TOKENS = 20.0
#: What a passed test gives back.
REFUND = 0.1


class Purse(NamedTuple):
    """What the recoveries of a run have cost.

    Attributes:
        lost: Tokens that are gone.
        passed: Tests that have passed, as far as they were counted.
        spent_s: Seconds of recovery.
    """

    lost: float = 0.0
    passed: int = 0
    spent_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON-plain dict."""
        return self._asdict()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Purse:
        """Return what `to_dict` wrote.

        Raises:
            KeyError: It is nothing of the kind.
        """
        return cls(float(data["lost"]), int(data["passed"]), float(data["spent_s"]))


def tokens_of(workers: int) -> float:
    """Return the tokens of a run with so many workers: an outage costs each of them a few."""
    return TOKENS * max(1.0, workers / 2)


class Throttle:
    """The tokens of one run, and the seconds that its recoveries took.

    Args:
        tokens: To begin with, and at most.
        refund: What a passed test gives back.
        purse: Where the rest is kept; in this process's memory if not given.
    """

    def __init__(
        self, tokens: float = TOKENS, refund: float = REFUND, purse: Kept[Purse] | None = None
    ) -> None:
        self._most = tokens
        self._refund = refund
        self._purse: Kept[Purse] = Own(Purse()) if purse is None else purse

    def failed(self) -> None:
        """A recovery did not cure."""
        self._change(lambda purse: purse._replace(lost=min(self._most, purse.lost + 1.0)))

    def cured(self) -> None:
        """A recovery cured."""
        self._change(lambda purse: purse._replace(lost=0.0))

    def heard(self, passed: int) -> None:
        """Take note that `passed` tests have passed in all so far."""

        def refunded(purse: Purse) -> Purse:
            gained = max(0, passed - purse.passed) * self._refund
            return purse._replace(
                lost=max(0.0, purse.lost - gained), passed=max(purse.passed, passed)
            )

        if passed > self._purse.read().passed:
            self._change(refunded)

    def took(self, seconds: float) -> None:
        """A recovery took `seconds`."""
        self._change(lambda purse: purse._replace(spent_s=purse.spent_s + seconds))

    @property
    def spent_s(self) -> float:
        """Seconds that recoveries took so far."""
        return self._purse.read().spent_s

    @property
    def open(self) -> bool:
        """Whether another recovery may be tried."""
        return self._most - self._purse.read().lost > self._most / 2

    @property
    def reason(self) -> str:
        """Why none may be, for people."""
        return (
            f"recoveries have stopped: the last {self._purse.read().lost:.0f} or so have cured "
            "nothing, which looks like an outage; they resume as tests pass"
        )

    def _change(self, change: Callable[[Purse], Purse]) -> None:
        self._purse.update(lambda purse: (change(purse), None))
