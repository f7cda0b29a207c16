"""What circuits did, in the history: each transition a row, and outages made of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pytest_resilience.core import events
from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig, CircuitState, Transition
from pytest_resilience.store import schema
from pytest_resilience.store.history import History
from pytest_resilience.store.outages import Outage, Trial, get_circuit_history, outages
from pytest_resilience.store.spool import Spool

from .conftest import NEW_YEAR_US

Fill = Callable[..., Path]
DAY_US = 86_400_000_000

C, O, H, I = "closed", "open", "half-open", "isolated"  # noqa: E741


def moves(
    *path: tuple[float, str], kind: str = "endpoint", circuit: str = "grid", state: str = C
) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a circuit that goes along `path`: seconds, and where to."""
    told = []
    for generation, (at, to_state) in enumerate(path, start=1):
        move = Transition(
            circuit, kind, generation, CircuitState(state), CircuitState(to_state),
            f"{state} to {to_state}", at, consecutive_failures=3, failures=4, calls=5, rate=0.8,
            reopenings=1,
        )  # fmt: skip
        changed_us = NEW_YEAR_US + round(at * 1e6)
        told.append((events.CIRCUIT_TRANSITION, {**move.to_dict(), "changed_us": changed_us}))
        state = to_state
    return told


def rows_of(*told: tuple[str, dict[str, Any]], sid: str = "s1") -> list[dict[str, Any]]:
    """Return what `transitions` would return for these events."""
    return [{"sid": sid, "seq": n, **payload} for n, (_, payload) in enumerate(told)]


def found_in(*path: tuple[float, str], end: float = 1000.0) -> list[Outage]:
    """Return the outages of one circuit that went along `path` in a run of `end` seconds."""
    return outages(rows_of(*moves(*path)), {"s1": NEW_YEAR_US + round(end * 1e6)})


def test_a_transition_comes_back_as_it_was_made(history: History, filled: Fill) -> None:
    [(kind, payload)] = moves((1.5, O), circuit="http://grid:4444")
    path = filled((kind, {**payload, "worker": "gw1"}))
    history.merge([path])
    [row] = history.read("SELECT * FROM circuit_transitions")
    told = {**row, "at": 1.5}
    assert Transition.from_dict(told) == Transition.from_dict(payload)
    assert (row["changed_us"], row["worker"]) == (NEW_YEAR_US + 1_500_000, "gw1")
    assert row["changed"].isoformat() == "2026-01-01T00:00:01.500000"
    assert (row["sid"], row["spool"], row["seq"]) == ("s1", path.stem, 1)


def test_a_transition_without_a_moment_has_that_of_its_record(
    history: History, filled: Fill
) -> None:
    [(kind, payload)] = moves((1.5, O))
    del payload["changed_us"]
    history.merge([filled((kind, payload))])
    [row] = history.read("SELECT changed_us FROM circuit_transitions")
    assert NEW_YEAR_US <= row["changed_us"] < NEW_YEAR_US + 1000


def test_what_a_real_circuit_tells_is_found_as_an_outage(
    history: History, new_spool: Callable[..., Spool]
) -> None:
    """From the breaker by way of a spool into the history, and out again."""
    now = [100.0]
    spool = new_spool()
    circuit = CircuitBreaker(
        CircuitConfig(failure_threshold=2, half_open_after=2, success_threshold=1),
        name="grid", kind="endpoint", monotonic=lambda: now[0], chance=random.Random(0),
    )  # fmt: skip
    circuit.add_listener(
        lambda move: spool.emit(
            events.CIRCUIT_TRANSITION,
            {**move.to_dict(), "changed_us": NEW_YEAR_US + round(now[0] * 1e6)},
        )
    )
    circuit.record_failure("refused")
    circuit.record_failure("refused")
    now[0] += 10
    circuit.probed(True)
    circuit.acquire()
    circuit.record_success()
    spool.close()
    history.merge([spool.path])
    [circuit_told] = get_circuit_history(db=history.path)["circuits"]
    assert circuit_told["state"] == "closed"
    assert (circuit_told["openings"], circuit_told["closed"]) == (1, 1)
    assert circuit_told["open_seconds"] == 10.0


def test_a_history_without_kinds_is_brought_up_to_date(history: History, filled: Fill) -> None:
    """Rows of the schema before keep what they say; what they do not say is not invented."""
    with duckdb.connect(history.path) as connection:
        for step in schema.MIGRATIONS[:2]:
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO schema_version VALUES ('pytest-resilience', ?, '', '0.1.0', NULL)",
                [step.version],
            )
        connection.execute(
            "INSERT INTO circuit_transitions BY NAME SELECT 'old' AS circuit,"
            f" 'closed' AS from_state, 'open' AS to_state, 'why' AS reason, 's0' AS sid,"
            f" {NEW_YEAR_US} AS changed_us, make_timestamp({NEW_YEAR_US}) AS changed"
        )
    history.merge([filled(*moves((1, O)))])
    rows = history.read("SELECT circuit, kind, generation FROM circuit_transitions ORDER BY ALL")
    assert [tuple(row.values()) for row in rows] == [("grid", "endpoint", 1), ("old", None, None)]
    told = get_circuit_history(db=history.path)
    assert {(c["kind"], c["circuit"], c["openings"]) for c in told["circuits"]} == {
        ("", "old", 1),
        ("endpoint", "grid", 1),
    }


