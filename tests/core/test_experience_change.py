"""`core.experience`: what counts no more, where hope ends, and what a recovery costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.experience import OUTCOMES_KEPT, Cell, unchanged
from pytest_resilience.core.selection import Experience
from tests.core.lessons import HERE, RESTART, THERE, experience, key, weighed


class TestChange:
    """What came before a change that is beyond doubt counts no more."""

    @pytest.mark.parametrize(
        ("recent", "since"),
        [
            pytest.param("", 0, id="nothing"),
            pytest.param("1" * 40, 40, id="nothing-but-cures"),
            pytest.param("1" * 30 + "000", 33, id="bad-luck"),
            pytest.param("1" * 30 + "00000", 5, id="a-change-for-the-worse"),
            pytest.param("0" * 30 + "11111", 5, id="a-change-for-the-better"),
            pytest.param("10" * 20, 40, id="half-and-half"),
            pytest.param("01" * 12 + "0" * 6, 30, id="half-and-half-and-bad-luck"),
            pytest.param("0" * 20 + "1" * 20, 20, id="long-ago"),
        ],
    )
    def test_as_many_outcomes_count_as_there_are_since_the_latest_one(
        self, recent: str, since: int
    ) -> None:
        assert unchanged(recent) == since
        cell = Cell(key(), recent, 1.0, 5)
        assert cell.renew() is (since < len(recent))
        assert cell.recent == recent[len(recent) - since :]

    def test_one_change_after_another_is_noticed(self) -> None:
        cell = Cell(key())
        for outcome in "1" * 20 + "0" * 10 + "1" * 10:
            cell.add(success=outcome == "1", cost_s=1.0)
            cell.renew()
        assert cell.recent == "1" * 10

    @given(st.text("01", max_size=OUTCOMES_KEPT))
    def test_cures_and_failures_are_treated_alike(self, recent: str) -> None:
        mirrored = recent.translate(str.maketrans("01", "10"))
        assert unchanged(mirrored) == unchanged(recent)
        assert (unchanged(recent) == 0) is (recent == "")

    @given(st.text("01", min_size=10, max_size=10))
    def test_ten_outcomes_tell_of_no_change(self, recent: str) -> None:
        """At the least: whatever is believed of the first ones was believed of so few."""
        if unchanged(recent) < 10:
            assert recent in ("1" * 5 + "0" * 5, "0" * 5 + "1" * 5)

    def test_a_change_in_one_situation_makes_the_others_doubtful(self) -> None:
        known = Experience(
            [Cell(key(), "1" * 30, 7.0, 30), Cell(key(tried="retry"), "1" * 30, 7.0, 30)]
        )
        other = [Cell(key("retry"), "0" * 9, 1.0, 9), Cell(key(environment=THERE), "11", 7.0, 2)]
        known = Experience([*known.cells, *other])
        for _ in range(5):
            known.record(key(), success=False, cost_s=7.0)
        recent = {cell.key: cell.recent for cell in known.cells}
        assert recent[key()] == "0" * 5
        assert recent[key(tried="retry")] == ""
        assert (recent[key("retry")], recent[key(environment=THERE)]) == ("0" * 9, "11")

    def test_what_it_costs_is_not_forgotten(self) -> None:
        known = Experience([Cell(key(), "1" * 30, 9.0, 50)])
        for _ in range(5):
            known.record(key(), success=False, cost_s=9.0)
        assert weighed(known).cost_s == pytest.approx((2 * 7 + 50 * 9) / 52)


class TestHope:
    """Where everything fails, it is likely that nothing helps."""

    def test_it_is_whole_until_something_fails(self) -> None:
        known = Experience([Cell(key(), "0" * 20, 7.0, 20)])
        assert known.hope(HERE, "gpu") == 1.0
        known.record(key(), success=True, cost_s=7.0)
        assert known.hope(HERE, "gpu") == 1.0

    def test_each_failure_of_each_strategy_makes_it_smaller(self) -> None:
        known = Experience()
        for strategy in ("retry", "retry", "restart", "reset"):
            known.record(key(strategy), success=False, cost_s=1.0)
        # Chances of 1/3, 1/2 and 1/2 if something helps.
        assert known.hope(HERE, "gpu") == pytest.approx(1 / (1 + 0.01 * 3 * 2 * 2))
        assert known.hope(THERE, "gpu") == known.hope(HERE, "driver") == 1.0

    def test_a_cure_by_anything_restores_it(self) -> None:
        known = Experience()
        for _ in range(50):
            known.record(key("retry"), success=False, cost_s=1.0)
        assert known.hope(HERE, "gpu") < 0.7
        known.record(key(), success=True, cost_s=7.0)
        assert known.hope(HERE, "gpu") == 1.0

    def test_a_later_run_begins_with_all_of_it(self) -> None:
        known = Experience()
        for _ in range(50):
            known.record(key("retry"), success=False, cost_s=1.0)
        assert Experience(known.cells).hope(HERE, "gpu") == 1.0

    def test_probability_bound_and_credit_shrink_with_it(self) -> None:
        known = Experience()
        before = weighed(known)
        for strategy in ("a", "b", "c", "d"):
            for _ in range(9):
                known.record(key(strategy), success=False, cost_s=1.0)
        hope, after = known.hope(HERE, "gpu"), weighed(known)
        assert hope == pytest.approx(1 / 101)
        assert after.p == pytest.approx(before.p * hope)
        assert after.credited == pytest.approx(before.credited * hope)
        assert after.p < after.upper < before.upper
        assert after.samples == before.samples


class TestCost:
    """What an execution costs: declared at first, measured soon."""

    def test_the_declared_cost_weighs_two_executions(self) -> None:
        assert weighed(Experience()).cost_s == 7.0
        known = experience((key(), "11", 3.0))
        assert weighed(known).cost_s == pytest.approx((2 * 7 + 2 * 3) / 4)

    def test_successes_and_failures_cost_alike(self) -> None:
        assert (
            weighed(experience((key(), "10", 3.0))).cost_s
            == weighed(experience((key(), "01", 3.0))).cost_s
        )

    def test_all_situations_are_taken_together(self) -> None:
        known = experience((key(), "1", 3.0), (key(tried="retry"), "1", 9.0))
        expected = pytest.approx((2 * 7 + 3 + 9) / 4)
        assert weighed(known).cost_s == expected
        assert weighed(known, RESTART, "retry").cost_s == expected

    def test_measured_costs_weigh_fifty_executions_at_most(self) -> None:
        known = experience((key(), "1" * 60, 3.0), (key(tried="retry"), "1" * 60, 3.0))
        assert weighed(known).cost_s == pytest.approx((2 * 7 + 50 * 3) / 52)

    def test_another_environment_weighs_two_executions_at_most(self) -> None:
        known = experience((key(environment=THERE), "1" * 30, 3.0))
        assert weighed(known).cost_s == pytest.approx((2 * 7 + 2 * 3) / 4)
        assert weighed(known, environment=THERE).cost_s == pytest.approx((2 * 7 + 30 * 3) / 32)
