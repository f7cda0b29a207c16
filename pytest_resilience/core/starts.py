"""Whose trouble it is that a browser does not start: the browser's, or that of one worker.

Invariant: a start that fails is laid to its worker only while others can start that browser and
none of them fails to; where nobody else has tried lately, nobody knows better, and it is laid to
the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

#: What is kept of starts under this kind, by name of the browser.
KIND = "starts"
#: Seconds for which a start says how things are.
FRESH_S = 120.0
#: Workers of which the latest start is known, those that tried last.
KEPT = 8


class Start(NamedTuple):
    """How the latest start on one worker turned out.

    Attributes:
        at: Seconds of the clock that all workers share.
    """

    worker: str
    at: float
    succeeded: bool


class Starts(NamedTuple):
    """The latest start of one browser on each worker, oldest first."""

    latest: tuple[Start, ...] = ()

    def after(self, start: Start) -> Starts:
        """Return what is known after `start`."""
        others = [known for known in self.latest if known.worker != start.worker]
        return Starts((*others, start)[-KEPT:])

    def fails_alone(self, worker: str, now: float) -> bool:
        """Return whether a start that fails on `worker` is the trouble of that worker alone."""
        others = self._of_others(worker, now)
        return bool(others) and all(start.succeeded for start in others)

    def untried(self, worker: str, now: float) -> bool:
        """Return whether nobody but `worker` has tried lately."""
        return not self._of_others(worker, now)

    def _of_others(self, worker: str, now: float) -> list[Start]:
        return [s for s in self.latest if s.worker != worker and now - s.at <= FRESH_S]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON-plain dict."""
        return {"latest": [list(start) for start in self.latest]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Starts:
        """Return what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is nothing of the kind.
        """
        return cls(tuple(Start(*start) for start in data["latest"]))
