"""`core.adaptive`: time-outs that are learned, and what keeps them from learning nonsense."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.adaptive import (
    QuantileTimeout,
    StepTimeout,
    TimeoutRule,
    quantile,
    rule_from_dict,
)

observations = st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=90)
RULES: dict[str, type[QuantileTimeout] | type[StepTimeout]] = {
    "quantile": QuantileTimeout,
    "step": StepTimeout,
}
each_rule = pytest.mark.parametrize("name", RULES)


def taught(rule: TimeoutRule, *seconds: float, timed_out: bool = False) -> TimeoutRule:
    for duration in seconds:
        rule.observe(duration, timed_out)
    return rule


class TestQuantile:
    """The quantile of durations of which some are only known to be longer."""

    def test_without_cuts_it_is_one_of_the_durations(self) -> None:
        durations = [(float(n), False) for n in range(1, 101)]
        assert quantile(durations, 0.95) == 95.0
        assert quantile(durations, 1.0) == 100.0

    def test_what_was_cut_off_counts_as_longer(self) -> None:
        # Four of eight are cut off at 3; of the other four, two end before and two after.
        durations = [(1.0, False), (2.0, False), *[(3.0, True)] * 4, (4.0, False), (5.0, False)]
        # 6 of 8 last beyond 2, and half of those in sight beyond 4: 3 of 8.
        assert quantile(durations, 0.25) == 2.0
        assert quantile(durations, 0.5) == 4.0
        assert quantile(durations, 0.63) == 5.0

    def test_a_cut_at_the_same_time_as_an_end_comes_after_it(self) -> None:
        assert quantile([(5.0, True), (5.0, False)], 0.5) == 5.0
        assert quantile([(5.0, True), (5.0, False), (9.0, False)], 0.5) == 9.0

    def test_beyond_what_was_seen_the_longest_stands_for_it(self) -> None:
        assert quantile([(1.0, False), (7.0, True), (3.0, True)], 0.95) == 7.0

    def test_of_nothing_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            quantile([], 0.95)

    @given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
    def test_without_cuts_at_least_the_share_does_not_exceed_it(
        self, seconds: list[float], share: float
    ) -> None:
        found = quantile([(s, False) for s in seconds], share)
        within = sum(s <= found for s in seconds)
        assert within >= math.floor(share * len(seconds))
        assert found in seconds

    @given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1), st.floats(0.01, 0.99))
    def test_to_know_less_never_shortens_it(
        self, durations: list[tuple[float, bool]], share: float
    ) -> None:
        whole = [(seconds, False) for seconds, _ in durations]
        assert quantile(durations, share) >= quantile(whole, share)


class TestQuantileTimeout:
    """Twice the 95th percentile, doubled while time-outs strike."""

    def test_of_the_first_one_nothing_is_known_but_the_ceiling(self) -> None:
        assert QuantileTimeout().timeout_s == 300.0

    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [(0.1, 60.0), (10.0, 100.0), (200.0, 300.0)],
        ids=["a-minute-at-least", "ten-times-the-longest", "never-above-the-ceiling"],
    )
    def test_until_ten_durations_are_known_it_is_generous(
        self, seconds: float, expected: float
    ) -> None:
        rule = QuantileTimeout()
        for _ in range(9):
            rule.observe(seconds, False)
            assert rule.timeout_s == expected
        rule.observe(seconds, False)
        assert rule.timeout_s == max(5.0, min(300.0, 2 * seconds))

    def test_an_early_time_out_doubles_it_too(self) -> None:
        rule = taught(QuantileTimeout(), 2.0)
        assert taught(rule, 25.0, timed_out=True).timeout_s == 300.0
        assert taught(QuantileTimeout(), 2.0, 3.0).timeout_s == 60.0

    def test_it_is_twice_the_95th_percentile(self) -> None:
        rule = taught(QuantileTimeout(), *range(1, 61))
        assert rule.timeout_s == 2 * 57.0

    def test_each_time_out_doubles_it_until_one_ends_by_itself(self) -> None:
        rule = taught(QuantileTimeout(), *[10.0] * 60)
        seen = []
        for _ in range(3):
            rule.observe(20.0, True)
            seen.append(rule.timeout_s)
        assert seen == [40.0, 80.0, 160.0]
        rule.observe(10.0, False)
        assert rule.timeout_s == 20.0

    def test_time_outs_are_no_lesson_that_things_are_quick(self) -> None:
        rule = QuantileTimeout()
        for number in range(60):
            # Every tenth is cut off; a quantile of the others alone would be 20.
            rule.observe(*((20.0, True) if number % 10 == 0 else (10.0, False)))
        assert rule.timeout_s == 40.0

    def test_only_the_newest_sixty_durations_count(self) -> None:
        rule = taught(taught(QuantileTimeout(), *[100.0] * 60), *[10.0] * 57)
        assert rule.timeout_s == 20.0
        assert len(rule.to_dict()["durations"]) == 60

    @pytest.mark.parametrize(
        ("seconds", "expected"), [(0.1, 5.0), (200.0, 300.0)], ids=["floor", "ceiling"]
    )
    def test_it_stays_within_its_bounds(self, seconds: float, expected: float) -> None:
        assert taught(QuantileTimeout(), *[seconds] * 20).timeout_s == expected

    def test_the_bounds_can_be_set(self) -> None:
        assert taught(QuantileTimeout(floor_s=1.0), *[0.1] * 20).timeout_s == 1.0
        assert QuantileTimeout(ceiling_s=30.0).timeout_s == 30.0

    def test_a_time_out_doubles_the_floor_too(self) -> None:
        rule = taught(QuantileTimeout(), *[0.1] * 20)
        assert taught(rule, 5.0, timed_out=True).timeout_s == 10.0


class TestStepTimeout:
    """A tenth down, half up."""

    def test_it_begins_where_it_is_told_to(self) -> None:
        assert StepTimeout(base_s=40.0).timeout_s == 40.0

    def test_a_success_takes_a_tenth_but_never_more_than_half_in_all(self) -> None:
        rule = taught(StepTimeout(base_s=40.0), 1.0)
        assert rule.timeout_s == pytest.approx(36.0)
        assert taught(rule, 1.0).timeout_s == pytest.approx(32.4)
        assert taught(rule, *[1.0] * 20).timeout_s == 20.0

    def test_successes_end_at_the_floor(self) -> None:
        assert taught(StepTimeout(base_s=8.0), *[1.0] * 20).timeout_s == 5.0

    def test_a_time_out_adds_a_half_up_to_the_ceiling(self) -> None:
        rule = taught(StepTimeout(base_s=40.0), 40.0, timed_out=True)
        assert rule.timeout_s == 60.0
        assert taught(rule, *[60.0] * 20, timed_out=True).timeout_s == 300.0


class TestEveryRule:
    """What holds of both."""

    @each_rule
    @given(seen=observations, more=observations)
    def test_it_goes_on_from_json_as_if_nothing_had_happened(
        self, name: str, seen: list[tuple[float, bool]], more: list[tuple[float, bool]]
    ) -> None:
        rule = RULES[name]()
        for seconds, timed_out in seen:
            rule.observe(seconds, timed_out)
        again = rule_from_dict(json.loads(json.dumps(rule.to_dict())))
        assert again == rule
        for seconds, timed_out in more:
            rule.observe(seconds, timed_out)
            again.observe(seconds, timed_out)
        assert again.timeout_s == rule.timeout_s

    @each_rule
    @given(seen=observations)
    def test_it_lies_within_bounds_whatever_is_seen(
        self, name: str, seen: list[tuple[float, bool]]
    ) -> None:
        rule = RULES[name]()
        for seconds, timed_out in seen:
            rule.observe(seconds, timed_out)
            assert 5.0 <= rule.timeout_s <= 300.0

    @each_rule
    @given(seen=observations)
    def test_a_time_out_never_shortens_it(self, name: str, seen: list[tuple[float, bool]]) -> None:
        rule = RULES[name]()
        for seconds, timed_out in seen:
            rule.observe(seconds, timed_out)
        for _ in range(3):
            before = rule.timeout_s
            rule.observe(before, True)
            # The tenth observation is the first that is believed.
            if name == "step" or len(seen) >= 10:
                assert rule.timeout_s >= min(before, 300.0)

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            pytest.param({}, KeyError, id="nothing"),
            pytest.param({"rule": "luck"}, ValueError, id="another-rule"),
            pytest.param({"rule": "quantile"}, KeyError, id="no-durations"),
            pytest.param({"rule": "quantile", "durations": [[1]]}, ValueError, id="half-a-pair"),
            pytest.param({"rule": "step", "base_s": "x", "current_s": None}, ValueError, id="text"),
        ],
    )
    def test_what_is_no_rule_is_refused(self, data: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            rule_from_dict(data)

    def test_bounds_are_given_to_what_is_read(self) -> None:
        rule = rule_from_dict(QuantileTimeout().to_dict(), ceiling_s=60.0)
        assert rule.timeout_s == 60.0
