"""Items that are run again at the end of the session.

Invariant: a deferred item gets its verdict however the session ends: if it never runs
again, the failure it was deferred for is final.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_resilience.plugin.desk import Case


class Deferrals:
    """Keeps the cases of deferred items until their turn comes.

    Args:
        owns_order: Whether this process decides what runs next; an xdist worker does not.
        give_up: Called with a case whose item will not run again.
    """

    def __init__(self, *, owns_order: bool) -> None:
        self._owns_order = owns_order
        #: Deferred items and their cases; always the same dict.
        self.waiting: dict[Any, Case] = {}
        #: The case that is being recovered.
        self.case: Case | None = None
        self.give_up: Callable[[Case], None] = _nothing

    def possible(self) -> bool:
        """Return whether the item being recovered can be put behind others."""
        case = self.case
        if case is None or case.was_deferred or not self._owns_order:
            return False
        items = case.item.session.items
        return bool(items) and items[-1] is not case.item

    def defer(self) -> bool:
        """Put the item being recovered behind all others; return whether that was done."""
        case = self.case
        if case is None or not self.possible():
            return False
        case.was_deferred = True
        self.waiting[case.item] = case
        # pytest's loop looks at the list anew for every item.
        case.item.session.items.append(case.item)
        return True

    def put_behind(self, item: Any, position: int, waits: Callable[[Any], bool]) -> bool:
        """Put `item`, and all others that have to wait, behind those that have not.

        Args:
            position: Its place among the items of the session.
            waits: Tells of an item whether it has to wait.

        Returns:
            False if none can run before it.
        """
        items = item.session.items
        if not self._owns_order or position >= len(items) or items[position] is not item:
            return False
        rest = items[position + 1 :]
        waiting = list(map(waits, rest))
        if all(waiting):
            return False
        # pytest's loop looks at the list anew for every item.
        items[position + 1 :] = [
            *(other for other, held in zip(rest, waiting, strict=True) if not held),
            item,
            *(other for other, held in zip(rest, waiting, strict=True) if held),
        ]
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """See to it that nothing deferred is without a verdict when the loop has ended."""
        try:
            return (yield)
        finally:
            while self.waiting:
                self.give_up(self.waiting.popitem()[1])


def _nothing(_case: Case) -> None:
    pass
