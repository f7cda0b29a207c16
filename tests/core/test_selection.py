"""`core.selection`: which candidate each policy takes, and why that order is the best."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.selection import SEED, WORLD, Play, Player, failures, play
from pytest_resilience.core.hindsight import agreement, expected_loss, near
from pytest_resilience.core.selection import (
    POLICIES,
    Candidate,
    ExpectedCost,
    Ladder,
    Policy,
    WeightedScore,
    policy_named,
)

PRICE_S = 120.0


class Drawn:
    """Chance that draws the given numbers, one after another, and then only 0.99."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = iter(numbers)

    def random(self) -> float:
        return next(self._numbers, 0.99)


def candidate(
    name: str,
    cost_s: float = 1.0,
    p: float = 0.5,
    *,
    level: int = 1,
    upper: float | None = None,
    credited: float | None = None,
    score: float = 0.5,
) -> Candidate:
    upper, credited = (p if value is None else value for value in (upper, credited))
    return Candidate(name, level, p, upper, credited, cost_s, 0, score)


def chosen(
    policy: Policy, candidates: Iterable[Candidate], *tried: str, chance: Drawn | None = None
) -> str | None:
    choice = policy.choose(tuple(candidates), tried=frozenset(tried), chance=chance or Drawn())
    return choice.strategy


@st.composite
def several(draw: st.DrawFn, most: int = 5) -> list[Candidate]:
    """Draw candidates with names of their own."""
    names = draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=most))
    numbers = st.tuples(st.floats(0.01, 200), st.floats(0.01, 0.99), st.floats(0, 0.3))
    made = []
    for name in names:
        cost_s, p, spread = draw(numbers)
        level, score = draw(st.integers(1, 5)), draw(st.floats(0, 1))
        made.append(candidate(name, cost_s, p, level=level, upper=p + spread, score=score))
    return made


every_policy = pytest.mark.parametrize("name", POLICIES)


class TestCandidate:
    """The numbers of a candidate, and how they are told."""

    def test_the_index_is_cost_divided_by_probability(self) -> None:
        one = candidate("restart", 7.0, 0.875, upper=1.2)
        assert one.index == 8.0
        assert one.worst == 7.0
        assert candidate("restart", 7.0, 0.25, upper=0.5).worst == 14.0

    def test_it_is_told_in_one_line(self) -> None:
        one = candidate("browser_restart", 2.1, 0.93, level=3)
        assert one.told() == "browser_restart: 2.1 s / 0.93 = 2.3 s per cure"

    def test_it_is_plain_for_reports(self) -> None:
        plain = candidate("restart", 7.0, 0.875, level=3).to_dict()
        assert json.loads(json.dumps(plain)) == {
            "strategy": "restart",
            "level": 3,
            "p": 0.875,
            "upper": 0.875,
            "credited": 0.875,
            "cost_s": 7.0,
            "samples": 0,
            "score": 0.5,
            "index": 8.0,
        }


class TestEveryPolicy:
    """What holds however is chosen."""

    @every_policy
    @given(
        candidates=several(),
        tried=st.frozensets(st.sampled_from("abcdex")),
        draws=st.lists(st.floats(0, 1, exclude_max=True), max_size=2),
    )
    def test_the_choice_is_an_untried_candidate_or_none(
        self, name: str, candidates: list[Candidate], tried: frozenset[str], draws: list[float]
    ) -> None:
        choice = policy_named(name).choose(candidates, tried=tried, chance=Drawn(*draws))
        untried = {c.strategy for c in candidates} - tried
        assert choice.strategy is None or choice.strategy in untried
        assert choice.candidates == tuple(candidates)
        assert choice.reason
        assert "\n" not in choice.reason

    @every_policy
    def test_without_anything_left_it_stops(self, name: str) -> None:
        choice = policy_named(name).choose(
            (candidate("a"),), tried=frozenset({"a"}), chance=Drawn()
        )
        assert (choice.strategy, choice.reason) == (None, "nothing left to try")

    @every_policy
    def test_it_is_found_by_its_name(self, name: str) -> None:
        assert policy_named(name).name == name

    @every_policy
    def test_of_equals_the_first_is_taken(self, name: str) -> None:
        candidates = [candidate("b"), candidate("a"), candidate("c")]
        assert chosen(policy_named(name), candidates) == "b"

    def test_the_valid_names_are_told_to_who_errs(self) -> None:
        with pytest.raises(ValueError, match="'luck'; valid ones: expected-cost, weighted-score"):
            policy_named("luck")


