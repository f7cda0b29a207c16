"""What a long history costs: start of a session, and the merge at its end.

    python benchmarks/store.py [RECOVERIES] [EVENTS]

Builds a history of one million recoveries, with as many attempts and errors, inside the
database and from a seed; then reads the snapshot, merges sessions of 10,000 new events, and
inserts the same rows into a copy of the same file by plain SQL, for comparison.

Invariant: a merge that is timed is checked too, by counting what it added.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from machine import described

from pytest_resilience.core import events
from pytest_resilience.store import database, learning, snapshot
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, prepare

SEED = 20260101
#: Microseconds since the epoch, UTC, at which the history begins, and its length.
BEGUN_US, DAYS = 1_735_689_600_000_000, 365
DAY_US = 86_400_000_000
STRATEGIES = ("immediate_retry", "delayed_retry", "fresh_window", "browser_restart",
              "driver_restart", "worker_switch", "environment_reset")  # fmt: skip
ERROR_TYPES = ("browser", "driver", "connection", "network", "timeout", "resource", "gpu")
ENVIRONMENTS = tuple(f"{b} {v} linux local" for b in ("chrome", "firefox") for v in range(130, 140))
MERGES, READS = 5, 50


def _drawn(what: str, most: int) -> str:
    """Return SQL for a number below `most`, drawn from a hash of row, column and seed."""
    return f"(hash(i, '{what}', {SEED}) % {most})::BIGINT"


def _one_of(what: str, values: tuple[str, ...]) -> str:
    return f"{list(values)}[1 + {_drawn(what, len(values))}]"


_GENERATED = f"""
    CREATE TEMP TABLE drawn AS
    SELECT i, {BEGUN_US} + i * ({DAYS * DAY_US} // $n) AS us,
           {_one_of("s", STRATEGIES)} AS strategy, {_one_of("e", ERROR_TYPES)} AS type,
           {_one_of("v", ENVIRONMENTS)} AS env, {_drawn("k", 100)} AS chance,
           md5((i // 2)::VARCHAR || 'error') AS error_id,
           md5((i // 500)::VARCHAR) AS spool, i % 500 * 3 AS seq,
           'tests/test_' || {_drawn("n", 400)} || '.py::test_it' AS nodeid
    FROM range($n) r(i)
"""
_FILLED = (
    """
    INSERT INTO recovery_performance BY NAME
    SELECT (hash(i, 'id') >> 1)::BIGINT AS id, strategy AS strategy_id, strategy AS strategy_name,
           type AS error_type, chance / 7.0 AS execution_time, chance < 70 AS success,
           make_timestamp(us) AS timestamp, us AS timestamp_us, 1 AS affected_tasks,
           (chance < 70)::INTEGER AS recovered_tasks, '{}' AS resource_usage,
           chance / 100.0 AS impact_score, 0.9 AS stability_score, error_id, nodeid,
           json_object('error_id', error_id, 'nodeid', nodeid, 'recovery_level', 1 + i % 2)
               AS context,
           1 AS attempt, 1 + i % 2 AS recovery_level, env AS environment,
           CASE WHEN i % 2 = 1 THEN 'immediate_retry' ELSE '' END AS tried,
           chance / 5.0 AS cost_s, spool AS sid, spool, seq + 1 AS seq
    FROM drawn
    """,
    """
    INSERT INTO attempts BY NAME
    SELECT nodeid, 1 AS number, 'rerun' AS outcome, 'call' AS phase, 'gw0' AS worker,
           make_timestamp(us) AS started, us AS started_us, chance / 10.0 AS duration_s, error_id,
           type AS error_type, true AS infrastructure, 'WebDriverException' AS exception,
           'message ' || chance AS message, strategy, 1 + i % 2 AS level, spool AS sid, spool,
           seq + 2 AS seq
    FROM drawn
    """,
    """
    INSERT INTO errors BY NAME
    SELECT error_id, any_value(type) AS error_type, any_value(nodeid) AS nodeid,
           'resolved' AS resolution_status, make_timestamp(min(us)) AS seen, min(us) AS seen_us,
           any_value(spool) AS sid, any_value(spool) AS spool, min(seq) + 3 AS seq
    FROM drawn GROUP BY error_id
    """,
    """
    INSERT INTO ingested BY NAME
    SELECT spool, max(seq) + 3 AS last_seq, count(*) * 3 AS records, 0 AS bad
    FROM drawn GROUP BY spool
    """,
    """
    INSERT INTO sessions BY NAME
    SELECT spool AS sid, min(us) AS started_us, max(us) AS finished_us,
           make_timestamp(min(us)) AS started, make_timestamp(max(us)) AS finished
    FROM drawn GROUP BY spool
    """,
)


def main() -> None:
    """Build, measure, print."""
    recoveries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    new_events = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    print(described())
    with tempfile.TemporaryDirectory(prefix="resilience-benchmark-") as name:
        folder = Path(name)
        history = History(prepare(folder / "history").parent / "history.duckdb")
        begun = time.perf_counter()
        build(history, recoveries)
        size = history.path.stat().st_size / 1e6
        print(f"history    {recoveries:,} recoveries, {size:.0f} MB,", end=" ")
        print(f"built in {time.perf_counter() - begun:.0f} s")
        measure_start(snapshot.path_of(history.path))
        measure_merges(history, folder, new_events)


def build(history: History, recoveries: int) -> None:
    """Fill an empty history by SQL, and let it learn from its rows."""
    spool = Spool(history.path.parent / "spool", session_id="0", worker="main", now_us=lambda: 1)
    spool.emit(events.SESSION_STARTED, {})
    spool.close()
    history.merge([spool.path])
    now_us = BEGUN_US + DAYS * DAY_US
    with (
        database.engine(history.path) as connection,
        database.attached(connection, history.path, ""),
    ):
        connection.execute(_GENERATED, {"n": recoveries})
        for statement in _FILLED:
            connection.execute(statement)
        with database.transaction(connection):
            learning.relearn(connection, now_us)
        history.write_snapshot(connection)


def measure_start(path: Path) -> None:
    """Print what reading the snapshot takes, warm and in a process of its own."""
    times, cpu = [], []
    for _ in range(READS):
        begun, worked = time.perf_counter(), time.process_time()
        found = snapshot.read(path)
        times.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
    assert found.cells
    print(f"snapshot   {len(found.cells):,} cells, {path.stat().st_size / 1e3:.0f} kB:", end=" ")
    print(
        f"median {statistics.median(times) * 1e3:.1f} ms, max {max(times) * 1e3:.1f} ms,", end=" "
    )
    print(f"its CPU {statistics.median(cpu) * 1e3:.1f} ms")
    code = (
        "import sys, time; from pathlib import Path; a = time.perf_counter();"
        "from pytest_resilience.store import snapshot; b = time.perf_counter();"
        "snapshot.read(Path(sys.argv[1])); print(b - a, time.perf_counter() - b)"
    )
    fresh = [[float(part) for part in _run(code, path).split()] for _ in range(MERGES)]
    imports, reads = (statistics.median(column) * 1e3 for column in zip(*fresh, strict=True))
    print(f"           in a new process: import {imports:.1f} ms, read {reads:.1f} ms")


def measure_merges(history: History, folder: Path, new_events: int) -> None:
    """Print what merging sessions takes, and inserting the same rows by plain SQL."""
    merges, cpu, raws = [], [], []
    for number in range(MERGES):
        copy = Path(shutil.copy(history.path, folder / "copy.duckdb"))
        spool = session(history.path.parent / "spool", number, new_events)
        before = _count(history)
        begun, worked = time.perf_counter(), time.process_time()
        result = history.merge([spool])
        merges.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
        assert result.records == new_events
        assert not result.snapshot_error
        raws.append(raw_insert(history, copy, spool.stem))
        assert _count(history) - before == new_events // 5
    for label, times in (("merge", merges), ("its CPU", cpu), ("raw insert", raws)):
        every = " ".join(f"{seconds:.3f}" for seconds in times)
        print(
            f"{label:10} {new_events:,} events: median {statistics.median(times):.3f} s ({every})"
        )
    ratio = statistics.median(merges) / statistics.median(raws)
    print(f"ratio      merge / raw insert of the same rows: {ratio:.1f}")


def session(folder: Path, number: int, new_events: int) -> Path:
    """Return the spool of a session: per incident two attempts, error, recovery, verdict."""
    rng = random.Random(SEED + number)
    us = BEGUN_US + DAYS * DAY_US
    spool = Spool(folder, session_id=f"new{number}", worker="main", now_us=lambda: us)
    for incident in range(new_events // 5):
        strategy, error_type = rng.choice(STRATEGIES), rng.choice(ERROR_TYPES)
        error_id, nodeid = f"{number}-{incident}", f"tests/test_{rng.randrange(400)}.py::test_it"
        attempt = events.Attempt(1, "rerun", error_id=error_id, error_type=error_type)
        record = events.RecoveryPerformanceRecord(
            strategy, strategy, error_type, rng.random() * 9, rng.random() < 0.7,
            timestamp_us=us + incident, environment=rng.choice(ENVIRONMENTS),
            cost_s=rng.random() * 20, context={"error_id": error_id, "recovery_level": 1},
        )  # fmt: skip
        spool.emit_many(
            [
                (events.ATTEMPT, {"nodeid": nodeid, **attempt.to_dict()}),
                (events.ERROR, {"error_id": error_id, "context": {"nodeid": nodeid}}),
                (events.RECOVERY, record.to_dict()),
                (events.ATTEMPT, {"nodeid": nodeid, **events.Attempt(2).to_dict()}),
                (events.TEST_RESULT, {"nodeid": nodeid, "verdict": "recovered"}),
            ]
        )
    spool.close()
    assert spool.lost == 0
    return spool.path


def raw_insert(history: History, copy: Path, spool: str) -> float:
    """Insert the rows that a merge made into `copy`, and return the seconds it took."""
    tables = ("attempts", "errors", "recovery_performance", "test_results")
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(f"ATTACH '{history.path}' AS merged (READ_ONLY)")
        for table in tables:
            connection.execute(
                f"CREATE TABLE {table} AS FROM merged.{table} WHERE spool = ?", [spool]
            )
        connection.execute("DETACH merged")
        begun = time.perf_counter()
        connection.execute(f"ATTACH '{copy}' AS copy")
        connection.begin()
        for table in tables:
            connection.execute(f"INSERT INTO copy.{table} FROM {table}")
        connection.commit()
        connection.execute("DETACH copy")
        return time.perf_counter() - begun


def _count(history: History) -> int:
    return int(history.read("SELECT sum(executions)::BIGINT AS n FROM recovery_daily")[0]["n"])


def _run(code: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    main()
