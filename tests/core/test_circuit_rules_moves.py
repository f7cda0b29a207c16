"""Each move of a circuit from state to state, one at a time: what opens, closes and isolates it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_record import Bucket, CircuitRecord, Transition
from tests.core.circuit_records import (
    APART,
    CALM,
    CLOSED,
    CONFIG,
    FAILURE,
    HALF_OPEN,
    HIGH,
    ISOLATED,
    LOW,
    NOW,
    OPEN,
    OPENED,
    SUCCESS,
    TRYING,
    Fixed,
    failures,
)


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