class TestExpectedCost:
    """Fewest seconds per cure first, and nothing that cannot be worth it."""

    @pytest.mark.parametrize(
        ("retry_p", "expected"),
        [
            pytest.param(0.04, "restart", id="25-s-per-cure-against-7.5"),
            pytest.param(0.15, "retry", id="6.7-s-per-cure-against-7.5"),
        ],
    )
    def test_it_compares_seconds_per_cure(self, retry_p: float, expected: str) -> None:
        both = [candidate("retry", 1.0, retry_p), candidate("restart", 7.0, 0.93, level=3)]
        assert chosen(ExpectedCost(), both) == expected

    def test_it_says_so(self) -> None:
        several = [candidate(name, 50.0) for name in "abc"]
        choice = ExpectedCost().choose(
            [*several, candidate("browser_restart", 2.1, 0.93)], tried=frozenset(), chance=Drawn()
        )
        assert choice.reason == "browser_restart: 2.1 s / 0.93 = 2.3 s per cure, best of 4"
        assert not choice.probe

    def test_the_only_one_left_is_called_so(self) -> None:
        both = [candidate("a", 1.0), candidate("b", 2.0)]
        choice = ExpectedCost().choose(both, tried=frozenset("a"), chance=Drawn())
        assert choice.reason == "b: 2.0 s / 0.50 = 4.0 s per cure, the only one left"

    def test_of_equal_indices_the_lower_level_is_taken(self) -> None:
        assert chosen(ExpectedCost(), [candidate("a", level=3), candidate("b", level=2)]) == "b"

    def test_it_stops_when_even_hope_costs_more_than_a_lost_recovery(self) -> None:
        dear = candidate("reset", 60.0, 0.1, upper=0.4)
        choice = ExpectedCost().choose([dear], tried=frozenset(), chance=Drawn())
        assert choice.strategy is None
        assert choice.reason == (
            "nothing left is worth it: reset costs at least 150 s per cure, a lost recovery 120 s"
        )

    def test_it_goes_on_while_there_is_hope_however_bad_the_mean(self) -> None:
        assert chosen(ExpectedCost(), [candidate("reset", 60.0, 0.1, upper=0.5)]) == "reset"

    def test_one_that_is_not_worth_it_is_passed_over_for_one_that_may_be(self) -> None:
        known = candidate("known", 13.0, 0.1, upper=0.105)
        hoped = candidate("hoped", 70.0, 0.5, upper=1.0)
        assert known.index < hoped.index
        assert chosen(ExpectedCost(), [known, hoped]) == "hoped"

    def test_the_price_of_a_lost_recovery_can_be_set(self) -> None:
        one = [candidate("reset", 60.0, 0.5)]
        assert chosen(ExpectedCost(price_s=100.0), one) is None
        assert chosen(ExpectedCost(price_s=140.0), one) == "reset"

    @given(candidates=several(), tried=st.frozensets(st.sampled_from("abcde")))
    def test_it_stops_exactly_if_nothing_left_can_be_worth_it(
        self, candidates: list[Candidate], tried: frozenset[str]
    ) -> None:
        left = [c for c in candidates if c.strategy not in tried]
        stopped = chosen(ExpectedCost(), candidates, *tried) is None
        assert stopped is all(c.worst > PRICE_S for c in left)


