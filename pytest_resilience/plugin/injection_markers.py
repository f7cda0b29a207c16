"""The marker `inject_failure`, validated when tests are collected.

Invariant: a wrong argument is a usage error that names the test, the argument and the valid
ones, before any test runs.
"""

from __future__ import annotations

import pytest

from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.injection_points import nearest
from pytest_resilience.exceptions import ConfigurationError, MarkerError


def injections(item: pytest.Item) -> tuple[Injection, ...]:
    """Return what the markers of `item` ask for, the nearest first.

    Raises:
        MarkerError: A marker was given wrong arguments.
    """
    return tuple(_injection(item, marker) for marker in item.iter_markers("inject_failure"))


def _injection(item: pytest.Item, marker: pytest.Mark) -> Injection:
    source = f"{item.nodeid}: marker inject_failure"
    try:
        injection = Injection.from_arguments(marker.args, marker.kwargs)
    except ConfigurationError as error:
        raise MarkerError(f"{source}: {error.message}") from None
    wanted = injection.point.fixture
    # What is no function, such as a file of another plugin, has no fixtures to strike.
    fixtures: list[str] = getattr(item, "fixturenames", [])
    if wanted and wanted not in fixtures:
        known = ", ".join(fixtures) or "none"
        raise MarkerError(
            f"{source}: the test has no fixture {wanted!r}; it has: {known}."
            f"{nearest(wanted, fixtures)}"
        )
    return injection
