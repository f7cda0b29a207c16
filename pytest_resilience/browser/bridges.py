"""Finds the driver in what people hold one by: itself, a wrapper, a collection.

Invariant: nothing is called and no property is evaluated on the way, but for a few names under
which wrappers are known to hand out their driver; where selenium was never imported there is
no driver, and it is not imported for the search.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

_DRIVER_MODULE = "selenium.webdriver.remote.webdriver"
#: Under these, wrappers hand out the driver they hold, be it by a property.
_NAMES = ("driver", "wrapped_driver", "webdriver", "browser", "selenium")
#: Wrappers inside wrappers that are looked into.
_DEPTH = 3
#: Values of one object that are looked at.
_WIDTH = 200
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, type(sys))


def driver_in(value: object) -> WebDriver | None:
    """Return the driver that `value` is, or holds; None if there is none."""
    kind = getattr(sys.modules.get(_DRIVER_MODULE), "WebDriver", None)
    if kind is None:
        return None
    seen: set[int] = set()
    level: list[object] = [value]
    for _ in range(_DEPTH + 1):
        inner: list[object] = []
        for candidate in level:
            if isinstance(candidate, kind):
                found: WebDriver = candidate
                return found
            if isinstance(candidate, _PLAIN) or callable(candidate) or id(candidate) in seen:
                continue
            seen.add(id(candidate))
            inner += _held(candidate)
        level = inner
    return None


def drivers_in(values: Iterable[object]) -> Iterator[WebDriver]:
    """Yield the driver of each of `values` that has one."""
    for value in values:
        driver = driver_in(value)
        if driver is not None:
            yield driver


def _held(value: Any) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())[:_WIDTH]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)[:_WIDTH]
    held = [*getattr(value, "__dict__", {}).values()][:_WIDTH]
    for name in _NAMES:
        # Where a class says so: any object could make up any attribute.
        if hasattr(type(value), name):
            try:
                held.append(getattr(value, name))
            except Exception:  # noqa: BLE001 - a wrapper without a driver may say so in any way
                continue
    return held