class TestProbes:
    """Now and then something cheap is tried although it has not helped so far."""

    CANDIDATES = (
        candidate("retry", 1.0, 0.04),
        candidate("wait", 1.1, 0.05, level=2),
        candidate("driver", 2.0, 0.1, level=3),
        candidate("restart", 7.0, 0.9, level=3),
    )

    @pytest.mark.parametrize(
        ("draws", "expected"),
        [
            pytest.param((0.029, 0.0), "retry", id="first-cheap-one"),
            pytest.param((0.029, 0.99), "wait", id="last-cheap-one"),
            pytest.param((0.03, 0.0), "restart", id="most-often-none"),
        ],
    )
    def test_chance_decides_whether_and_which(
        self, draws: tuple[float, ...], expected: str
    ) -> None:
        choice = ExpectedCost().choose(self.CANDIDATES, tried=frozenset(), chance=Drawn(*draws))
        assert choice.strategy == expected
        assert choice.probe is (expected != "restart")

    def test_a_probe_says_that_it_is_one(self) -> None:
        choice = ExpectedCost().choose(self.CANDIDATES, tried=frozenset(), chance=Drawn(0.0, 0.0))
        assert choice.reason == (
            "retry: 1.0 s / 0.04 = 25.0 s per cure; tried to see whether it helps by now"
        )

    def test_without_a_share_nothing_is_probed(self) -> None:
        policy = ExpectedCost(probe_share=0.0)
        assert chosen(policy, self.CANDIDATES, chance=Drawn(0.0, 0.0)) == "restart"

    def test_what_cannot_be_worth_it_is_not_probed(self) -> None:
        hopeless = candidate("wait", 13.0, 0.01, upper=0.05)
        assert hopeless.cost_s < 0.15 * 99
        both = [hopeless, candidate("reset", 60.0, 0.6)]
        assert chosen(ExpectedCost(), both, chance=Drawn(0.0, 0.0)) == "reset"

    @pytest.mark.parametrize(
        ("draw", "expected"), [(0.029, "hoped"), (0.03, None)], ids=["now-and-then", "most-often"]
    )
    def test_where_nothing_is_worth_it_what_may_be_soonest_is_probed(
        self, draw: float, expected: str | None
    ) -> None:
        hopeless = candidate("known", 13.0, 0.01, upper=0.05)
        hoped = candidate("hoped", 60.0, 0.1, upper=0.4)
        choice = ExpectedCost().choose([hopeless, hoped], tried=frozenset(), chance=Drawn(draw))
        assert (choice.strategy, choice.probe) == (expected, expected is not None)


class TestCredit:
    """What may only have had bad luck is not left too early."""

    LUCKLESS = candidate("luckless", 1.0, 0.2, credited=0.3)
    KNOWN = candidate("known", 3.5, 0.9, level=3)

    def test_candidates_are_compared_to_their_credit(self) -> None:
        assert self.KNOWN.index < self.LUCKLESS.index
        assert chosen(ExpectedCost(), [self.LUCKLESS, self.KNOWN]) == "luckless"

    def test_it_says_so(self) -> None:
        choice = ExpectedCost().choose(
            [self.LUCKLESS, self.KNOWN], tried=frozenset(), chance=Drawn()
        )
        assert choice.reason == (
            "luckless: 1.0 s / 0.20 = 5.0 s per cure, and too little known to prefer "
            "known: 3.5 s / 0.90 = 3.9 s per cure"
        )

    def test_with_much_known_it_counts_for_little(self) -> None:
        worse = candidate("worse", 1.0, 0.2, credited=0.21)
        assert chosen(ExpectedCost(), [worse, self.KNOWN]) == "known"


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


class TestLearning:
    """In a simulated world, learning leads to the best first choices, and soon."""

    def plays(self, policy: Policy, replicates: int = 16, count: int = 250) -> list[Play]:
        return [
            play(
                Player(policy, WORLD, SEED + number),
                failures(WORLD, count, SEED + number),
                lambda number: WORLD,
            )
            for number in range(replicates)
        ]

    def near_share(self, plays: list[Play]) -> float:
        """Share of first choices near the best, after a hundred failures."""
        late = [good for one in plays for good in one.near[100:]]
        return sum(late) / len(late)

    def test_after_a_hundred_failures_nearly_all_first_choices_are_near_the_best(self) -> None:
        plays = self.plays(ExpectedCost())
        assert self.near_share(plays) >= 0.92
        early = [good for one in plays for good in one.near[:50]]
        assert sum(early) / len(early) < 0.85, "there was nothing to learn"

    def test_a_ladder_never_gets_there(self) -> None:
        assert self.near_share(self.plays(Ladder())) < 0.92

    def test_it_costs_less_than_a_ladder_with_the_same_luck(self) -> None:
        ours, ladder = (
            sum(sum(one.regrets) for one in self.plays(policy, replicates=4))
            for policy in (ExpectedCost(), Ladder())
        )
        assert ours < 0.5 * ladder
