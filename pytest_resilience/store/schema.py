"""The tables of the history, and how an older history becomes a current one.

Invariant: a table has no primary key and no index. Uniqueness is kept by the merge: a
record is taken in once, because the ledger `ingested` moves in the same transaction
(spool, last sequence number), and rows of the small tables are merged on their key.

Every table that holds records carries ``spool`` and ``seq`` (which together name one
record for ever) and ``sid``, the session. Moments are kept twice: ``x_us`` in integer
microseconds since the epoch, UTC, to calculate with, and ``x``, a TIMESTAMP in UTC
without a zone, to read. Columns are filled from the payload's key of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What `schema_version.application` says in a file of ours.
APPLICATION = "pytest-resilience"

_FIRST = """
-- Which steps this file has been through; with APPLICATION, what makes the file ours.
CREATE TABLE schema_version (
    application VARCHAR,
    version INTEGER,
    description VARCHAR,
    written_by VARCHAR,         -- version of the package that took the step
    applied TIMESTAMP
);

-- The ledger: how far each spool has been taken in.
CREATE TABLE ingested (
    spool VARCHAR,
    last_seq BIGINT,
    records BIGINT,             -- records taken in
    bad BIGINT,                 -- lines of the spool that were no records
    ingested_at TIMESTAMP
);

-- One row per pytest session; "finished" is NULL for one that was killed.
CREATE TABLE sessions (
    sid VARCHAR,
    started TIMESTAMP,
    finished TIMESTAMP,
    exit_status INTEGER,
    project VARCHAR,
    branch VARCHAR,
    sha VARCHAR,                -- commit under test
    ci VARCHAR,                 -- CI system and build, if any
    shard VARCHAR,
    host VARCHAR,
    workers INTEGER,
    plugin_version VARCHAR,
    python_version VARCHAR,
    platform VARCHAR,
    details JSON,               -- everything said at the start
    outcome JSON,               -- everything said at the end
    started_us BIGINT,
    finished_us BIGINT
);

