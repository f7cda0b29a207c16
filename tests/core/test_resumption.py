"""What is left of a broken run: every test keeps a verdict or runs, and none does both."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.resumption import difference, left_over
from pytest_resilience.exceptions import ResumeError

NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=12)


@given(
    st.permutations("abcdefgh"), st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))
)
def test_what_has_no_verdict_runs_in_the_order_of_now(
    before: list[str], now: list[str], done: set[str]
) -> None:
    """In whatever order it was collected then."""
    left = left_over(before, now, dict.fromkeys(done, 1), changed=False)
    assert [now[place] for place in left] == [name for name in now if name not in done]


@given(NAMES, NAMES, st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3)))
def test_every_test_keeps_a_verdict_or_runs(
    before: list[str], now: list[str], done: dict[str, int]
) -> None:
    """Also one that is collected more than once, and where the collection has changed."""
    left = left_over(before, now, done, changed=True)
    assert left == sorted(set(left))
    running = Counter(now[place] for place in left)
    for name, count in Counter(now).items():
        assert running[name] == max(0, count - done.get(name, 0))


@given(NAMES, NAMES)
def test_other_tests_than_then_are_refused(before: list[str], now: list[str]) -> None:
    """Unless only their order is another."""
    if sorted(before) == sorted(now):
        assert left_over(before, now, {}, changed=False) == list(range(len(now)))
    else:
        with pytest.raises(ResumeError, match=r"missing|new"):
            left_over(before, now, {}, changed=False)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        pytest.param("ab", "ba", "", id="order"),
        pytest.param("abc", "b", "2 missing (a, c)", id="missing"),
        pytest.param("b", "abc", "2 new (a, c)", id="new"),
        pytest.param("ab", "bc", "1 missing (a), 1 new (c)", id="both"),
        pytest.param("", "abcde", "5 new (a, b, c and 2 more)", id="many"),
        pytest.param("a", "aa", "1 new (a)", id="twice"),
    ],
)
def test_the_first_differences_are_named(before: str, now: str, told: str) -> None:
    assert difference(before, now) == told


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(ResumeError) as caught:
        left_over("a", "b", {}, changed=False)
    assert "1 missing (a), 1 new (b)" in str(caught.value)
    assert "--resilience-resume-changed" in str(caught.value)
    assert str(caught.value).endswith("[cannot-resume]")
