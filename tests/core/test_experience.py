"""`core.experience` and `selection.Experience`: what is remembered, and what it says."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.experience import COSTS_KEPT, OUTCOMES_KEPT, Cell, Key
from pytest_resilience.core.selection import Experience, Option, joined
from tests.core.lessons import HERE, RESTART, RETRY, THERE, experience, key, outcomes, weighed


class TestCell:
    """A cell remembers the newest outcomes, and what they cost on average."""

    @given(results=outcomes)
    def test_it_counts_the_newest_outcomes_alone(self, results: list[bool]) -> None:
        cell = Cell(key())
        for result in results:
            cell.add(success=result, cost_s=1.0)
        newest = results[-OUTCOMES_KEPT:]
        assert cell.successes == newest.count(True)
        assert cell.failures == newest.count(False)
        assert cell.executions == min(len(results), COSTS_KEPT)

    @given(costs=st.lists(st.floats(0, 1e4), min_size=1, max_size=COSTS_KEPT))
    def test_its_cost_is_the_mean_until_the_cap(self, costs: list[float]) -> None:
        cell = Cell(key())
        for cost_s in costs:
            cell.add(success=True, cost_s=cost_s)
        assert cell.mean_cost_s == pytest.approx(math.fsum(costs) / len(costs), abs=1e-6)

    def test_beyond_the_cap_a_cost_still_moves_the_mean_by_a_fiftieth(self) -> None:
        cell = Cell(key(), mean_cost_s=2.0, executions=COSTS_KEPT)
        cell.add(success=True, cost_s=102.0)
        assert (cell.mean_cost_s, cell.executions) == (4.0, COSTS_KEPT)

    @given(
        names=st.tuples(*[st.text(max_size=20)] * 4),
        recent=st.text("01", max_size=OUTCOMES_KEPT),
        cost_s=st.floats(0, 1e6),
        executions=st.integers(0, COSTS_KEPT),
    )
    def test_it_survives_being_written_as_json(
        self, names: tuple[str, str, str, str], recent: str, cost_s: float, executions: int
    ) -> None:
        cell = Cell(Key(*names), recent, cost_s, executions)
        assert Cell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            pytest.param({"recent": "012"}, ValueError, id="another-digit"),
            pytest.param({"executions": "many"}, ValueError, id="no-number"),
            pytest.param({"mean_cost_s": None}, TypeError, id="nothing"),
        ],
    )
    def test_what_is_no_cell_is_refused(
        self, change: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            Cell.from_dict({**Cell(key()).to_dict(), **change})

    def test_a_cell_without_a_part_of_its_key_is_refused(self) -> None:
        data = Cell(key()).to_dict()
        del data["tried"]
        with pytest.raises(KeyError):
            Cell.from_dict(data)


def test_what_was_tried_is_named_in_one_order() -> None:
    assert joined(["restart", "retry"]) == joined(["retry", "restart"]) == "restart+retry"
    assert joined([]) == ""


class TestProbability:
    """How likely a strategy cures, worked by hand from its outcomes."""

    @pytest.mark.parametrize("option", [RETRY, RESTART], ids=["cheap", "dear"])
    def test_of_the_unknown_a_half_is_believed_whatever_it_costs(self, option: Option) -> None:
        candidate = weighed(Experience(), option)
        assert (candidate.p, candidate.samples) == (0.5, 0)
        # A standard deviation of the even distribution is the root of a twelfth.
        assert candidate.upper == pytest.approx(0.5 + 1.64 * math.sqrt(1 / 12))

    def test_one_success_and_one_failure_are_believed_beside_it(self) -> None:
        candidate = weighed(experience((key(), "1101", 7.0)))
        assert candidate.p == pytest.approx(4 / 6)
        assert candidate.upper == pytest.approx(4 / 6 + 1.64 * math.sqrt(4 / 6 * 2 / 6 / 7))
        assert candidate.samples == 4

    def test_only_the_newest_forty_outcomes_count(self) -> None:
        cell = Cell(key(), "0" * 10, 7.0, 10)
        for number in range(80):
            cell.add(success=number % 2 == 0, cost_s=7.0)
        assert (cell.successes, cell.failures) == (20, 20)
        assert weighed(Experience([cell])).p == pytest.approx(21 / 42)

    def test_it_is_compared_with_seven_tenths_of_a_cure_to_its_credit(self) -> None:
        assert weighed(Experience()).credited == pytest.approx(1.7 / 2.7)
        assert weighed(Experience([Cell(key(), "1101", 7.0, 4)])).credited == pytest.approx(
            4.7 / 6.7
        )

    def test_after_a_failure_the_rate_in_all_situations_counts_as_four_outcomes(self) -> None:
        known = experience((key(), "111111", 7.0))
        # (1 + 6) / (2 + 6) of 4, and nothing seen in exactly this situation.
        assert weighed(known, RESTART, "retry").p == pytest.approx(7 / 8)

    def test_after_a_failure_the_own_outcomes_count_on_top(self) -> None:
        known = experience((key(), "111111", 7.0), (key(tried="retry"), "00", 7.0))
        rate = (1 + 6) / (2 + 8)
        assert weighed(known, RESTART, "retry").p == pytest.approx(4 * rate / (4 + 2))

    @pytest.mark.parametrize(
        ("seen", "expected"),
        [("1", 2 / 3), ("10", 2 / 4), ("1110", 4 / 6), ("1" * 18 + "00", (1 + 3.6) / 6)],
        ids=["one", "two", "four", "twenty-count-as-four"],
    )
    def test_for_a_first_choice_what_was_seen_later_counts_as_four_outcomes_at_most(
        self, seen: str, expected: float
    ) -> None:
        candidate = weighed(experience((key(tried="retry"), seen, 7.0)))
        assert candidate.p == pytest.approx(expected)
        assert candidate.samples == 0

    def test_the_order_in_which_things_were_tried_does_not_matter(self) -> None:
        known = experience((key("reset", tried="restart+retry"), "1111", 60.0))
        reset = Option("reset", 5, 60.0)
        one = weighed(known, reset, "retry", "restart")
        assert one == weighed(known, reset, "restart", "retry")
        assert one.samples == 4

    def test_another_environment_counts_as_two_outcomes_at_most(self) -> None:
        known = experience((key(environment=THERE), "1" * 15 + "0" * 5, 7.0))
        assert weighed(known).p == pytest.approx((1 + 2 * 0.75) / 4)
        assert weighed(known).samples == 0

    def test_one_outcome_of_another_environment_counts_as_one(self) -> None:
        known = experience((key(environment=THERE), "1", 7.0))
        assert weighed(known).p == pytest.approx(2 / 3)

    def test_all_other_environments_together_count_as_two(self) -> None:
        lessons = [(key(environment=f"env {n}"), "1" * 20, 7.0) for n in range(5)]
        assert weighed(experience(*lessons)).p == pytest.approx(3 / 4)

    def test_another_error_type_teaches_nothing(self) -> None:
        known = experience((key(error_type="driver"), "1" * 20, 99.0))
        assert weighed(known) == weighed(Experience())

    @given(
        own=outcomes,
        after=outcomes,
        foreign=outcomes,
        tried=st.sampled_from([(), ("retry",), ("retry", "reset")]),
    )
    def test_it_is_never_certain_and_the_bound_lies_above(
        self, own: list[bool], after: list[bool], foreign: list[bool], tried: tuple[str, ...]
    ) -> None:
        known = Experience()
        for of, results in (
            (key(), own),
            (key(tried=joined(tried)), after),
            (key(environment=THERE), foreign),
        ):
            for result in results:
                known.record(of, success=result, cost_s=1.0)
        candidate = weighed(known, RESTART, *tried)
        assert 0 < candidate.p < 1
        assert candidate.p < candidate.upper
        assert candidate.worst <= candidate.index

    @given(own=outcomes, after=outcomes, where=st.sampled_from(["", "retry", "reset+retry"]))
    def test_a_success_never_lowers_it_and_a_failure_never_raises_it(
        self, own: list[bool], after: list[bool], where: str
    ) -> None:
        for result in (True, False):
            known = Experience()
            for outcome in own:
                known.record(key(), success=outcome, cost_s=1.0)
            for outcome in after:
                known.record(key(tried=where), success=outcome, cost_s=1.0)
            tried = where.split("+") if where else []
            before = weighed(known, RESTART, *tried).p
            known.record(key(tried=where), success=result, cost_s=1.0)
            change = weighed(known, RESTART, *tried).p - before
            assert change >= -1e-12 if result else change <= 1e-12


class TestCells:
    """What was learned goes out and in as cells."""

    def test_cells_of_one_run_are_the_beginning_of_the_next(self) -> None:
        known = experience(
            (key(), "1101", 7.0),
            (key("retry"), "0", 1.0),
            (key(environment=THERE), "1", 2.0),
            (key(tried="retry"), "11", 9.0),
        )
        again = Experience(known.cells)
        assert sorted(map(repr, again.cells)) == sorted(map(repr, known.cells))
        assert len(again.cells) == 4
        assert weighed(again, RESTART, "retry") == weighed(known, RESTART, "retry")

    def test_nobody_elses_cell_is_changed(self) -> None:
        cell = Cell(key(), "1", 2.0, 1)
        known = Experience([cell])
        known.cells[0].add(success=False, cost_s=9.0)
        known.record(key(), success=False, cost_s=4.0)
        assert cell == Cell(key(), "1", 2.0, 1)
        assert known.cells == (Cell(key(), "10", 3.0, 2),)

    def test_scores_are_looked_up_when_weighing(self) -> None:
        scores: dict[tuple[str, str], float] = {}
        known = Experience((), scores)
        assert weighed(known).score == 0.5
        scores["gpu", "restart"] = 0.9
        assert weighed(known).score == 0.9
        assert weighed(known, RETRY).score == 0.5

    def test_a_candidate_is_made_of_each_option_in_order_also_of_tried_ones(self) -> None:
        candidates = Experience().weigh(
            [RESTART, RETRY], environment=HERE, error_type="gpu", tried=frozenset({"retry"})
        )
        assert [(c.strategy, c.level) for c in candidates] == [("restart", 3), ("retry", 1)]
