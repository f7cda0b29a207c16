"""Processes killed at any moment: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.store import database, learning, snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import orphans

from .samples import contents

#: Kills in one run of the test; a benchmark may ask for more.
KILLS = int(os.environ.get("STORE_KILLS", "24" if os.environ.get("ACCEPTANCE") == "full" else "12"))
#: Fewest and most records of a session; the short ones merge while the long ones write.
RECORDS = (4, 24)
#: Sessions that run at the same time and compete for the same orphans.
AT_ONCE = 3

_SESSION = Path(__file__).with_name("killed_session.py")


def moments(rng: random.Random, before: int, total: int) -> list[str]:
    """Return when to kill: writing, merging, inside the database, around the commit."""
    draws = (
        lambda: f"line:{rng.randint(1, before)}",
        lambda: f"line:{rng.randint(before + 1, total)}",
        lambda: f"merge:{rng.random() * 0.08:.4f}",
        lambda: f"end:{rng.randint(1, 120)}",
    )
    moments = [draws[number % len(draws)]() for number in range(KILLS)]
    rng.shuffle(moments)
    return moments


@pytest.mark.parametrize("seed", [20260101])
def test_killed_sessions_lose_nothing_and_double_nothing(
    folder: Path,
    tmp_path: Path,
    history: History,
    start: Callable[..., subprocess.Popen[str]],
    seed: int,
) -> None:
    rng = random.Random(seed)
    acks = tmp_path / "acks"

    def session(number: int, when: str) -> subprocess.Popen[str]:
        return start(_SESSION, folder, acks, seed + number, rng.randint(*RECORDS), when)

    # Twice, because only the first one builds the database.
    for number in (0, -1):
        trial = session(number, "never")
        output, errors = trial.communicate()
        assert trial.returncode == 0, errors
    before, total = map(int, output.split())
    plan = moments(rng, before, total)

    killed = 0
    for first in range(0, len(plan), AT_ONCE):
        batch = enumerate(plan[first : first + AT_ONCE], first + 1)
        processes = [session(number, when) for number, when in batch]
        for process in processes:
            _, errors = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), errors
            killed += process.returncode != 0
        # Whatever was killed while writing it: what is there is whole.
        assert snapshot.read(snapshot.path_of(history.path)).reason == ""
    # A kill planned later than the session's own end hits nobody; most must hit.
    assert killed >= KILLS / 2

    history.merge(orphans(folder / "spool"))
    assert list((folder / "spool").glob("*.jsonl*")) == []
    acknowledged = acks.read_text().split()
    rows = history.read(
        "SELECT nodeid FROM attempts UNION ALL SELECT nodeid FROM recovery_performance"
    )
    stored = [row["nodeid"] for row in rows]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) - set(stored) == set()
    # A record may have been written without being acknowledged: one per killed process.
    assert len(stored) - len(acknowledged) <= killed
    books = history.read("SELECT sum(records)::BIGINT AS n, sum(bad)::BIGINT AS bad FROM ingested")
    assert books == [{"n": len(stored), "bad": 0}]
    assert history.read(_SCORES_DIFFER) == []
    assert list(folder.glob("*.corrupt-*")) == []
    assert snapshot.read(snapshot.path_of(history.path)).reason == ""
    learned = contents(history)
    assert learned["recovery_daily"]
    assert learned["merges_under_way"] == []
    learn_anew(history)
    assert contents(history) == learned


def learn_anew(history: History) -> None:
    """Fill the learned tables from all recoveries, as if they had come at once."""
    with (
        database.engine(history.path) as connection,
        database.attached(connection, history.path, ""),
        database.transaction(connection),
    ):
        learning.relearn(connection, 1)


_SCORES_DIFFER = """
    SELECT * FROM strategy_scores FULL JOIN (
        SELECT error_type, strategy_id, count(*) AS n, avg(success::INTEGER) AS rate
        FROM recovery_performance GROUP BY ALL
    ) fresh USING (error_type, strategy_id)
    WHERE samples IS DISTINCT FROM n OR abs((metrics->>'success_rate')::DOUBLE - rate) > 1e-9
"""
