"""Which strategy to try first for an error type, by the same reckoning a run chooses by.

Invariant: the order is that of the fewest expected seconds per cure, and every line says
from what it was reckoned; a strategy never tried is in it with what it declares.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.applicability import APPLICABILITY
from pytest_resilience.core.experience import COSTS_KEPT, Cell, Key
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.selection import Candidate, Experience, Option
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.inference import wilson
from pytest_resilience.store.metrics import default_db

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Seconds taken to be the cost of a strategy of the user's own that was never measured.
_UNDECLARED_S = 10.0


def get_strategy_recommendations(
    error_type: str,
    *,
    environment: str | None = None,
    db: Path | str | None = None,
    now_us: Callable[[], int] = clock_us,
) -> list[dict[str, Any]]:
    """Return the strategies for `error_type` as the first of an incident, best first.

    Args:
        error_type: Label of an `ErrorType`, or any that is in the history.
        environment: What the failure happens in, as in `recovery_cells`; by default all
            environments count alike.
        db: The history; by default ``.resilience/history.duckdb`` in the current directory.

    Returns:
        For each strategy ``strategy``, ``level``, ``p`` (probability that it cures) with
        ``low`` and ``high`` (95 %), ``cost_s`` (mean seconds until the outcome is known),
        ``seconds_per_cure`` (cost by probability; the order), ``samples`` (remembered first
        tries), ``score`` (the weighted score, 0.5 if there is none) and ``why``.

    Raises:
        StoreError: There is no history, or it cannot be read.
        ValueError: Nothing is known of such an error type.
    """
    path = Path(default_db() if db is None else db)
    with History(path, now_us=now_us).reading() as connection:
        cells = _cells(connection, error_type, environment)
        scores = connection.execute(
            "SELECT error_type, strategy_id, score FROM strategy_scores WHERE error_type = ?",
            [error_type],
        ).fetchall()
        levels = _levels(connection, error_type)
    options = _options(error_type, levels)
    if not options:
        known = ", ".join(member.label for member in ErrorType)
        raise ValueError(f"nothing is known of error type {error_type!r}; valid ones: {known}")
    experience = Experience(cells, {(error, name): score for error, name, score in scores})
    candidates = experience.weigh(
        options, environment=environment or "", error_type=error_type, tried=frozenset()
    )
    first = {
        cell.key.strategy: cell
        for cell in cells
        if not cell.key.tried and cell.key.environment == (environment or "")
    }
    ordered = sorted(candidates, key=lambda candidate: (candidate.index, candidate.level))
    return [_told(candidate, first.get(candidate.strategy)) for candidate in ordered]


def _told(candidate: Candidate, cell: Cell | None) -> dict[str, Any]:
    good, n = (cell.successes, len(cell.recent)) if cell is not None else (0, 0)
    low, high = wilson(good, n)
    tries = f"cured {good} of the last {n} first tries" if n else "never tried first: taken as even"
    return {
        "strategy": candidate.strategy,
        "level": candidate.level,
        "p": candidate.p,
        "low": low,
        "high": high,
        "cost_s": candidate.cost_s,
        "seconds_per_cure": candidate.index,
        "samples": candidate.samples,
        "score": candidate.score,
        "why": f"{tries}; {candidate.cost_s:.1f} s / {candidate.p:.2f}"
        f" = {candidate.index:.1f} s per cure",
    }


def _cells(connection: DuckDBPyConnection, error_type: str, environment: str | None) -> list[Cell]:
    """Return the cells of an error type; of all environments together if none is named."""
    place = "''" if environment is None else "environment"
    rows = connection.execute(
        f"""
        SELECT {place} AS environment, tried, strategy_id, list_reverse(max(o, {COSTS_KEPT}))
        FROM (
            SELECT environment, tried, strategy_id, unnest(outcomes) AS o
            FROM recovery_cells WHERE error_type = ?
        ) GROUP BY ALL
        """,
        [error_type],
    ).fetchall()
    cells = []
    for where, tried, strategy, outcomes in rows:
        cell = Cell(Key(where, error_type, tried, strategy))
        for outcome in outcomes:
            cell.add(success=outcome["success"], cost_s=outcome["cost_s"])
        cells.append(cell)
    return cells


def _levels(connection: DuckDBPyConnection, error_type: str) -> dict[str, int]:
    rows = connection.execute(
        "SELECT strategy_id, max(recovery_level) FROM recovery_daily WHERE error_type = ?"
        " GROUP BY strategy_id ORDER BY strategy_id",
        [error_type],
    ).fetchall()
    return dict(rows)


def _options(error_type: str, levels: dict[str, int]) -> list[Option]:
    """Return what comes with the package for the error type, and what was used for it."""
    options = {
        name: Option(name, int(fit.level), fit.nominal_s)
        for name, fit in APPLICABILITY.items()
        if error_type in {member.label for member in fit.error_types}
    }
    for name, level in levels.items():
        fit = APPLICABILITY.get(name)
        nominal_s = _UNDECLARED_S if fit is None else fit.nominal_s
        options.setdefault(name, Option(name, level, nominal_s))
    return list(options.values())
