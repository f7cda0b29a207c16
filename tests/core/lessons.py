"""What earlier runs have learned, in few words, and what it says."""

from __future__ import annotations

from hypothesis import strategies as st

from pytest_resilience.core.experience import Key
from pytest_resilience.core.selection import Candidate, Experience, Option

HERE, THERE = "chrome 131 linux local", "firefox 140 linux grid"
RETRY = Option("retry", 1, 1.0)
RESTART = Option("restart", 3, 7.0)
outcomes = st.lists(st.booleans(), max_size=60)


def key(
    strategy: str = "restart", *, tried: str = "", environment: str = HERE, error_type: str = "gpu"
) -> Key:
    return Key(environment, error_type, tried, strategy)


def experience(*lessons: tuple[Key, str, float]) -> Experience:
    """Return what a later run knows: of a key, outcomes such as "101", seconds each."""
    known = Experience()
    for of, results, cost_s in lessons:
        for result in results:
            known.record(of, success=result == "1", cost_s=cost_s)
    return Experience(known.cells)


def weighed(
    known: Experience, option: Option = RESTART, *tried: str, environment: str = HERE
) -> Candidate:
    [candidate] = known.weigh(
        [option], environment=environment, error_type="gpu", tried=frozenset(tried)
    )
    return candidate
