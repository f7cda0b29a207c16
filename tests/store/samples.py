"""What the tests of the store write, and what they ask again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store.history import History, as_dicts


def recovery(**changes: Any) -> tuple[str, dict[str, Any]]:
    """Return the kind and payload of a recovery, `changes` applied."""
    record = events.RecoveryPerformanceRecord(
        strategy_id="browser_restart",
        strategy_name="Browser restart",
        error_type="browser",
        execution_time=2.5,
        success=True,
        timestamp_us=1_767_225_600_000_001,
        context={"error_id": "e1", "nodeid": "t.py::t", "attempt": 1, "recovery_level": 3},
    ).to_dict()
    return events.RECOVERY, {**record, **changes}


def merged(history: History) -> int:
    """Return how many attempts are in the history."""
    return int(history.read("SELECT count(*) AS n FROM attempts")[0]["n"])


def refused(history: History, spool: Path, match: str, *, touched: bool = False) -> None:
    """Expect a StoreError, the spool kept and the database file left alone."""
    before = history.path.read_bytes() if history.path.is_file() and not touched else None
    content = spool.read_bytes()
    with pytest.raises(StoreError, match=match) as caught:
        history.merge([spool], lock_timeout_s=0.1)
    assert str(history.path.parent) in str(caught.value)
    assert spool.read_bytes() == content
    if before is not None:
        assert history.path.read_bytes() == before


#: Columns that tell of the merge and not of what was merged.
_OF_THE_MERGE = ("last_updated", "ingested_at", "applied", "bad")


def contents(history: History) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables but the schema's, in a fixed order."""
    with history.reading() as connection:
        tables = connection.execute(
            "SELECT table_name, list(column_name) FROM duckdb_columns()"
            " WHERE database_name = 'history' AND table_name <> 'schema_version' GROUP BY ALL"
        ).fetchall()
        return {
            table: as_dicts(
                connection.execute(
                    f"SELECT {', '.join(c for c in columns if c not in _OF_THE_MERGE)}"
                    f" FROM {table} ORDER BY ALL"
                )
            )
            for table, columns in tables
        }
