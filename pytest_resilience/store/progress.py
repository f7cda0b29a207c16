"""How far recoveries had to climb: incidents, the levels they went through, how they ended.

Invariant: an incident is what was tried for one test from its first failure to a cure, or to
the end; it is counted once, under the error type it began with. Only those are counted for
which at least one recovery ran, and of injected faults only those that are lessons.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pytest_resilience.core.adaptive import quantile
from pytest_resilience.store.history import History, as_dicts, clock_us
from pytest_resilience.store.inference import rate_of
from pytest_resilience.store.metrics import conditions, default_db, first_day_us

# What teaches is said by the recoveries; an incident teaches if one of them does.
_CLIMBS = """
    SELECT error_id, nodeid, error_type, started_us, resolved, final_level, highest_level,
           recoveries, escalations, seconds, history
    FROM progressive_recovery p
    WHERE resolved IS NOT NULL AND coalesce(started_us, 0) >= ?{condition}
      AND (coalesce(injected, '') = '' OR EXISTS (
          FROM recovery_performance r
          WHERE coalesce(nullif(r.incident_id, ''), r.error_id) = p.error_id AND r.learn))
    ORDER BY started_us DESC, error_id
"""


@dataclass(frozen=True, slots=True)
class Climb:
    """One incident.

    Attributes:
        error_id: The error with which it began.
        levels: Levels of its recoveries, in order of time.
        strategies: Their strategies.
        escalations: How often one was followed by one of a higher level.
        resolved: Whether the last one cured.
        seconds: From the first recovery until it was known how the last one turned out.
        started_us: Microseconds since the epoch, UTC, of the first recovery.
    """

    error_id: str
    nodeid: str
    error_type: str
    levels: tuple[int, ...]
    strategies: tuple[str, ...]
    escalations: int
    resolved: bool
    seconds: float
    started_us: int

    def to_dict(self) -> dict[str, Any]:
        """Return the incident as a JSON-plain dict."""
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "levels": list(self.levels),
            "strategies": list(self.strategies),
            "final_level": self.levels[-1],
        }


def get_progressive_recovery(
    error_type: str | None = None,
    days: int | None = None,
    *,
    newest: int = 20,
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> dict[str, Any]:
    """Return how far recoveries had to climb, over all and by error type.

    Args:
        error_type: Only incidents that began with this error type.
        days: Only those of the last so many days, today included, UTC.
        newest: How many incidents are told one by one.
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Returns:
        ``overall`` and ``error_types`` (by name), each with ``incidents``, ``resolved`` and the
        rate of these (``resolution_rate`` with ``resolution_low`` and ``resolution_high``,
        95 %), ``escalated`` (incidents that went to a higher level at least once),
        ``escalations`` (how often, by ``"1-3"`` for from level 1 to level 3),
        ``final_levels`` (``resolved`` and ``unresolved`` by level of the last recovery),
        ``recoveries`` (mean number), and ``mean_seconds``, ``median_seconds``, ``p95_seconds``
        of the time to resolution; ``climbs``: the newest incidents, each with ``error_id``,
        ``nodeid``, ``error_type``, ``levels``, ``strategies``, ``escalations``, ``final_level``,
        ``resolved``, ``seconds`` and ``started_us``.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: `days` is not at least 1.
    """
    condition, values = conditions({"error_type": error_type})
    since_us = first_day_us(days, now_us())
    path = Path(default_db() if db is None else db)
    with History(path, now_us=now_us).reading() as connection:
        rows = as_dicts(
            connection.execute(_CLIMBS.format(condition=condition), [since_us, *values])
        )
    climbs = [climb for climb in map(_climb, rows) if climb.levels]
    types = sorted({climb.error_type for climb in climbs})
    return {
        "days": days,
        "overall": _summed(climbs),
        "error_types": {
            name: _summed([climb for climb in climbs if climb.error_type == name]) for name in types
        },
        "climbs": [climb.to_dict() for climb in climbs[:newest]],
    }


def _climb(row: dict[str, Any]) -> Climb:
    steps = json.loads(row["history"] or "[]")
    return Climb(
        error_id=row["error_id"],
        nodeid=row["nodeid"] or "",
        error_type=row["error_type"] or "",
        levels=tuple(int(step["level"] or 0) for step in steps),
        strategies=tuple(str(step["strategy_id"] or "") for step in steps),
        escalations=row["escalations"] or 0,
        resolved=bool(row["resolved"]),
        seconds=float(row["seconds"] or 0.0),
        started_us=int(row["started_us"] or 0),
    )


def _summed(climbs: Sequence[Climb]) -> dict[str, Any]:
    resolved = [climb for climb in climbs if climb.resolved]
    rate = rate_of(len(resolved), len(climbs)).to_dict()
    seconds = [climb.seconds for climb in resolved]
    return {
        "incidents": len(climbs),
        "resolved": len(resolved),
        "resolution_rate": rate["success_rate"],
        "resolution_low": rate["success_low"],
        "resolution_high": rate["success_high"],
        "escalated": sum(climb.escalations > 0 for climb in climbs),
        "escalations": _steps_up(climbs),
        "final_levels": _ends(climbs),
        "recoveries": fmean(len(climb.levels) for climb in climbs) if climbs else None,
        "mean_seconds": fmean(seconds) if seconds else None,
        "median_seconds": median(seconds) if seconds else None,
        "p95_seconds": quantile([(s, False) for s in seconds], 0.95) if seconds else None,
    }


def _steps_up(climbs: Iterable[Climb]) -> dict[str, int]:
    """Return how often recoveries went up, by the levels they went from and to."""
    steps = Counter(
        (low, high)
        for climb in climbs
        for low, high in zip(climb.levels, climb.levels[1:], strict=False)
        if high > low
    )
    return {f"{low}-{high}": steps[low, high] for low, high in sorted(steps)}


def _ends(climbs: Iterable[Climb]) -> dict[str, dict[str, int]]:
    """Return at which level how many incidents ended, and how."""
    ends = Counter((climb.levels[-1], climb.resolved) for climb in climbs)
    return {
        str(level): {"resolved": ends[level, True], "unresolved": ends[level, False]}
        for level in sorted({level for level, _ in ends})
    }
