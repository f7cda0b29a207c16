"""The knobs as a test turns them: what it asks for, what it gets, and whether less can be had.

Invariant: a knob gives the same for all of an attempt, on whichever worker that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core import knobs
from pytest_resilience.core.events import Attempt

if TYPE_CHECKING:
    from pytest_resilience.plugin.desk import Case


class Knobs:
    """The knobs of one test.

    Args:
        attempts: Returns the attempts of the test before the one that runs.
    """

    def __init__(self, attempts: Callable[[], Iterable[Attempt]]) -> None:
        self._attempts = attempts
        self._batches: set[int] = set()
        self._precisions: set[str] = set()

    @property
    def shortages(self) -> int:
        """In how many attempts before this one resources ran short."""
        return sum(knobs.ran_short(a.error_type, a.evidence) for a in self._attempts())

    def batch_size(self, default: int) -> int:
        """Return `default`, halved for each earlier attempt in which resources ran short.

        Raises:
            ValueError: `default` is not a whole number, 1 or more.
        """
        size = knobs.batch_size(default, self.shortages)
        self._batches.add(default)
        return size

    def precision(self, default: str) -> str:
        """Return `default`, a step lower for each earlier attempt in which resources ran short.

        The steps are ``float64``, ``float32``, ``float16``, ``int8``, ``int4``; see
        `core.knobs.LADDERS` for other spellings.

        Raises:
            ValueError: `default` is not known.
        """
        level = knobs.precision(default, self.shortages)
        self._precisions.add(default)
        return level

    def batch_can_shrink(self) -> bool:
        """Return whether a batch is smaller if resources have run short in this attempt, too."""
        now = self.shortages
        return any(knobs.batch_size(b, now + 1) < knobs.batch_size(b, now) for b in self._batches)

    def precision_can_sink(self) -> bool:
        """Return whether a precision is lower if resources have run short in this attempt, too."""
        now = self.shortages
        return any(knobs.precision(p, now + 1) != knobs.precision(p, now) for p in self._precisions)


#: On an item: its knobs, once it has asked for them; and its case, once it has failed.
KNOBS: pytest.StashKey[Knobs] = pytest.StashKey()
CASE: pytest.StashKey[Case] = pytest.StashKey()


def knobs_of(item: pytest.Item) -> Knobs:
    """Return the knobs of `item`."""

    def earlier() -> Iterable[Attempt]:
        case = item.stash.get(CASE, None)
        return case.superseded if case is not None else ()

    return item.stash.setdefault(KNOBS, Knobs(earlier))


def shortages(case: Case) -> int:
    """Return in how many attempts of an item, before the one that runs, resources ran short."""
    return sum(knobs.ran_short(a.error_type, a.evidence) for a in case.superseded)


class Turnable:
    """The knobs among what a test has in hand; see the fixture ``resilience``."""

    _item: pytest.Item

    def batch_size(self, default: int) -> int:
        """See `Knobs.batch_size`."""
        return knobs_of(self._item).batch_size(default)

    def precision(self, default: str) -> str:
        """See `Knobs.precision`."""
        return knobs_of(self._item).precision(default)
