"""Each thing that can happen to a circuit, one at a time, with the figures that it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import (
    Bucket,
    CircuitRecord,
    CircuitState,
    Lease,
    Outcome,
    Transition,
)

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED
FAILURE, SUCCESS, IGNORED = Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED

CONFIG = CircuitConfig(failure_threshold=3, recovery_timeout=60, half_open_after=8, lease_s=20)
NOW = 1000.0


class Fixed:
    """Chance that always draws the same."""

    def __init__(self, number: float = 0.0) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


LOW, HIGH = Fixed(0.0), Fixed(0.5)

CALM = CircuitRecord(changed_at=990.0)
OPENED = CircuitRecord(
    state=OPEN,
    generation=1,
    opened_at=990.0,
    probe_after=998.0,
    open_until=1050.0,
    consecutive_failures=3,
    failures=3,
    last_reason="3 failures in a row: refused",
    changed_at=990.0,
)
TRYING = CircuitRecord(
    state=HALF_OPEN,
    generation=2,
    opened_at=930.0,
    open_until=990.0,
    leases=(Lease(7, 995.0),),
    last_permit=7,
    changed_at=995.0,
)
APART = CircuitRecord(state=ISOLATED, generation=4, changed_at=990.0, last_reason="by hand")


def failures(record: CircuitRecord, *times: float, config: CircuitConfig = CONFIG) -> Any:
    """Return the record, and the transitions, after failures at `times`."""
    moves: tuple[Transition, ...] = ()
    for now in times:
        record, _, more = rules.report(
            record, config, now, LOW, outcome=FAILURE, reason=f"refused at {now:g}"
        )
        moves += more
    return record, moves


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
        told = {"outcome": outcome, "generation": generation, "number": number}
        after, counts, moves = rules.report(before, CONFIG, NOW, LOW, **told)  # type: ignore[arg-type]
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


class TestOpening:
    """When a closed circuit opens, and for how long."""

    def test_so_many_failures_in_a_row_open_it(self) -> None:
        record, moves = failures(CALM, 998.0, 999.0)
        assert record.state is CLOSED
        record, moves = failures(record, NOW)
        assert record == CALM._replace(
            state=OPEN,
            generation=1,
            opened_at=NOW,
            probe_after=NOW + 8,
            open_until=NOW + 60,
            consecutive_failures=3,
            failures=3,
            last_reason="3 failures in a row: refused at 1000",
            changed_at=NOW,
        )
        reason = "3 failures in a row: refused at 1000"
        assert moves == (Transition("", "", 1, CLOSED, OPEN, reason, NOW, 3, 3, 3, 1.0, 0),)

    def test_without_a_reason_the_row_is_reason_enough(self) -> None:
        config = replace(CONFIG, failure_threshold=1)
        record, _, moves = rules.report(CALM, config, NOW, LOW, outcome=FAILURE)
        assert moves[0].reason == "a failure"
        assert record.last_reason == "a failure"

    def test_a_share_of_failures_opens_it_once_there_are_enough_calls(self) -> None:
        config = replace(CONFIG, minimum_calls=4)
        record, _ = failures(CALM, 996.0, config=config)
        record, _, _ = rules.report(record, config, 997.0, LOW, outcome=SUCCESS)
        record, moves = failures(record, 998.0, config=config)
        assert moves == ()
        record, _, _ = rules.report(record, config, 999.0, LOW, outcome=SUCCESS)
        assert record.state is CLOSED
        record, (move,) = failures(record, NOW, config=config)
        assert move.reason == "3 of 5 calls failed within 60 s: refused at 1000"
        assert (move.failures, move.calls, move.rate, move.consecutive_failures) == (3, 5, 0.6, 1)

    def test_exactly_the_share_opens_it_and_less_does_not(self) -> None:
        for rate, state in ((0.5, OPEN), (0.51, CLOSED)):
            config = replace(CONFIG, minimum_calls=4, failure_rate=rate)
            record = CALM._replace(window=(Bucket(166, 2, 1),))
            record, _ = failures(record, NOW, config=config)
            assert record.state is state

    def test_calls_that_have_aged_out_do_not_count_for_the_share(self) -> None:
        record = CALM._replace(window=(Bucket(156, 0, 9), Bucket(157, 3, 0)))
        record, moves = failures(record, NOW)
        assert (record.state, moves) == (CLOSED, ())

    def test_a_rising_trend_opens_it_if_it_is_predictive(self) -> None:
        calm, worse = Bucket(158, 6, 0, 6, 600), Bucket(166, 5, 2, 7, 4000)
        for predictive, state in ((False, CLOSED), (True, OPEN)):
            config = replace(CONFIG, predictive=predictive)
            before = CALM._replace(window=(calm, worse))
            record, _, moves = rules.report(
                before, config, NOW, LOW, outcome=FAILURE, reason="slow", seconds=9.0
            )
            assert record.state is state
            reasons = [move.reason for move in moves]
            assert reasons == ["latency and failures are rising within 60 s: slow"] * predictive

    def test_a_success_never_opens_it(self) -> None:
        record = CALM._replace(window=(Bucket(166, 0, 4),))
        assert rules.report(record, CONFIG, NOW, LOW, outcome=SUCCESS)[0].state is CLOSED

    @pytest.mark.parametrize(
        ("reopenings", "chance", "interval"),
        [
            pytest.param(0, LOW, 8.0, id="first"),
            pytest.param(0, HIGH, 8.4, id="up-to-a-tenth-more"),
            pytest.param(1, LOW, 16.0, id="twice"),
            pytest.param(2, HIGH, 33.6, id="four-times"),
            pytest.param(3, LOW, 60.0, id="longest"),
        ],
    )
    def test_the_interval_doubles_up_to_the_longest(
        self, reopenings: int, chance: Fixed, interval: float
    ) -> None:
        assert rules.open_interval(CONFIG, reopenings, chance) == pytest.approx(interval)

    @pytest.mark.parametrize(
        ("record", "now", "reopenings"),
        [
            pytest.param(CALM._replace(reopenings=2), NOW, 0, id="new"),
            pytest.param(TRYING, NOW, 1, id="trial"),
            pytest.param(TRYING._replace(reopenings=2, closed_at=1.0), NOW, 3, id="trial-again"),
            pytest.param(TRYING._replace(reopenings=3), NOW, 3, id="trial-at-the-longest"),
            pytest.param(CALM._replace(closed_at=940.1), NOW, 1, id="soon-after-closing"),
            pytest.param(CALM._replace(closed_at=940.0), NOW, 0, id="a-healthy-interval"),
            pytest.param(CALM._replace(closed_at=880.0), NOW, 0, id="never-below-none"),
            pytest.param(CALM._replace(closed_at=880.0, reopenings=2), NOW, 1, id="two-intervals"),
            pytest.param(
                CALM._replace(closed_at=880.0, reopenings=9), NOW, 1, id="from-the-longest"
            ),
        ],
    )
    def test_reopenings_add_up_and_healthy_time_takes_them_away(
        self, record: CircuitRecord, now: float, reopenings: int
    ) -> None:
        assert rules.next_reopenings(record, CONFIG, now) == reopenings
        opened, _, _ = rules.trip(record, CONFIG, now, LOW, reason="")
        assert opened.reopenings == reopenings

    @pytest.mark.parametrize(
        ("half_open_after", "growth", "most"),
        [(8, 2, 3), (60, 2, 0), (30, 2, 1), (7.5, 2, 3), (59, 1.1, 1), (0, 2, 30), (1, 1, 30)],
    )
    def test_they_are_counted_until_the_interval_is_the_longest(
        self, half_open_after: float, growth: float, most: int
    ) -> None:
        config = replace(CONFIG, half_open_after=half_open_after, growth=growth)
        assert rules.most_reopenings(config) == most


class TestClosing:
    """What a half-open circuit makes of its trials."""

    def test_so_many_successes_close_it(self) -> None:
        record, counts, moves = rules.report(
            TRYING, CONFIG, NOW, LOW, outcome=SUCCESS, generation=2, number=7
        )
        assert (counts, moves, record.state) == (True, (), HALF_OPEN)
        record, _, _ = rules.acquire(record, CONFIG, 1001.0, LOW)
        record, counts, moves = rules.report(
            record, CONFIG, 1002.0, LOW, outcome=SUCCESS, generation=2, number=8
        )
        assert counts
        assert record == TRYING._replace(
            state=CLOSED,
            generation=3,
            closed_at=1002.0,
            leases=(),
            last_permit=8,
            successes=2,
            changed_at=1002.0,
        )
        reason = "2 trials in a row succeeded"
        assert moves == (Transition("", "", 3, HALF_OPEN, CLOSED, reason, 1002.0, calls=2),)

    def test_one_may_be_enough(self) -> None:
        config = replace(CONFIG, success_threshold=1)
        _, _, (move,) = rules.report(TRYING, config, NOW, LOW, outcome=SUCCESS)
        assert (move.to_state, move.reason) == (CLOSED, "a trial succeeded")

    def test_one_failure_opens_it_again(self) -> None:
        record, counts, (move,) = rules.report(
            TRYING._replace(reopenings=1),
            CONFIG,
            NOW,
            LOW,
            outcome=FAILURE,
            reason="refused",
            generation=2,
            number=7,
        )
        assert counts
        assert (record.state, record.generation, record.reopenings) == (OPEN, 3, 2)
        assert record.probe_after == NOW + 32
        assert record.failures == 1
        assert (move.from_state, move.reason) == (HALF_OPEN, "a trial failed: refused")

    def test_a_success_in_a_closed_circuit_closes_nothing(self) -> None:
        record = CALM._replace(consecutive_successes=9)
        assert rules.report(record, CONFIG, NOW, LOW, outcome=SUCCESS)[2] == ()


class TestTrip:
    """Hard evidence."""

    @pytest.mark.parametrize("record", [CALM, TRYING], ids=lambda r: r.state.value)
    def test_it_opens_at_once(self, record: CircuitRecord) -> None:
        after, done, (move,) = rules.trip(record, CONFIG, NOW, LOW, reason="the grid has no node")
        assert done
        assert (after.state, after.opened_at, after.open_until) == (OPEN, NOW, NOW + 60)
        assert after.last_reason == move.reason == "the grid has no node"
        assert after.leases == ()

    def test_it_needs_no_reason(self) -> None:
        assert rules.trip(CALM, CONFIG, NOW, LOW, reason="")[2][0].reason == "told to open"

    @pytest.mark.parametrize("record", [OPENED, APART], ids=lambda r: r.state.value)
    def test_what_is_open_is_left_as_it_is(self, record: CircuitRecord) -> None:
        assert rules.trip(record, CONFIG, NOW, LOW, reason="x") == (record, False, ())

    def test_the_figures_are_of_calls_that_count(self) -> None:
        record = CALM._replace(window=(Bucket(156, 9, 9), Bucket(157, 3, 1)))
        _, _, (move,) = rules.trip(record, CONFIG, NOW, LOW, reason="x")
        assert (move.failures, move.calls, move.rate) == (1, 4, 0.25)

    def test_time_goes_first(self) -> None:
        record, done, moves = rules.trip(OPENED, CONFIG, 1050.0, LOW, reason="x")
        assert done
        assert [move.to_state for move in moves] == [HALF_OPEN, OPEN]
        assert record.reopenings == 1


class TestProbed:
    """Cheap looks at its health."""

    def test_a_good_one_half_opens_when_it_is_due(self) -> None:
        record, done, (move,) = rules.probed(OPENED, CONFIG, 998.0, LOW, ok=True)
        assert done
        assert (record.state, record.consecutive_failures) == (HALF_OPEN, 0)
        assert (move.to_state, move.reason) == (HALF_OPEN, "a health probe succeeded")
        assert record.last_reason == OPENED.last_reason

    @pytest.mark.parametrize(
        ("record", "now", "ok"),
        [
            pytest.param(OPENED, 997.9, True, id="too-early"),
            pytest.param(OPENED, NOW, False, id="bad"),
            pytest.param(CALM, NOW, True, id="closed"),
            pytest.param(CALM, NOW, False, id="closed-and-bad"),
            pytest.param(TRYING, NOW, True, id="half-open"),
            pytest.param(TRYING, NOW, False, id="half-open-and-bad"),
            pytest.param(APART, NOW, True, id="isolated"),
        ],
    )
    def test_others_change_nothing(self, record: CircuitRecord, now: float, ok: bool) -> None:
        assert rules.probed(record, CONFIG, now, LOW, ok=ok) == (record, False, ())

    def test_time_goes_first(self) -> None:
        record, done, moves = rules.probed(OPENED, CONFIG, 1050.0, LOW, ok=True)
        assert (record.state, done, len(moves)) == (HALF_OPEN, False, 1)


class TestByHand:
    """Isolating and resetting."""

    @pytest.mark.parametrize("record", [CALM, OPENED, TRYING], ids=lambda r: r.state.value)
    def test_it_can_be_isolated_from_any_state(self, record: CircuitRecord) -> None:
        after, done, (move,) = rules.isolate(record, CONFIG, NOW, LOW, reason="")
        assert done
        assert (after.state, after.leases) == (ISOLATED, ())
        assert after.last_reason == move.reason == "isolated by hand"
        assert rules.isolate(after, CONFIG, NOW, LOW, reason="x") == (after, False, ())

    def test_the_reason_is_told(self) -> None:
        assert rules.isolate(CALM, CONFIG, NOW, LOW, reason="x")[2][0].reason == "x"
        assert rules.reset(APART, CONFIG, NOW, LOW, reason="y")[2][0].reason == "y"

    @pytest.mark.parametrize("record", [OPENED, TRYING, APART], ids=lambda r: r.state.value)
    def test_a_reset_closes_and_forgets_how_often_it_opened(self, record: CircuitRecord) -> None:
        before = record._replace(reopenings=3, closed_at=5.0)
        after, done, (move,) = rules.reset(before, CONFIG, NOW, LOW, reason="")
        assert done
        assert after == before._replace(
            state=CLOSED,
            generation=record.generation + 1,
            reopenings=0,
            closed_at=None,
            leases=(),
            consecutive_failures=0,
            last_reason="",
            changed_at=NOW,
        )
        assert (move.to_state, move.reason) == (CLOSED, "reset by hand")

    def test_a_reset_of_a_closed_circuit_forgets_its_calls_and_is_no_transition(self) -> None:
        before, _ = failures(CALM._replace(reopenings=3, closed_at=5.0), 998.0, 999.0)
        before = before._replace(consecutive_successes=1)
        after, done, moves = rules.reset(before, CONFIG, NOW, LOW, reason="")
        assert (done, moves) == (False, ())
        assert after == CALM._replace(failures=2, changed_at=NOW)

    def test_time_goes_first(self) -> None:
        for rule in (rules.isolate, rules.reset):
            _, _, moves = rule(OPENED, CONFIG, 1050.0, LOW, reason="x")
            assert [move.generation for move in moves] == [2, 3]


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