@pytest.mark.parametrize(
    ("path", "seconds", "closed", "trials"),
    [
        pytest.param(
            [(10, O), (12, H), (15, C)], 5, True, [Trial(2, 3, True)], id="closed-by-first-trial"
        ),
        pytest.param(
            [(10, O), (12, H), (15, O), (19, H), (20, C)],
            10, True, [Trial(2, 3, False), Trial(9, 1, True)], id="one-trial-failed",
        ),
        pytest.param([(10, O), (12, H)], 990, False, [], id="trial-without-an-end"),
        pytest.param([(10, O)], 990, False, [], id="open-to-the-end"),
        pytest.param([(10, O), (30, C)], 20, True, [], id="reset-by-hand"),
        pytest.param([(10, O), (20, I), (30, C)], 20, True, [], id="isolated-meanwhile"),
    ],
)  # fmt: skip
def test_an_outage_lasts_from_open_to_closed(
    path: Sequence[tuple[float, str]], seconds: float, closed: bool, trials: list[Trial]
) -> None:
    [outage] = found_in(*path)
    assert (outage.seconds, outage.closed, list(outage.trials)) == (seconds, closed, trials)
    assert (outage.begun_us, outage.failures) == (NEW_YEAR_US + 10_000_000, 3)
    assert (outage.kind, outage.circuit, outage.reason) == ("endpoint", "grid", "closed to open")


def test_isolated_by_hand_is_no_outage() -> None:
    assert found_in((10, I), (20, C)) == []


def test_each_opening_is_an_outage_of_its_own() -> None:
    found = found_in((10, O), (12, H), (13, C), (50, O), (52, H), (60, C))
    assert [outage.seconds for outage in found] == [3, 10]


def test_circuits_and_runs_are_told_apart() -> None:
    rows = [
        *rows_of(*moves((10, O), (20, C))),
        *rows_of(*moves((10, O), (30, C), circuit="other")),
        *rows_of(*moves((10, O), (40, C), kind="browser")),
        *rows_of(*moves((10, O), (50, C)), sid="s2"),
    ]
    assert [outage.seconds for outage in outages(rows, {})] == [10, 20, 30, 40]


def test_generations_put_right_what_clocks_got_wrong() -> None:
    """Two processes tell of their transitions a moment too late, in the wrong order."""
    told = rows_of(*moves((10, O), (12, H), (12.001, C)))
    told[1]["changed_us"], told[2]["changed_us"] = told[2]["changed_us"], told[1]["changed_us"]
    [outage] = outages(sorted(told, key=lambda row: row["changed_us"]), {})
    assert outage.closed
    assert len(outage.trials) == 1


def test_circuits_that_were_not_shared_make_no_nonsense() -> None:
    """Two processes count for themselves: the first opening to the first closing is one."""
    one, two = moves((10, O), (12, H), (14, C)), moves((11, O), (13, H), (15, C))
    rows = sorted(rows_of(*one, *two), key=lambda row: row["changed_us"])
    assert [outage.seconds for outage in outages(rows, {})] == [4]


@pytest.fixture
def told(history: History, filled: Fill) -> History:
    """Three runs: the grid failed in two of them, a browser in one; one was killed."""
    history.merge(
        [
            filled(*moves((10, O), (12, H), (15, O), (20, H), (30, C)), session_id="s1"),
            filled(*moves((10, O)), session_id="s2"),
            filled(
                *moves((5, O), (7, H), (8, C), kind="browser", circuit="chrome"), session_id="s3"
            ),
        ]
    )
    return history


def test_figures_of_circuits_come_with_the_least_available_first(told: History) -> None:
    found = get_circuit_history(db=told.path)
    grid, chrome = found["circuits"]
    assert (grid["kind"], grid["circuit"], grid["state"]) == ("endpoint", "grid", "closed")
    assert (grid["sessions"], grid["openings"], grid["closed"]) == (2, 2, 1)
    assert (grid["failed_trials"], grid["open_seconds"]) == (1, 20.0)
    assert (grid["median_seconds"], grid["longest_seconds"]) == (10.0, 20.0)
    assert (grid["changed"], grid["reason"]) == (
        "2026-01-01T00:00:30.000000Z",
        "half-open to closed",
    )
    assert (chrome["circuit"], chrome["open_seconds"]) == ("chrome", 3.0)


def test_transitions_come_newest_first(told: History) -> None:
    found = get_circuit_history(db=told.path)["transitions"]
    moments = [row["changed_us"] for row in found]
    assert moments == sorted(moments, reverse=True)
    assert (len(found), found[0]["to_state"]) == (9, "closed")


def test_days_are_counted_back_from_today(told: History) -> None:
    def circuits(days: int, later: int) -> int:
        now_us = NEW_YEAR_US + later * DAY_US
        return len(get_circuit_history(days, db=told.path, now_us=lambda: now_us)["circuits"])

    assert (circuits(1, 0), circuits(2, 1), circuits(1, 1)) == (2, 2, 0)
    with pytest.raises(ValueError, match="days must be 1 or more, not 0"):
        get_circuit_history(0, db=told.path)


def test_a_history_without_circuits_has_none(history: History, filled: Fill) -> None:
    history.merge([filled(("attempt", {"nodeid": "t"}))])
    found = get_circuit_history(db=history.path)
    assert found == {"days": None, "circuits": [], "transitions": []}
