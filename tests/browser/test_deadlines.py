"""Deadlines of commands, and how long a client waits for its driver."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.browser import deadlines

COMMANDS = ("get", "clickElement", "w3cExecuteScript", "findElement", "getTitle", "newSession")
milliseconds = st.one_of(st.integers(-5, 10**7), st.floats(), st.none(), st.booleans(), st.text())
timeouts = st.dictionaries(st.sampled_from(["pageLoad", "script", "implicit"]), milliseconds)


@pytest.mark.parametrize(
    ("command", "set_ms", "slowest_s", "expected"),
    [
        pytest.param("get", {}, 0.0, 8, id="nothing-set"),
        pytest.param("get", {"pageLoad": 30_000}, 0.0, 30, id="page-load"),
        pytest.param("get", {"pageLoad": 2_000}, 0.0, 8, id="never-below-the-hang-timeout"),
        pytest.param("clickElement", {"pageLoad": 30_000}, 0.0, 30, id="click-may-navigate"),
        pytest.param("getTitle", {"pageLoad": 30_000}, 0.0, 8, id="a-title-does-not"),
        pytest.param("w3cExecuteScriptAsync", {"script": 20_000}, 0.0, 20, id="script"),
        pytest.param("findChildElements", {"implicit": 12_000}, 0.0, 12, id="implicit-wait"),
        pytest.param("getTitle", {}, 5.0, 15, id="it-was-slow-before"),
        pytest.param("getTitle", {}, 500.0, 30, id="slowness-is-forgiven-within-limits"),
        pytest.param("get", {"pageLoad": None}, 0.0, 8, id="none-is-no-time-out"),
    ],
)
def test_a_command_gets_what_the_user_granted_it(
    command: str, set_ms: dict[str, Any], slowest_s: float, expected: float
) -> None:
    found = deadlines.deadline(command, hang_timeout_s=8, timeouts_ms=set_ms, slowest_s=slowest_s)
    assert found == expected


@given(st.sampled_from(COMMANDS), st.floats(0.1, 100), timeouts, st.floats(0, 1e6))
def test_no_deadline_is_shorter_than_what_the_user_set(
    command: str, hang_timeout_s: float, set_ms: dict[str, Any], slowest_s: float
) -> None:
    """Whatever stands in the place of a time-out."""
    found = deadlines.deadline(
        command, hang_timeout_s=hang_timeout_s, timeouts_ms=set_ms, slowest_s=slowest_s
    )
    given_ms = set_ms.get(deadlines.governing_timeout(command))
    assert found >= hang_timeout_s
    if isinstance(given_ms, int) and not isinstance(given_ms, bool):
        assert found >= given_ms / 1000


@pytest.mark.parametrize(
    ("set_ms", "granted_ms", "expected"),
    [
        pytest.param({}, {"pageLoad": 300_000, "script": 30_000}, 310, id="a-drivers-defaults"),
        pytest.param({"pageLoad": 20_000}, {"pageLoad": 300_000}, 120, id="never-below-seleniums"),
        pytest.param({"script": 600_000}, {"pageLoad": 300_000}, 610, id="the-longest-counts"),
        pytest.param({"script": None}, {"pageLoad": 300_000}, None, id="a-script-without-end"),
        pytest.param({}, {}, 120, id="nothing-known"),
    ],
)
def test_a_client_outlasts_its_driver(
    set_ms: dict[str, Any], granted_ms: dict[str, Any], expected: float | None
) -> None:
    assert deadlines.client_limit(set_ms, granted_ms) == expected


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        pytest.param(None, {}, id="unseen"),
        pytest.param({"browserName": "chrome"}, {}, id="none"),
        pytest.param({"timeouts": {"pageLoad": 5}}, {"pageLoad": 5}, id="flat"),
        pytest.param({"timeouts": "soon"}, {}, id="nonsense"),
        pytest.param(
            {"capabilities": {"alwaysMatch": {"timeouts": {"script": 7, "x": 1}}, "firstMatch": 3}},
            {"script": 7},
            id="always-match",
        ),
        pytest.param(
            {"capabilities": {"firstMatch": [{"timeouts": {"implicit": 9}}]}},
            {"implicit": 9},
            id="first-match",
        ),
    ],
)
def test_timeouts_are_found_in_a_request(requested: Any, expected: dict[str, Any]) -> None:
    assert deadlines.requested_timeouts(requested) == expected