-- One row per item and session: its verdict.
CREATE TABLE test_results (
    nodeid VARCHAR,
    verdict VARCHAR,
    worker VARCHAR,
    started TIMESTAMP,
    duration_s DOUBLE,          -- from the first attempt's start, recoveries included
    reason VARCHAR,
    attempts INTEGER,
    started_us BIGINT,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- One row per execution of an item.
CREATE TABLE attempts (
    nodeid VARCHAR,
    number INTEGER,             -- from 1
    outcome VARCHAR,
    phase VARCHAR,
    worker VARCHAR,
    started TIMESTAMP,
    duration_s DOUBLE,
    error_id VARCHAR,           -- of `errors`, '' if nothing failed
    error_type VARCHAR,
    infrastructure BOOLEAN,
    severity VARCHAR,
    exception VARCHAR,
    message VARCHAR,
    rule VARCHAR,               -- classification rule that decided
    confidence DOUBLE,
    evidence JSON,
    injected VARCHAR,
    strategy VARCHAR,           -- recovery that ran after the attempt, '' if none
    level INTEGER,
    recovery_s DOUBLE,
    reason VARCHAR,
    browser VARCHAR,
    traceback VARCHAR,
    started_us BIGINT,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- One row per error; a later record of the same error_id completes or changes it.
CREATE TABLE errors (
    error_id VARCHAR,
    root_error_id VARCHAR,      -- the error that explains this one; its own id if none does
    fingerprint VARCHAR,        -- what all occurrences of one error have in common
    error_type VARCHAR,
    layer VARCHAR,              -- where it happened: product, page, browser, driver, …
    infrastructure BOOLEAN,     -- whether the error type excuses the product
    severity VARCHAR,
    message VARCHAR,
    exception VARCHAR,
    nodeid VARCHAR,
    phase VARCHAR,
    attempt INTEGER,
    fixture VARCHAR,
    command VARCHAR,
    browser VARCHAR,
    endpoint VARCHAR,
    worker VARCHAR,
    hardware_id VARCHAR,
    rule VARCHAR,
    confidence DOUBLE,
    evidence JSON,
    retry_count INTEGER,
    retry_successful BOOLEAN,
    aggregated_count INTEGER,
    related_errors JSON,
    resolution_status VARCHAR,  -- open, retrying, resolved or failed
    decision VARCHAR,           -- why the attempt was, or was not, followed by another
    injected VARCHAR,
    seen TIMESTAMP,
    seen_us BIGINT,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- One row per execution of a recovery strategy. "id" is 63 bits of a hash of (spool, seq):
-- the same record has the same id on every machine, two records have different ones.
CREATE TABLE recovery_performance (
    id BIGINT,
    strategy_id VARCHAR,
    strategy_name VARCHAR,
    error_type VARCHAR,
    execution_time FLOAT,       -- seconds
    success BOOLEAN,
    timestamp TIMESTAMP,
    hardware_id VARCHAR,
    affected_tasks INTEGER,
    recovered_tasks INTEGER,
    resource_usage JSON,        -- after minus before
    impact_score FLOAT,         -- 0 none to 1 severe
    stability_score FLOAT,      -- 0 unstable to 1 stable
    context JSON,
    error_id VARCHAR,           -- this and the next ones: from the context
    nodeid VARCHAR,
    attempt INTEGER,
    recovery_level INTEGER,
    injected VARCHAR,           -- the injected fault that was recovered, '' if a real one
    learn BOOLEAN,              -- whether a recovery of an injected fault teaches the scores
    timestamp_us BIGINT,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- The weighted score of each strategy for each error type, one row per pair.
CREATE TABLE strategy_scores (
    error_type VARCHAR,
    strategy_id VARCHAR,
    score FLOAT,
    last_updated TIMESTAMP,
    samples INTEGER,
    metrics JSON                -- the parts of the score, each 0 to 1, and mean seconds
);

-- Seconds a strategy is given for an error type, one row per pair.
CREATE TABLE adaptive_timeouts (
    error_type VARCHAR,
    strategy_id VARCHAR,
    timeout FLOAT,
    last_updated TIMESTAMP
);

-- How far the recoveries of an incident have climbed, one row per incident.
CREATE TABLE progressive_recovery (
    error_id VARCHAR,           -- the error with which it began
    current_level INTEGER,      -- level of the latest recovery, 1 again after a cure
    last_updated TIMESTAMP,
    history JSON                -- its recoveries in order of time
);

-- One row per change of a circuit's state.
CREATE TABLE circuit_transitions (
    circuit VARCHAR,
    from_state VARCHAR,
    to_state VARCHAR,
    reason VARCHAR,
    failures INTEGER,
    worker VARCHAR,
    changed TIMESTAMP,
    changed_us BIGINT,
    data JSON,                  -- the whole record
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- One row per injected fault.
CREATE TABLE injections (
    nodeid VARCHAR,
    attempt INTEGER,
    failure_type VARCHAR,
    intensity VARCHAR,
    seed BIGINT,
    worker VARCHAR,
    injected TIMESTAMP,
    injected_us BIGINT,
    data JSON,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- One row per saved state of a long test; the latest of a (nodeid, name) counts.
CREATE TABLE checkpoints (
    nodeid VARCHAR,
    name VARCHAR,
    attempt INTEGER,
    state JSON,
    worker VARCHAR,
    saved TIMESTAMP,
    saved_us BIGINT,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);

-- Records of kinds that have no table of their own, kept as they came.
CREATE TABLE events (
    kind VARCHAR,
    worker VARCHAR,
    happened TIMESTAMP,
    happened_us BIGINT,
    data JSON,
    sid VARCHAR, spool VARCHAR, seq BIGINT
);
"""


_LEARNED = """
ALTER TABLE recovery_performance ADD COLUMN environment VARCHAR;
ALTER TABLE recovery_performance ADD COLUMN tried VARCHAR;
ALTER TABLE recovery_performance ADD COLUMN cost_s DOUBLE;
ALTER TABLE recovery_performance ADD COLUMN timed_out BOOLEAN;
ALTER TABLE strategy_scores ADD COLUMN totals STRUCT(executions BIGINT, successes BIGINT,
    success_us BIGINT, impact_millionths BIGINT, stability_millionths BIGINT, with_tasks BIGINT,
    task_rate_millionths BIGINT);
ALTER TABLE adaptive_timeouts ADD COLUMN state JSON;
ALTER TABLE ingested ADD COLUMN pruned BOOLEAN;

-- Sums over the lessons of one day, kept for ever. Whole numbers, because sums of those are
-- the same in whatever order the records came.
CREATE TABLE recovery_daily (
    day DATE,                   -- UTC
    environment VARCHAR,
    error_type VARCHAR,
    strategy_id VARCHAR,
    recovery_level INTEGER,
    executions BIGINT,
    successes BIGINT,
    timeouts BIGINT,            -- executions that were ended by their time-out
    total_us BIGINT,            -- microseconds of all executions
    success_us BIGINT,          -- microseconds of the successful ones
    cost_us BIGINT,             -- microseconds until the outcomes were known
    impact_millionths BIGINT,
    stability_millionths BIGINT,
    with_tasks BIGINT,          -- executions that touched at least one test
    task_rate_millionths BIGINT -- shares of tests recovered, of those executions
);

-- The newest outcomes of each strategy in each situation: what a session starts from.
CREATE TABLE recovery_cells (
    environment VARCHAR,
    error_type VARCHAR,
    tried VARCHAR,              -- strategies that had failed before in the incident
    strategy_id VARCHAR,
    recent VARCHAR,             -- newest 40 outcomes, oldest first: 1 cured, 0 not
    mean_cost_s DOUBLE,         -- of the newest 50 executions
    executions INTEGER,         -- how many the mean stands for
    latest_us BIGINT,           -- moment of the newest one
    outcomes STRUCT(at_us BIGINT, seq BIGINT, id BIGINT, success BOOLEAN, cost_s DOUBLE,
                    execution_s DOUBLE, timed_out BOOLEAN)[]  -- newest 60, oldest first
);

-- A row is there while a merge is going on, and in a file that was copied without the log
-- (the .wal) in which the row's end is.
CREATE TABLE merges_under_way (
    process VARCHAR,            -- host and process id
    begun TIMESTAMP
);
"""


_CIRCUITS = """
ALTER TABLE circuit_transitions ADD COLUMN kind VARCHAR;
ALTER TABLE circuit_transitions ADD COLUMN generation BIGINT;
ALTER TABLE circuit_transitions ADD COLUMN consecutive_failures INTEGER;
ALTER TABLE circuit_transitions ADD COLUMN calls INTEGER;
ALTER TABLE circuit_transitions ADD COLUMN rate DOUBLE;
ALTER TABLE circuit_transitions ADD COLUMN reopenings INTEGER;
"""


# Columns that are NULL in rows of older versions, which had one row per error.
_CLIMBS = """
ALTER TABLE recovery_performance ADD COLUMN incident_id VARCHAR;
ALTER TABLE errors ADD COLUMN incident_id VARCHAR;
ALTER TABLE progressive_recovery ADD COLUMN nodeid VARCHAR;
ALTER TABLE progressive_recovery ADD COLUMN error_type VARCHAR;
ALTER TABLE progressive_recovery ADD COLUMN injected VARCHAR;
ALTER TABLE progressive_recovery ADD COLUMN started_us BIGINT;
ALTER TABLE progressive_recovery ADD COLUMN recoveries INTEGER;
ALTER TABLE progressive_recovery ADD COLUMN escalations INTEGER;
ALTER TABLE progressive_recovery ADD COLUMN highest_level INTEGER;
ALTER TABLE progressive_recovery ADD COLUMN final_level INTEGER;
ALTER TABLE progressive_recovery ADD COLUMN resolved BOOLEAN;
ALTER TABLE progressive_recovery ADD COLUMN seconds DOUBLE;
"""


@dataclass(frozen=True)
class Migration:
    """One step from a version to the next.

    Attributes:
        version: Of the schema after the step.
        sql: Statements, separated by semicolons.
        relearn: Whether the learned tables have to be filled anew after the step.
    """

    version: int
    description: str
    sql: str
    relearn: bool = False


#: In order; a step that was released is never changed.
MIGRATIONS = (
    Migration(1, "first schema", _FIRST),
    Migration(2, "situations of recoveries, sums per day", _LEARNED, relearn=True),
    Migration(3, "kinds, generations and figures of circuits", _CIRCUITS),
    Migration(4, "climbs of incidents", _CLIMBS),
)

SCHEMA_VERSION = MIGRATIONS[-1].version
