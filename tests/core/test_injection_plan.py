"""The plan: the same for the same seed, whatever else happens."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.injection import CATALOGUE, FailureType, Need, Platform, faults, find
from pytest_resilience.core.injection_plan import RANDOM, Injection, choose, fraction, planned
from pytest_resilience.core.injection_points import Point
from tests.core.injections import CRASH, asked, attempts, nodeids, seeds

ITEMS = [f"tests/test_shop.py::test_{number}" for number in range(2000)]


class TestPlan:
    """Decided by seed, node id and attempt."""

    @given(seeds, nodeids, attempts, st.lists(asked, max_size=4), st.floats(0, 1))
    def test_the_same_question_has_the_same_answer(
        self, seed: int, nodeid: str, attempt: int, injections: list[Injection], rate: float
    ) -> None:
        first = planned(seed, nodeid, attempt, injections, rate)
        assert planned(seed, nodeid, attempt, list(injections), rate) == first

    @given(seeds, st.randoms(use_true_random=False))
    def test_neither_order_nor_division_of_items_matters(
        self, seed: int, chance: random.Random
    ) -> None:
        """As random order and any number of workers would have it."""
        items = ITEMS[:60]
        whole = {item: planned(seed, item, 1, [CRASH], 0.5) for item in items}
        shuffled = chance.sample(items, len(items))
        workers = [shuffled[number::3] for number in range(3)]
        assert {i: planned(seed, i, 1, [CRASH], 0.5) for part in workers for i in part} == whole

    @given(seeds, nodeids, st.lists(asked, max_size=5, unique_by=str), st.randoms())
    def test_the_order_in_which_failures_are_asked_for_does_not_matter(
        self, seed: int, nodeid: str, injections: list[Injection], chance: random.Random
    ) -> None:
        shuffled = chance.sample(injections, len(injections))
        assert set(planned(seed, nodeid, 1, injections)) == set(planned(seed, nodeid, 1, shuffled))

    def test_it_is_the_same_in_another_process(self) -> None:
        """Whose hashes of strings are others."""
        program = (
            "from pytest_resilience.core.injection_plan import planned\n"
            "for n in range(100):\n"
            "    print(*planned(7, f't.py::test_{n}', 1, rate=0.5))"
        )
        answers = {
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        told = [" ".join(map(str, planned(7, f"t.py::test_{n}", 1, rate=0.5))) for n in range(100)]
        assert answers == {"\n".join(told) + "\n"}

    def test_it_stays_the_same_in_later_versions(self) -> None:
        """Seeds are written into reports and tickets."""
        assert fraction(1, "t.py::test_a[ä]", 1, "rate") == pytest.approx(GOLDEN, abs=1e-15)

    def test_another_seed_makes_another_plan(self) -> None:
        items = ITEMS[:50]
        plans = {tuple(planned(seed, i, 1, rate=0.5) for i in items) for seed in range(4)}
        assert len(plans) == 4

    @given(seeds, nodeids, attempts, st.integers(1, 5))
    def test_it_strikes_the_first_attempts_alone(
        self, seed: int, nodeid: str, attempt: int, times: int
    ) -> None:
        injection = Injection(FailureType.CRASH, times=times)
        assert planned(seed, nodeid, attempt, [injection]) == (
            (injection,) if attempt <= times else ()
        )

    @given(seeds, nodeids, attempts)
    def test_what_has_no_chance_never_strikes(self, seed: int, nodeid: str, attempt: int) -> None:
        never = Injection(FailureType.CRASH, times=10, probability=0)
        assert planned(seed, nodeid, attempt, [never], rate=0) == ()

    @given(seeds, nodeids, st.integers(2, 10))
    def test_a_rate_strikes_first_attempts_alone(self, seed: int, nodeid: str, later: int) -> None:
        (injection,) = planned(seed, nodeid, 1, rate=1)
        assert injection.source == "--inject-rate"
        assert injection.point == Point("call")
        assert planned(seed, nodeid, later, rate=1) == ()

    @given(seeds, nodeids)
    def test_a_rate_adds_nothing_to_what_was_asked_for(self, seed: int, nodeid: str) -> None:
        assert planned(seed, nodeid, 1, [CRASH], rate=1) == (CRASH,)

    @given(seeds, nodeids, st.floats(0, 1), st.floats(0, 1))
    def test_a_higher_rate_strikes_no_fewer(
        self, seed: int, nodeid: str, one: float, other: float
    ) -> None:
        low, high = sorted((one, other))
        assert set(planned(seed, nodeid, 1, rate=low)) <= set(planned(seed, nodeid, 1, rate=high))

    def test_two_alike_are_drawn_apart(self) -> None:
        half = Injection(FailureType.CRASH, probability=0.5)
        told = Counter(len(planned(1, item, 1, [half, half])) for item in ITEMS)
        assert set(told) == {0, 1, 2}
        assert within(told[1], len(ITEMS), 0.5)

    @given(seeds, nodeids, st.sampled_from(list(Platform)))
    def test_it_chooses_among_what_it_is_given(
        self, seed: int, nodeid: str, platform: Platform
    ) -> None:
        (injection,) = planned(seed, nodeid, 1, rate=1, choices=faults(platform))
        assert platform in injection.fault(platform).platforms


class TestChance:
    """How often what strikes."""

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
    def test_a_rate_is_binomial(self, seed: int, rate: float) -> None:
        struck = sum(bool(planned(seed, item, 1, rate=rate)) for item in ITEMS)
        assert within(struck, len(ITEMS), rate)

    @pytest.mark.parametrize("probability", [0.1, 0.9])
    def test_a_probability_is_binomial(self, probability: float) -> None:
        injection = Injection(FailureType.HANG, probability=probability)
        struck = sum(bool(planned(3, item, 1, [injection])) for item in ITEMS)
        assert within(struck, len(ITEMS), probability)

    def test_attempts_are_drawn_apart(self) -> None:
        injection = Injection(FailureType.HANG, probability=0.5, times=2)
        both = sum(
            bool(planned(3, item, 1, [injection]) and planned(3, item, 2, [injection]))
            for item in ITEMS
        )
        assert within(both, len(ITEMS), 0.25)

    def test_every_type_is_equally_likely_and_everything_occurs(self) -> None:
        told = Counter(planned(1, item, 1, rate=1)[0] for item in ITEMS)
        kinds = Counter(injection.type for injection in told.elements())
        for count in kinds.values():
            assert within(count, len(ITEMS), 1 / len(kinds))
        assert {(i.type, i.intensity) for i in told} == {(f.type, f.intensity) for f in RANDOM}

    def test_a_run_should_get_over_what_is_chosen_at_random(self) -> None:
        for fault in RANDOM:
            for platform in (Platform.CHROMIUM, Platform.FIREFOX):
                found = find(fault.type, fault.intensity, platform)
                assert found.outcome != "lost"
                assert found.need is Need.NOTHING

    @given(st.tuples(st.integers() | st.text()))
    def test_a_fraction_is_one(self, key: tuple[object, ...]) -> None:
        assert 0 <= fraction(*key) < 1

    def test_the_order_of_choices_does_not_matter(self) -> None:
        for item in ITEMS[:50]:
            one, other = choose(CATALOGUE, item), choose(CATALOGUE[::-1], item)
            assert (one.type, one.intensity) == (other.type, other.intensity)

    def test_there_has_to_be_a_choice(self) -> None:
        with pytest.raises(ValueError, match="no failure to choose from"):
            choose((), 1)


GOLDEN = 0.6626304559005171


def within(count: int, trials: int, probability: float) -> bool:
    """Return whether `count` is within four standard deviations of what is expected."""
    deviation = math.sqrt(trials * probability * (1 - probability))
    return abs(count - trials * probability) <= 4 * deviation
