"""What the history has learned, in one small file beside it, so that a session starts at once.

Invariant: reading never raises and never loads DuckDB: a file that is missing, damaged,
another program's or newer gives an empty snapshot that says why. A file that is there is
whole, because it is renamed into place. It may be older than the database, never newer
than what was committed to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.experience import Cell

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = 1
#: Cells of the most recent situations; older ones are in the database alone.
CELLS_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Score:
    """The weighted score of a strategy at an error type.

    Attributes:
        score: 0 to 1, higher is better.
        samples: Recoveries it was computed from.
        metrics: The parts of the score, each 0 to 1, and ``mean_seconds``.
    """

    error_type: str
    strategy: str
    score: float
    samples: int
    metrics: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        """Return the score written from it; raises as `Cell.from_dict` does."""
        return cls(
            str(data["error_type"]),
            str(data["strategy"]),
            float(data["score"]),
            int(data["samples"]),
            dict(data["metrics"]),
        )


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a strategy is given at an error type.

    Attributes:
        timeout_s: Seconds.
        state: What the time-out is computed from, as its class wrote it; may be empty.
    """

    error_type: str
    strategy: str
    timeout_s: float
    state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Timeout:
        """Return the time-out written from it; raises as `Cell.from_dict` does."""
        return cls(
            str(data["error_type"]),
            str(data["strategy"]),
            float(data["timeout_s"]),
            dict(data["state"] or {}),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a session starts from.

    Attributes:
        written_us: Microseconds since the epoch, UTC, 0 for an empty one.
        reason: Why it is empty, "" if it was read.
    """

    cells: tuple[Cell, ...] = ()
    scores: tuple[Score, ...] = ()
    timeouts: tuple[Timeout, ...] = ()
    written_us: int = 0
    reason: str = ""


def path_of(database: Path) -> Path:
    """Return where the snapshot of the history at `database` is."""
    return database.with_name(database.name + ".snapshot.json")


def read(path: Path) -> Snapshot:
    """Return the snapshot at `path`, an empty one with a reason if there is none to be had."""
    try:
        data = json.loads(path.read_bytes())
        schema = data["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            return Snapshot(reason=f"{path} was written by a newer version; upgrade this one")
        if schema != SCHEMA:
            raise ValueError(f"schema {schema!r}")
        return Snapshot(
            tuple(map(Cell.from_dict, data["cells"])),
            tuple(map(Score.from_dict, data["scores"])),
            tuple(map(Timeout.from_dict, data["timeouts"])),
            int(data["written_us"]),
        )
    except FileNotFoundError:
        return Snapshot(reason=f"{path} is not there yet")
    except OSError as error:
        return Snapshot(reason=f"{path} cannot be read: {error.strerror or error}")
    # Whatever a file of another kind, or half a file, leads to.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return Snapshot(reason=f"{path} is no snapshot of a history; the next run writes it anew")


def write(path: Path, snapshot: Snapshot) -> None:
    """Put `snapshot` in the place of `path`, all at once; raises OSError."""
    data = {
        "schema": SCHEMA,
        "written_us": snapshot.written_us,
        "cells": [cell.to_dict() for cell in snapshot.cells],
        "scores": [_plain(score) for score in snapshot.scores],
        "timeouts": [_plain(timeout) for timeout in snapshot.timeouts],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def gather(connection: DuckDBPyConnection, now_us: int) -> Snapshot:
    """Return what the attached history has learned."""
    cells = connection.execute(
        "SELECT environment, error_type, tried, strategy_id AS strategy, recent, mean_cost_s,"
        " executions FROM history.recovery_cells"
        " ORDER BY latest_us DESC, environment, error_type, tried, strategy_id LIMIT ?",
        [CELLS_KEPT],
    )
    found = tuple(map(Cell.from_dict, _dicts(cells)))
    scores = connection.execute(
        "SELECT error_type, strategy_id AS strategy, score, samples, metrics"
        " FROM history.strategy_scores ORDER BY error_type, strategy_id"
    )
    scored = [Score.from_dict({**r, "metrics": json.loads(r["metrics"])}) for r in _dicts(scores)]
    timeouts = connection.execute(
        "SELECT error_type, strategy_id AS strategy, timeout AS timeout_s, state"
        " FROM history.adaptive_timeouts ORDER BY error_type, strategy_id"
    )
    timed = [
        Timeout.from_dict({**row, "state": json.loads(row["state"] or "{}")})
        for row in _dicts(timeouts)
    ]
    return Snapshot(found, tuple(scored), tuple(timed), now_us)


def _plain(value: Score | Timeout) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _dicts(result: DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
