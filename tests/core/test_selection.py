"""`core.selection`: which candidate the policy takes that counts what is expected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.selection import SEED, WORLD, Play, Player, failures, play
from pytest_resilience.core.selection import Candidate, ExpectedCost, Ladder, Policy, policy_named
from tests.core.candidates import PRICE_S, Drawn, candidate, chosen, every_policy, several


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
