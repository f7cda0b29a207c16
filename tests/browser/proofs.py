"""Which test proves which row of the catalogue: that a fault strikes for real, and is undone.

Invariant: what a test says to prove on a playground, it has made happen there, with evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_resilience.browser.faults import Applied
from pytest_resilience.core.injection import Platform, faults

Claim = tuple[Platform, str]
#: What an evidence has that proves nothing.
_NO_PROOF = {"fault", "undone", "left", "unseen"}


def proves(platform: Platform, *names: str) -> pytest.MarkDecorator:
    """Mark a test that proves the faults `names` on `platform`."""
    return pytest.mark.proves(platform, *names)


def proves_each(platform: Platform, *names: str) -> pytest.MarkDecorator:
    """Mark a test that gets the `name` of one fault, and proves it on `platform`."""
    marked = [pytest.param(name, id=name, marks=proves(platform, name)) for name in names]
    return pytest.mark.parametrize("name", marked)


def to_be_proven(platform: Platform) -> set[str]:
    """Return the faults of a platform; those that need no browser are proven without one."""
    return {
        fault.name
        for fault in faults(platform)
        if platform is Platform.NO_BROWSER or Platform.NO_BROWSER not in fault.platforms
    }


def claims(modules: list[ModuleType]) -> set[Claim]:
    """Return what the tests of some modules say to prove."""
    return {claim for module in modules for mark in _marks(module) for claim in _claims(mark)}


def check(item: Any, applied: list[Applied]) -> None:
    """Check that a test has made happen what it says to prove, and that all of it is undone."""
    said = {claim for mark in item.iter_markers("proves") for claim in _claims(mark)}
    struck = {(one.platform, one.name) for one in applied if one.evidence().keys() - _NO_PROOF}
    assert said <= struck
    assert [one for one in applied if not one.undone] == []


def _marks(module: ModuleType) -> Iterator[pytest.Mark]:
    for value in vars(module).values():
        for test in (value, *(vars(value).values() if isinstance(value, type) else ())):
            found = getattr(test, "pytestmark", ())
            yield from found if isinstance(found, list) else ()


def _claims(mark: pytest.Mark) -> Iterator[Claim]:
    if mark.name == "proves":
        platform, *names = mark.args
        yield from ((platform, name) for name in names)
    elif mark.name == "parametrize":
        for case in mark.args[1]:
            for inner in getattr(case, "marks", ()):
                yield from _claims(getattr(inner, "mark", inner))
