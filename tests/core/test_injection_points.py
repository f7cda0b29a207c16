"""Points: every way to write one, and how wrong ones are refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection

from pytest_resilience.core.injection_points import COMMANDS, MOMENTS, PHASES, Point
from pytest_resilience.exceptions import ConfigurationError

#: Pieces of what people write, in any order.
pieces = [*PHASES, *MOMENTS, ":", "3", "0", "get", "click", " ", "é", "²", "-"]
fixtures = st.text(min_size=1).filter(lambda name: name == name.strip())
points = st.one_of(
    st.builds(Point, st.sampled_from(PHASES)),
    st.builds(Point, st.sampled_from(["setup", "teardown"]), fixture=fixtures),
    st.builds(Point, st.sampled_from(MOMENTS), number=st.integers(1, 10**9 - 1)),
    st.builds(Point, st.sampled_from(MOMENTS), command=st.sampled_from(COMMANDS)),
)


@given(points)
def test_what_is_written_is_read_again(point: Point) -> None:
    assert Point.parse(str(point)) == point


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("setup", Point("setup")),
        (" call ", Point("call")),
        ("teardown:driver", Point("teardown", fixture="driver")),
        ("before:3", Point("before", number=3)),
        ("during:get", Point("during", command="get")),
        ("after:find_element", Point("after", command="findElement")),
        ("before:execute_script", Point("before", command="executeScript")),
        ("before:w3cExecuteScript", Point("before", command="executeScript")),
        ("before:click", Point("before", command="clickElement")),
    ],
)
def test_it_is_read_as_people_write_it(text: str, point: Point) -> None:
    assert Point.parse(text) == point


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is not a point; expected setup, call"),
        ("calls", "Did you mean 'call'?"),
        ("durin:3", "Did you mean 'during'?"),
        ("call:driver", "'call:driver' is not a point"),
        ("setup:", "'setup:' is not a point"),
        ("before", "'before' is not a point"),
        ("before:", "'before:' is not a point"),
        ("before:0", "'before' is not a point"),
        ("before:-1", "'before:-1' is not a point"),
        ("before:1.5", "'before:1.5' is not a point"),
        ("before:" + "9" * 5000, "is not a point"),
        ("after:find_elemen", "unknown WebDriver command 'find_elemen'; valid ones: acceptAlert"),
        ("after:find_elemen", "Did you mean 'findElement'?"),
        ("after:clik", "Did you mean 'click'?"),
    ],
)
def test_what_is_no_point_is_refused_with_the_valid_ones(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Point.parse(text)
    assert told in refusal.value.message


@given(st.lists(st.sampled_from(pieces), max_size=4).map("".join) | st.text())
def test_any_text_is_a_point_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        point = Point.parse(text)
        assert Point.parse(str(point)) == point


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": "call", "fixture": "driver"},
        {"when": "setup", "number": 1},
        {"when": "before"},
        {"when": "before", "number": 1, "command": "get"},
        {"when": "before", "number": 1, "fixture": "driver"},
        {"when": "during", "number": -1},
        {"when": "now"},
    ],
    ids=str,
)
def test_none_can_be_made_that_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Point(**wrong)  # type: ignore[arg-type]


def test_it_knows_phases_from_fixtures() -> None:
    assert Point("setup").is_phase("setup")
    assert not Point("setup").is_phase("teardown")
    assert not Point("setup", fixture="driver").is_phase("setup")
    assert Point("setup", fixture="driver").is_fixture("setup", "driver")
    assert not Point("setup", fixture="driver").is_fixture("teardown", "driver")
    assert not Point("setup", fixture="driver").is_fixture("setup", "app")


def test_it_meets_the_command_with_its_number_alone() -> None:
    point = Point("before", number=3)
    assert point.is_command
    assert [n for n in range(1, 6) if point.meets("before", n, "get")] == [3]
    assert not point.meets("after", 3, "get")


@pytest.mark.parametrize("sent", ["w3cExecuteScript", "executeScript"])
def test_it_meets_a_command_under_every_name_selenium_gave_it(sent: str) -> None:
    point = Point("during", command="execute_script")
    assert point.meets("during", 7, sent)
    assert not point.meets("before", 7, sent)
    assert not point.meets("during", 7, "w3cExecuteScriptAsync")


def test_a_phase_meets_no_command() -> None:
    assert not Point("call").is_command
    assert not any(Point("call").meets(moment, 1, "get") for moment in MOMENTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_selenium_sends_every_command_there_is(command: str) -> None:
    sent = ChromeRemoteConnection("http://localhost:1")._commands
    assert any(Point("before", command=command).meets("before", 1, name) for name in sent)
