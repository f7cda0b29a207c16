"""What probes answered at the moment of a failure.

Invariant: a missing answer is never taken for a good one; `Evidence.answer` gives
`UNASKED` for a probe that was not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: The probe was not made.
UNASKED = "unasked"

# Names of probes, and the answers the built-in rules know besides ALIVE and OK.
# processes: GONE, ZOMBIE, STOPPED; a renderer also BUSY (it computes all the time)
# DRIVER_STATUS, DEVTOOLS: REFUSED, SILENT, ERROR
# SESSION (a script sent to it): CRASHED (its tab), DEAD (no such session), SILENT, REFUSED, ERROR
# PAGE: ERROR_PAGE (the browser's own; detail says which), GATEWAY, SERVER_ERROR
# TARGET (the page's server, asked by us): VANISHED (it was there before), REFUSED, RESET, DNS,
#   TLS, SILENT, ERROR, GATEWAY, SERVER_ERROR; PRESENT if it takes connections and was not asked
# GRID: BUSY (no free slot), EMPTY (no node up), DEAD (lost this session), REFUSED, SILENT, ERROR;
#   where a session was wanted and it is known which, FREE (a slot) or MISFIT (no node for it)
# NODE (of a grid, the one that holds the session): DEAD (down), SILENT, REFUSED
# HOST: SHORT (detail says of what)
# TEARDOWN (of an attempt that is run again, and of fixtures replaced after it; nobody is asked):
#   ERROR, ASSERTED (what a test says of its product)
# OWN_NETWORK (what the test has made of the browser's network; nobody is asked): CUT, SLOWED
# LATCH: label of the error type the session failed with first, or CLOSED (by the test itself)
BROWSER_PROCESS = "browser_process"
RENDERER_PROCESS = "renderer_process"
GPU_PROCESS = "gpu_process"
DRIVER_PROCESS = "driver_process"
DRIVER_STATUS = "driver_status"
SESSION = "session"
DEVTOOLS = "devtools"
PAGE = "page"
TARGET = "target"
GRID = "grid"
NODE = "node"
HOST = "host"
LATCH = "latch"
TEARDOWN = "teardown"
OWN_NETWORK = "own_network"

# Answers about a process.
ALIVE = "alive"
GONE = "gone"
ZOMBIE = "zombie"
STOPPED = "stopped"
BUSY = "busy"

# Answers about something that is asked over a wire.
OK = "ok"
REFUSED = "refused"
SILENT = "silent"
ERROR = "error"
CRASHED = "crashed"
DEAD = "dead"
RESET = "reset"
DNS = "dns"
TLS = "tls"
VANISHED = "vanished"
PRESENT = "present"
ERROR_PAGE = "error_page"
GATEWAY = "gateway"
SERVER_ERROR = "server_error"

# Answers about what there is a limited number of.
EMPTY = "empty"
FREE = "free"
MISFIT = "misfit"
SHORT = "short"

#: Something was not as the test demands.
ASSERTED = "asserted"

#: The test ended the session itself: it called `quit`, or closed the last window or the browser.
CLOSED = "closed"

# Answers about what a test has done to its browser's network.
CUT = "cut"
SLOWED = "slowed"

#: Process answers that mean nothing will ever come from it again.
LIFELESS = frozenset({GONE, ZOMBIE})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One question and its answer.

    Attributes:
        probe: Name of the probe, one of the constants of this module or a user's own.
        answer: One word, one of the constants of this module or a user's own.
        detail: What a person wants to see besides the word (pid, error text, URL).
        cost_s: Seconds the probe took.
    """

    probe: str
    answer: str
    detail: str = ""
    cost_s: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Return the result as a plain dict, the form stored and reported."""
        return {
            "probe": self.probe,
            "answer": self.answer,
            "detail": self.detail,
            "cost_s": round(self.cost_s, 6),
        }


class Evidence:
    """All probe results of one diagnosis; the latest answer of a probe counts."""

    __slots__ = ("_latest", "_results")

    def __init__(self, results: Iterable[ProbeResult] = ()) -> None:
        self._results = tuple(results)
        self._latest = {result.probe: result for result in self._results}

    def __iter__(self) -> Iterator[ProbeResult]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def answer(self, probe: str) -> str:
        """Return the answer of `probe`, or `UNASKED`."""
        result = self._latest.get(probe)
        return UNASKED if result is None else result.answer

    def detail(self, probe: str) -> str:
        """Return the detail of `probe`, or ""."""
        result = self._latest.get(probe)
        return "" if result is None else result.detail

    @property
    def cost_s(self) -> float:
        """Seconds all probes took together."""
        return sum(result.cost_s for result in self._results)

    def to_dicts(self) -> tuple[dict[str, object], ...]:
        """Return all results as plain dicts."""
        return tuple(result.to_dict() for result in self._results)
