"""`core.selection`: the other policies, and how they compare."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given

from pytest_resilience.core.hindsight import agreement, expected_loss, near
from pytest_resilience.core.selection import Candidate, ExpectedCost, Ladder, WeightedScore
from tests.core.candidates import PRICE_S, Drawn, candidate, chosen, several


class TestWeightedScore:
    """The best score of a level, and after a failure that of the next."""

    CANDIDATES = (
        candidate("retry", level=1, score=0.2),
        candidate("reconnect", level=1, score=0.4),
        candidate("driver", level=3, score=0.7),
        candidate("restart", level=3, score=0.9),
        candidate("reset", level=5, score=0.8),
    )

    @pytest.mark.parametrize(
        ("tried", "expected"),
        [
            pytest.param((), "reconnect", id="level-1"),
            pytest.param(("reconnect",), "restart", id="next-level"),
            pytest.param(("retry", "driver"), "reset", id="top"),
            pytest.param(("reset",), None, id="nothing-above"),
        ],
    )
    def test_it_climbs(self, tried: tuple[str, ...], expected: str | None) -> None:
        assert chosen(WeightedScore(), self.CANDIDATES, *tried) == expected

    def test_it_says_so(self) -> None:
        choice = WeightedScore().choose(self.CANDIDATES, tried=frozenset(), chance=Drawn())
        assert choice.reason == "reconnect: score 0.40, best of 2 at level 1"

    @pytest.mark.parametrize(
        ("tried", "expected"),
        [((), "restart"), (("restart",), "reset"), (("restart", "reset"), "driver")],
        ids=["best", "second", "third"],
    )
    def test_without_climbing_the_best_score_of_all_is_taken(
        self, tried: tuple[str, ...], expected: str
    ) -> None:
        assert chosen(WeightedScore(escalate=False), self.CANDIDATES, *tried) == expected


class TestLadder:
    """The lowest level first, each one once."""

    @given(candidates=several())
    def test_it_runs_through_all_by_level(self, candidates: list[Candidate]) -> None:
        tried: list[str] = []
        while (name := chosen(Ladder(), candidates, *tried)) is not None:
            tried.append(name)
        in_order = sorted(candidates, key=lambda c: c.level)
        assert tried == [c.strategy for c in in_order]

    def test_it_says_so(self) -> None:
        choice = Ladder().choose([candidate("wait", level=2)], tried=frozenset(), chance=Drawn())
        assert choice.reason == "wait: level 2, the lowest left"


class TestOrder:
    """The order by seconds per cure is the best one there is."""

    def test_the_loss_is_worked_by_hand(self) -> None:
        order = [candidate("retry", 1.0, 0.25), candidate("restart", 6.0, 0.9)]
        assert expected_loss(order, PRICE_S) == pytest.approx(1 + 0.75 * (6 + 0.1 * 120))
        assert expected_loss([], PRICE_S) == PRICE_S

    @given(candidates=several())
    def test_no_other_order_of_any_of_them_costs_less(self, candidates: list[Candidate]) -> None:
        # What is known for certain has no hope beyond its mean.
        certain = [candidate(c.strategy, c.cost_s, c.p, level=c.level) for c in candidates]
        by_name = {c.strategy: c for c in certain}
        tried: list[str] = []
        policy = ExpectedCost(probe_share=0.0)
        while (name := chosen(policy, certain, *tried)) is not None:
            tried.append(name)
        best = min(
            expected_loss(order, PRICE_S)
            for length in range(len(certain) + 1)
            for order in itertools.permutations(certain, length)
        )
        assert expected_loss([by_name[name] for name in tried], PRICE_S) <= best + 1e-6


class TestAgreement:
    """Whether a first choice was as good as the best, seen from hindsight."""

    RETRY = candidate("retry", 2.0, 0.04)
    RESTART = candidate("restart", 7.0, 0.9, level=3)
    RESET = candidate("reset", 60.0, 0.95, level=5)

    @pytest.mark.parametrize(
        ("strategy", "agrees"),
        [
            pytest.param("restart", True, id="the-best"),
            # 2 s in vain, where 14 s are to be expected: more than half a second and 5 %.
            pytest.param("retry", False, id="a-retry-in-vain"),
            pytest.param("reset", False, id="far-too-dear"),
            pytest.param(None, False, id="stopped"),
        ],
    )
    def test_only_a_choice_near_the_best_agrees(self, strategy: str | None, agrees: bool) -> None:
        assert agreement(strategy, [self.RETRY, self.RESTART, self.RESET]) is agrees

    def test_a_retry_before_a_long_recovery_hardly_costs_anything(self) -> None:
        assert agreement("retry", [self.RETRY, self.RESET])

    def test_where_nothing_helps_stopping_is_best(self) -> None:
        hopeless = [candidate("reset", 60.0, 0.01)]
        assert agreement(None, hopeless)
        assert not agreement("reset", hopeless)
        assert agreement(None, [])

    def test_the_loss_may_exceed_the_best_by_half_a_second_or_a_twentieth(self) -> None:
        assert near(1.5, 1.0)
        assert not near(1.51, 1.0)
        assert near(105.0, 100.0)
        assert not near(105.1, 100.0)

    def test_a_strategy_nobody_weighed_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="'luck' is not among"):
            agreement("luck", [self.RETRY])

    @given(candidates=several())
    def test_the_policy_agrees_with_itself_on_what_is_certain(
        self, candidates: list[Candidate]
    ) -> None:
        certain = [candidate(c.strategy, c.cost_s, c.p, level=c.level) for c in candidates]
        assert agreement(chosen(ExpectedCost(probe_share=0.0), certain), certain)
