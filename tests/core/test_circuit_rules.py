"""Each thing that can happen to a circuit, one at a time: permits, reports, time alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_record import Bucket, CircuitRecord, Lease, Outcome, Transition
from tests.core.circuit_records import (
    APART,
    CALM,
    CLOSED,
    CONFIG,
    FAILURE,
    HALF_OPEN,
    HIGH,
    IGNORED,
    LOW,
    NOW,
    OPEN,
    OPENED,
    SUCCESS,
    TRYING,
    failures,
)


class TestSettle:
    """What time alone does."""

    @pytest.mark.parametrize(
        ("record", "now"),
        [
            pytest.param(CALM, NOW, id="closed"),
            pytest.param(CALM, CALM.changed_at, id="at-once"),
            pytest.param(OPENED, 1049.9, id="open"),
            pytest.param(TRYING, 1014.9, id="half-open"),
            pytest.param(APART, 1e9, id="isolated"),
        ],
    )
    def test_before_its_time_nothing_changes(self, record: CircuitRecord, now: float) -> None:
        assert rules.settle(record, CONFIG, now, LOW) == (record, ())
        assert not rules.is_due(record, CONFIG, now)

    def test_an_open_circuit_half_opens_when_its_time_is_over(self) -> None:
        record, moves = rules.settle(OPENED, CONFIG, 1050.0, LOW)
        assert rules.is_due(OPENED, CONFIG, 1050.0)
        assert record == OPENED._replace(
            state=HALF_OPEN, generation=2, consecutive_failures=0, changed_at=1050.0
        )
        assert moves == (Transition("", "", 2, OPEN, HALF_OPEN, "60 s have passed", 1050.0, 3),)

    def test_a_trial_without_a_result_reopens_as_of_its_beginning(self) -> None:
        assert rules.is_due(TRYING, CONFIG, 1015.0)
        record, moves = rules.settle(TRYING, CONFIG, 1015.0, HIGH)
        assert record == TRYING._replace(
            state=OPEN,
            generation=3,
            reopenings=1,
            opened_at=995.0,
            probe_after=995.0 + 16 * 1.05,
            open_until=1055.0,
            leases=(),
            failures=1,
            last_reason="a trial had no result after 20 s",
            changed_at=1015.0,
        )
        reason = "a trial had no result after 20 s"
        assert moves == (Transition("", "", 3, HALF_OPEN, OPEN, reason, 1015.0, reopenings=1),)

    def test_a_trial_that_hung_for_the_whole_interval_makes_room_at_once(self) -> None:
        config = replace(CONFIG, lease_s=60.0)
        record, moves = rules.settle(TRYING, config, 1055.0, LOW)
        assert [move.to_state for move in moves] == [OPEN, HALF_OPEN]
        assert [move.generation for move in moves] == [3, 4]
        assert rules.acquire(record, config, 1055.0, LOW)[1] == 8

    def test_the_trial_that_is_overdue_counts_not_the_other(self) -> None:
        record = TRYING._replace(leases=(Lease(8, 1010.0), Lease(7, 995.0)))
        assert rules.settle(record, CONFIG, 1015.0, LOW)[0].opened_at == 995.0

    def test_a_clock_that_went_back_shifts_all_times(self) -> None:
        record, moves = rules.settle(OPENED, CONFIG, 90.0, LOW)
        assert rules.is_due(OPENED, CONFIG, 90.0)
        assert record == OPENED.shifted(-900.0)
        assert moves == ()
        assert rules.settle(record, CONFIG, 150.0, LOW)[0].state is HALF_OPEN

    @pytest.mark.parametrize("now", [0.0, 989.0, 31_536_000.0 + NOW])
    def test_a_clock_step_opens_nothing_and_forgets_calls_at_most(self, now: float) -> None:
        record, _ = failures(CALM, 991.0, 992.0)
        after, _, moves = rules.report(record, CONFIG, now, LOW, outcome=SUCCESS)
        assert after.state is CLOSED
        assert moves == ()


class TestAcquire:
    """Who may call."""

    def test_a_closed_circuit_grants_and_is_not_changed(self) -> None:
        assert rules.acquire(CALM, CONFIG, NOW, LOW) == (CALM, 0, ())

    @pytest.mark.parametrize("record", [OPENED, APART, TRYING], ids=lambda r: r.state.value)
    def test_others_refuse_and_count_it(self, record: CircuitRecord) -> None:
        refused = record._replace(refused=1, changed_at=NOW)
        assert rules.acquire(record, CONFIG, NOW, LOW) == (refused, None, ())
        again, _, _ = rules.acquire(refused, CONFIG, NOW, LOW)
        assert again.refused == 2

    def test_a_half_open_circuit_gives_away_as_many_trials_as_it_has(self) -> None:
        config = replace(CONFIG, probes=2)
        record, number, moves = rules.acquire(TRYING, config, NOW, LOW)
        leases = (Lease(7, 995.0), Lease(8, NOW))
        assert record == TRYING._replace(leases=leases, last_permit=8, changed_at=NOW)
        assert (number, moves) == (8, ())
        assert rules.acquire(record, config, NOW, LOW)[1] is None

    def test_the_first_to_ask_after_its_time_gets_the_trial(self) -> None:
        record, number, moves = rules.acquire(OPENED, CONFIG, 1050.0, LOW)
        assert number == 1
        assert record.leases == (Lease(1, 1050.0),)
        assert [move.to_state for move in moves] == [HALF_OPEN]


class TestReport:
    """How calls end."""

    def test_a_failure_is_counted_with_its_reason(self) -> None:
        record, counts, moves = rules.report(
            CALM._replace(consecutive_successes=3, successes=3),
            CONFIG,
            NOW,
            LOW,
            outcome=FAILURE,
            reason="refused\nby the grid",
            seconds=0.5,
        )
        assert (counts, moves) == (True, ())
        assert record == CALM._replace(
            window=(Bucket(166, 0, 1, 1, 500),),
            consecutive_failures=1,
            consecutive_successes=0,
            successes=3,
            failures=1,
            last_reason="refused by the grid",
            changed_at=NOW,
        )

    def test_a_success_is_counted_and_ends_the_row(self) -> None:
        before, _ = failures(CALM, 998.0, 999.0)
        record, counts, moves = rules.report(before, CONFIG, NOW, LOW, outcome=SUCCESS, seconds=2)
        assert (counts, moves) == (True, ())
        assert record == before._replace(
            window=(Bucket(166, 1, 2, 1, 2000),),
            consecutive_failures=0,
            consecutive_successes=1,
            successes=1,
            changed_at=NOW,
        )

    def test_rows_are_counted_on(self) -> None:
        before = CALM._replace(consecutive_successes=4, successes=6)
        record, _, _ = rules.report(before, CONFIG, NOW, LOW, outcome=SUCCESS)
        assert (record.consecutive_successes, record.successes) == (5, 7)

    def test_an_ignored_call_frees_its_trial_and_nothing_else(self) -> None:
        before = TRYING._replace(leases=(Lease(6, 994.0), Lease(7, 995.0)), ignored=4)
        record, counts, moves = rules.report(
            before, CONFIG, NOW, LOW, outcome=IGNORED, generation=2, number=7
        )
        assert (counts, moves) == (True, ())
        assert record == before._replace(leases=(Lease(6, 994.0),), ignored=5, changed_at=NOW)

    def test_a_call_without_a_permit_frees_none(self) -> None:
        before = TRYING._replace(leases=(Lease(1, 995.0),))
        record, counts, _ = rules.report(before, CONFIG, NOW, LOW, outcome=SUCCESS)
        assert counts
        assert record.leases == before.leases

    @pytest.mark.parametrize("outcome", Outcome)
    @pytest.mark.parametrize(
        ("record", "generation", "number"),
        [
            pytest.param(CALM._replace(generation=2), 1, 0, id="closed-since"),
            pytest.param(TRYING, 1, 7, id="half-open-since"),
            pytest.param(TRYING, 2, 8, id="reported-before"),
            pytest.param(TRYING, 2, 0, id="no-trial"),
            pytest.param(OPENED, 0, 0, id="opened-since"),
            pytest.param(OPENED, 1, 0, id="never-granted"),
            pytest.param(OPENED, None, 0, id="without-a-permit"),
            pytest.param(APART, 3, 0, id="isolated-since"),
            pytest.param(APART, None, 0, id="isolated-without-a-permit"),
        ],
    )
    def test_what_is_stale_changes_nothing(
        self, record: CircuitRecord, generation: int | None, number: int, outcome: Outcome
    ) -> None:
        before = record._replace(stale=5)
        told: dict[str, Any] = {"outcome": outcome, "generation": generation, "number": number}
        after, counts, moves = rules.report(before, CONFIG, NOW, LOW, **told)
        assert (counts, moves) == (False, ())
        assert after == before._replace(stale=6, changed_at=NOW)

    def test_a_call_that_comes_with_the_end_of_its_lease_is_stale(self) -> None:
        record, counts, moves = rules.report(
            TRYING, CONFIG, 1015.0, LOW, outcome=SUCCESS, generation=2, number=7
        )
        assert not counts
        assert record.state is OPEN
        assert record.stale == 1
        assert len(moves) == 1


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        pytest.param(rules.acquire, {}, id="acquire"),
        pytest.param(rules.report, {"outcome": SUCCESS}, id="report"),
        pytest.param(rules.trip, {"reason": "x"}, id="trip"),
        pytest.param(rules.probed, {"ok": False}, id="probed"),
        pytest.param(rules.isolate, {"reason": "x"}, id="isolate"),
        pytest.param(rules.reset, {"reason": "x"}, id="reset"),
    ],
)
def test_whatever_happens_a_trial_that_is_overdue_is_seen_first(rule: Any, what: Any) -> None:
    settled, (opening,) = rules.settle(TRYING, CONFIG, 1015.0, HIGH)
    after, _, moves = rule(TRYING, CONFIG, 1015.0, HIGH, **what)
    assert moves[0] == opening
    assert after.probe_after == settled.probe_after == 995.0 + 16 * 1.05
