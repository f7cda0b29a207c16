"""What is left of a run that was broken off: which tests keep their verdicts, which run.

Invariant: every collected test either keeps a verdict or runs, never both; where the collected
tests are not those of the broken run, nothing is kept unless that was asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pytest_resilience.exceptions import ResumeError

#: Tests named of each difference.
_SHOWN = 3


def left_over(
    before: Sequence[str], now: Sequence[str], finished: Mapping[str, int], *, changed: bool
) -> list[int]:
    """Return the places of the tests that have to run.

    Args:
        before: Node ids that the broken run had collected, in any order.
        now: Those that are collected now.
        finished: How many verdicts there are of each node id.
        changed: Whether the two may differ.

    Raises:
        ResumeError: They differ.
    """
    told = difference(before, now)
    if told and not changed:
        raise ResumeError(
            f"the collected tests are not those of the run that is to be resumed: {told}. Give the "
            "same arguments as then, or --resilience-resume-changed to keep the verdicts of the "
            "tests that are still there and run the others."
        )
    kept = Counter(finished)
    left = []
    for place, nodeid in enumerate(now):
        # One that is collected twice has two verdicts.
        if kept[nodeid] > 0:
            kept[nodeid] -= 1
        else:
            left.append(place)
    return left


def difference(before: Iterable[str], now: Iterable[str]) -> str:
    """Return in words how two collections differ, "" if in nothing but their order."""
    then, here = Counter(before), Counter(now)
    parts = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (
            ("missing", list((then - here).elements())),
            ("new", list((here - then).elements())),
        )
        if names
    ]
    return ", ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
