"""What earlier runs have learned, brought into the form decisions are made from.

Invariant: nothing is read before it is needed; a history that is missing or damaged means
that less is known, never that a run fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from pytest_resilience.core.adaptive import QuantileTimeout, StepTimeout, TimeoutRule
from pytest_resilience.core.chooser import TIMEOUT_RULES, Memory
from pytest_resilience.core.impact import ScoreTally
from pytest_resilience.store import snapshot
from pytest_resilience.store.snapshot import Score, Timeout


def remembering(db: Path | None, timeout_rule: str) -> Callable[[], Memory]:
    """Return what loads the memory of the history at `db`, None where none is kept.

    Args:
        timeout_rule: Name in `TIMEOUT_RULES`.
    """

    def load() -> Memory:
        new_timeout = TIMEOUT_RULES[timeout_rule]
        if db is None:
            return Memory(new_timeout, told="no history is kept")
        known = snapshot.read(snapshot.path_of(db))
        return Memory(
            new_timeout,
            cells=known.cells,
            timeouts={
                (t.error_type, t.strategy): rule
                for t in known.timeouts
                if (rule := _rule(t, timeout_rule)) is not None
            },
            tallies={(s.error_type, s.strategy): _tally(s) for s in known.scores},
            told=known.reason,
        )

    return load


def _rule(known: Timeout, wanted: str) -> TimeoutRule | None:
    """Return the rule that `known` leads to; None if it does not say enough."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        if known.state.get("rule") == "quantile":
            learned = QuantileTimeout.from_dict(known.state)
            if wanted == "quantile":
                return learned
            # The other rule goes by what happened in turn, and that is all kept.
            stepped = StepTimeout()
            for seconds, timed_out in learned.durations:
                stepped.observe(seconds, timed_out)
            return stepped
    return None


def _tally(known: Score) -> ScoreTally:
    def metric(name: str) -> float:
        return float(known.metrics.get(name) or 0.0)

    successes = round(metric("success_rate") * known.samples)
    return ScoreTally(
        samples=known.samples,
        successes=successes,
        success_s=metric("mean_seconds") * successes,
        impact=metric("impact_score") * known.samples,
        stability=metric("stability_score") * known.samples,
        # Every recovery touches the test it was made for.
        rated=known.samples,
        recovered=metric("task_recovery_rate") * known.samples,
    )
