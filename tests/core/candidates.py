"""Candidates for a recovery, and a chance that is drawn in advance."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import strategies as st

from pytest_resilience.core.selection import POLICIES, Candidate, Policy

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
