"""Who computes without end: the load of renderers, taken twice.

Invariant: who is gone, or not known at both times, is not called busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pytest_resilience.core.evidence import BUSY, RENDERER_PROCESS, ProbeResult

#: Share of the time from which on a renderer that computes counts as busy.
SHARE = 0.5
#: The same where only the time it got is known, not that for which it had to wait: on a crowded
#: machine that is little, but one that hangs gets none at all.
SHARE_GOT = 0.05
#: Seconds over which the load is measured at least.
_SPAN_S = 0.3

Loads = Mapping[int, float]


class Load:
    """The load of renderers from now on.

    Args:
        before: Seconds each has computed so far, by their pids.
        ask: Returns the same again.
        share: Share of the time from which on one counts as busy.
    """

    def __init__(self, before: Loads, ask: Callable[[], Loads], share: float) -> None:
        self._before = before
        self._ask = ask
        self._share = share
        self._since = time.monotonic()

    def busy(self) -> ProbeResult | None:
        """Return which one has been computing ever since, None if nobody has."""
        if not self._before:
            return None
        begun = time.monotonic()
        time.sleep(max(0.0, _SPAN_S - (begun - self._since)))
        now, passed_s = self._ask(), time.monotonic() - self._since
        for pid, seconds in self._before.items():
            share = (now.get(pid, seconds) - seconds) / passed_s
            if share >= self._share:
                detail = f"pid {pid}, {share:.0%} of the time"
                return ProbeResult(RENDERER_PROCESS, BUSY, detail, time.monotonic() - begun)
        return None
