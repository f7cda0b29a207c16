"""The marker: wrong arguments are told with the name of the test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_resilience.core.injection import FailureType, Intensity
from pytest_resilience.core.injection_plan import ARGUMENTS, Injection
from pytest_resilience.core.injection_points import Point
from pytest_resilience.exceptions import MarkerError
from pytest_resilience.plugin.injection_markers import injections
from pytest_resilience.plugin.markers import INJECT_FAILURE


def mark(*args: Any, **kwargs: Any) -> SimpleNamespace:
    """Return a marker ``inject_failure``."""
    return SimpleNamespace(name="inject_failure", args=args, kwargs=kwargs)


def item(*marks: SimpleNamespace, **others: Any) -> pytest.Item:
    """Return what the function asks of an item."""
    return cast(
        pytest.Item,
        SimpleNamespace(
            nodeid="test_it.py::test_a",
            iter_markers=lambda name: [m for m in marks if m.name == name],
            **others,
        ),
    )


def test_each_marker_asks_for_one_failure() -> None:
    """Markers of others do not."""
    found = injections(
        item(
            mark("crash", at="setup:driver"),
            SimpleNamespace(name="no_resilience"),
            mark("hang", "mild", times=2),
            fixturenames=["driver"],
        )
    )
    assert found == (
        Injection(FailureType.CRASH, point=Point("setup", fixture="driver")),
        Injection(FailureType.HANG, Intensity.MILD, times=2),
    )


def test_no_marker_asks_for_nothing() -> None:
    assert injections(item()) == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (mark("crush"), "unknown type 'crush'; valid ones: connection_"),
        (mark("crash", time=2), "no argument 'time'; valid ones: type, int"),
        (
            mark("crash", at="setup:drvr"),
            "the test has no fixture 'drvr'; it has: app, driver. Did you mean 'driver'?",
        ),
    ],
    ids=["type", "keyword", "fixture"],
)
def test_a_wrong_one_is_refused_with_the_name_of_the_test(
    wrong: SimpleNamespace, told: str
) -> None:
    with pytest.raises(MarkerError) as refusal:
        injections(item(wrong, fixturenames=["app", "driver"]))
    assert refusal.value.message.startswith("test_it.py::test_a: marker inject_failure: ")
    assert told in refusal.value.message
    assert refusal.value.slug == "bad-marker"


def test_what_has_no_fixtures_has_none_to_strike() -> None:
    """Such as an item made of a text file."""
    with pytest.raises(MarkerError, match="no fixture 'driver'; it has: none"):
        injections(item(mark("crash", at="teardown:driver")))


def test_pytest_shows_the_arguments_there_are() -> None:
    signature = INJECT_FAILURE.partition(":")[0]
    names = [part.partition("=")[0].strip() for part in signature[15:-1].split(",")]
    assert signature.startswith("inject_failure(")
    assert names == list(ARGUMENTS)
