"""Fewer browsers at once when resources run short: the rule, and what holds whatever happens."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pytest_resilience.core.concurrency import LEAST_WINDOW, Concurrency, ConcurrencyRule
from tests.doubles import FakeClock


def after(known: Concurrency, *outcomes: bool, active: int | None = None) -> Concurrency:
    """Return `known` after attempts of its own generation have ended."""
    begun = known.generation
    for failed in outcomes:
        used = known.limit if active is None else active
        known = known.ended(failed=failed, generation=begun, active=used)
    return known


class TestLowering:
    """Two shortages and 10 % of the latest attempts lower the limit, once."""

    def test_one_shortage_lowers_nothing(self) -> None:
        assert after(Concurrency.at_most(8), True).limit == 8

    def test_two_lower_it_to_three_quarters(self) -> None:
        assert after(Concurrency.at_most(8), True, True).limit == 6

    @pytest.mark.parametrize(
        ("limit", "lowered"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (16, 12), (100, 75)]
    )
    def test_it_is_rounded_down_to_one_at_least(self, limit: int, lowered: int) -> None:
        assert after(Concurrency.at_most(limit), True, True).limit == lowered

    def test_two_of_more_than_twenty_are_no_shortage(self) -> None:
        known = after(Concurrency.at_most(40), *[False] * 20, True, True)
        assert (known.failures, known.limit) == (2, 40)

    def test_a_shortage_that_left_the_window_does_not_count(self) -> None:
        known = after(Concurrency.at_most(4), True, *[False] * LEAST_WINDOW, True)
        assert known.limit == 4

    def test_eight_that_fail_together_lower_it_once(self) -> None:
        assert after(Concurrency.at_most(8), *[True] * 8).limit == 6

    def test_those_that_begin_afterwards_lower_it_again(self) -> None:
        known = after(Concurrency.at_most(8), True, True)
        assert after(known, True, True).limit == 4


class TestRaising:
    """A window with at most one shortage raises the limit by one, if it was used."""

    LOWERED = after(Concurrency.at_most(4), True, True)

    def test_a_clean_window_raises_it_by_one(self) -> None:
        assert after(self.LOWERED, *[False] * (LEAST_WINDOW - 1)).limit == 3
        assert after(self.LOWERED, *[False] * LEAST_WINDOW).limit == 4

    def test_one_shortage_in_it_is_forgiven(self) -> None:
        assert after(self.LOWERED, True, *[False] * (LEAST_WINDOW - 1)).limit == 4

    def test_it_never_exceeds_the_cap(self) -> None:
        assert after(self.LOWERED, *[False] * 100).limit == 4

    def test_a_limit_that_was_not_used_does_not_rise(self) -> None:
        assert after(self.LOWERED, *[False] * 100, active=1).limit == 3

    def test_a_machine_short_of_memory_lets_it_not_rise(self) -> None:
        known = self.LOWERED
        for _ in range(LEAST_WINDOW):
            known = known.ended(
                failed=False, generation=known.generation, active=3, pressed=lambda: True
            )
        assert known.limit == 3

    def test_the_machine_is_asked_only_where_the_limit_would_rise(self) -> None:
        asked = []
        known = self.LOWERED
        for _ in range(LEAST_WINDOW):
            known = known.ended(
                failed=False,
                generation=known.generation,
                active=3,
                pressed=lambda: bool(asked.append(1)),
            )
        assert len(asked) == 1


class TestRule:
    """What changes is told, with its moment and its reason."""

    def test_a_change_tells_when_from_what_to_what_and_why(self) -> None:
        clock = FakeClock()
        clock.sleep(5.0)
        decide = ConcurrencyRule(clock)
        known, change = decide.ended(Concurrency.at_most(4), failed=True, generation=0, active=4)
        assert change is None
        known, change = decide.ended(known, failed=True, generation=0, active=3)
        assert change is not None
        assert (change.from_limit, change.to_limit, change.active) == (4, 3, 3)
        assert change.at == clock.monotonic()
        assert change.reason == "resources ran short in 2 of 2 attempts"

    def test_a_demand_lowers_it_once_for_all_that_began_before(self) -> None:
        decide = ConcurrencyRule(FakeClock())
        known, change = decide.demanded(Concurrency.at_most(4), generation=0, active=4)
        assert change is not None
        assert known.limit == 3
        assert decide.demanded(known, generation=0, active=4) == (known, None)
        assert decide.demanded(known, generation=1, active=3)[0].limit == 2

    def test_a_demand_at_one_changes_nothing(self) -> None:
        known = Concurrency.at_most(1)
        assert ConcurrencyRule(FakeClock()).demanded(known, generation=0, active=1) == (known, None)


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="cap of 0"):
        Concurrency.at_most(0)


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.booleans(), st.integers(-2, 1), st.integers(0, 70))),
)
def test_it_is_the_same_after_it_was_written_and_read(
    cap: int, steps: list[tuple[bool, int, int]]
) -> None:
    known = Concurrency.at_most(cap)
    for failed, late, active in steps:
        known = known.ended(failed=failed, generation=known.generation + late, active=active)
        assert Concurrency.from_dict(json.loads(json.dumps(known.to_dict()))) == known


@pytest.mark.parametrize(
    "change",
    [{"limit": 0}, {"limit": 9}, {"limit": "x"}, {"recent": None}],
    ids=["no-limit", "above-the-cap", "no-number", "no-list"],
)
def test_what_is_no_state_is_not_read(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Concurrency.from_dict({**Concurrency.at_most(8).to_dict(), **change})


class Runs(RuleBasedStateMachine):
    """Tests that begin under a limit, and end well or short, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Concurrency.at_most(12)
        self.running: list[int] = []
        self.lowered_at: list[int] = []

    @precondition(lambda self: len(self.running) < self.known.limit)
    @rule()
    def one_begins(self) -> None:
        self.running.append(self.known.generation)

    @precondition(lambda self: self.running)
    @rule(failed=st.booleans(), which=st.integers(0, 100))
    def one_ends(self, failed: bool, which: int) -> None:
        begun = self.running.pop(which % len(self.running))
        before = self.known
        self.known = before.ended(failed=failed, generation=begun, active=len(self.running) + 1)
        if self.known.limit < before.limit:
            self.lowered_at.append(begun)
            assert failed, "it fell although nothing ran short"
            assert self.known.limit == max(1, before.limit * 3 // 4)
        if self.known.limit > before.limit:
            assert self.known.limit == before.limit + 1

    @invariant()
    def it_stays_within_its_bounds(self) -> None:
        assert 1 <= self.known.limit <= self.known.cap

    @invariant()
    def it_fell_once_for_each_generation(self) -> None:
        assert len(self.lowered_at) == len(set(self.lowered_at))


TestRuns = Runs.TestCase


def test_it_finds_what_a_machine_can_bear() -> None:
    """Where more than four at once fail often, the limit comes down to about that, and stays."""
    chance = random.Random(6)
    known = Concurrency.at_most(8)
    limits = []
    for _ in range(2_000):
        crowd = max(0, known.limit - 4)
        failed = chance.random() < 0.01 + 0.18 * crowd
        known = known.ended(failed=failed, generation=known.generation, active=known.limit)
        limits.append(known.limit)
    assert 3.0 <= sum(limits[100:]) / len(limits[100:]) <= 6.0
