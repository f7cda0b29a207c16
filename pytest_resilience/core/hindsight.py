"""Whether a choice was as good as the best one, seen from hindsight.

Invariant: nothing is judged by how it turned out, which may be luck; all is judged by what it
was to be expected to cost, with everything known by now.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_resilience.core.selection import Candidate

#: A choice is as good as the best if it costs no more than this above it: seconds, share.
NEAR_S, NEAR_SHARE = 0.5, 0.05


def expected_loss(order: Iterable[Candidate], price_s: float) -> float:
    """Return the expected seconds of trying `order` until one cures, else losing `price_s`."""
    seconds, uncured = 0.0, 1.0
    for candidate in order:
        seconds += uncured * candidate.cost_s
        uncured *= 1 - candidate.p
    return seconds + uncured * price_s


def agreement(
    strategy: str | None, candidates: Iterable[Candidate], *, price_s: float = 120.0
) -> bool:
    """Return whether a first choice was as good as the best one seen from hindsight.

    Args:
        strategy: What was chosen; None for stopping at once.
        candidates: All of the situation, weighed with everything known by now.
        price_s: See `selection.ExpectedCost`.

    Raises:
        ValueError: `strategy` is not among the candidates.
    """
    every = sorted(candidates, key=lambda c: (c.index, c.level))
    worthy = [c for c in every if c.index <= price_s]
    best = expected_loss(worthy, price_s)
    if strategy is None:
        return near(price_s, best)
    first = [c for c in every if c.strategy == strategy]
    if not first:
        raise ValueError(f"{strategy!r} is not among the candidates")
    rest = [c for c in worthy if c.strategy != strategy]
    return near(expected_loss(first + rest, price_s), best)


def near(loss_s: float, best_s: float) -> bool:
    """Return whether `loss_s` is as good as `best_s`: within half a second or 5 %."""
    return loss_s <= best_s + max(NEAR_S, NEAR_SHARE * best_s) + 1e-9
