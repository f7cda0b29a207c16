"""A circuit's parameters are valid, complete, and say what is wrong if they are not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.exceptions import ConfigurationError

WHOLE = "expected a whole number of at least 1."
SECONDS = "expected a number of seconds above 0."


def test_without_a_word_it_has_the_documented_values() -> None:
    assert dataclasses.asdict(CircuitConfig()) == {
        "failure_threshold": 5,
        "recovery_timeout": 60.0,
        "half_open_after": 30.0,
        "success_threshold": 2,
        "failure_rate": 0.5,
        "minimum_calls": 5,
        "window_s": 60.0,
        "probes": 1,
        "lease_s": 60.0,
        "growth": 2.0,
        "predictive": False,
    }


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        pytest.param({"recovery_timeout": 10}, "half_open_after", 10, id="no-later-than-the-end"),
        pytest.param({"recovery_timeout": 90}, "half_open_after", 30.0, id="thirty-seconds"),
        pytest.param({"half_open_after": 0}, "half_open_after", 0, id="given"),
        pytest.param({"failure_threshold": 3}, "minimum_calls", 5, id="five-calls"),
        pytest.param({"failure_threshold": 8}, "minimum_calls", 8, id="as-many-as-failures"),
        pytest.param({"failure_threshold": 8, "minimum_calls": 2}, "minimum_calls", 2, id="fewer"),
    ],
)
def test_what_is_not_given_follows_from_the_rest(
    given: dict[str, Any], name: str, value: float
) -> None:
    assert getattr(CircuitConfig(**given), name) == value


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"failure_threshold": 1, "success_threshold": 1, "minimum_calls": 1}, id="1"),
        pytest.param({"recovery_timeout": 0.001, "window_s": 0.001, "lease_s": 0.001}, id="short"),
        pytest.param({"probes": 10, "growth": 10, "failure_rate": 1}, id="most"),
        pytest.param({"growth": 1, "failure_rate": 0.001, "half_open_after": 60}, id="least"),
    ],
)
def test_the_ends_of_the_ranges_are_valid(given: dict[str, Any]) -> None:
    config = CircuitConfig(**given)
    assert {name: getattr(config, name) for name in given} == given


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("failure_threshold", 0, f"0 is not valid; {WHOLE}"),
        ("failure_threshold", 2.5, f"2.5 is not valid; {WHOLE}"),
        ("failure_threshold", True, f"True is not valid; {WHOLE}"),
        ("failure_threshold", "5", f"'5' is not valid; {WHOLE}"),
        ("success_threshold", 0, f"0 is not valid; {WHOLE}"),
        ("minimum_calls", 0, f"0 is not valid; {WHOLE}"),
        ("probes", 0, "0 is not valid; expected a whole number from 1 to 10."),
        ("probes", 11, "11 is not valid; expected a whole number from 1 to 10."),
        ("recovery_timeout", 0, f"0 is not valid; {SECONDS}"),
        ("recovery_timeout", -1, f"-1 is not valid; {SECONDS}"),
        ("recovery_timeout", math.inf, f"inf is not valid; {SECONDS}"),
        ("recovery_timeout", True, f"True is not valid; {SECONDS}"),
        ("window_s", 0.0, f"0.0 is not valid; {SECONDS}"),
        ("window_s", math.nan, f"nan is not valid; {SECONDS}"),
        ("lease_s", None, f"None is not valid; {SECONDS}"),
        (
            "half_open_after",
            -0.1,
            "-0.1 is not valid; expected a number from 0 to 60, which is recovery_timeout.",
        ),
        (
            "half_open_after",
            60.5,
            "60.5 is not valid; expected a number from 0 to 60, which is recovery_timeout.",
        ),
        ("growth", 0.9, "0.9 is not valid; expected a number from 1 to 10."),
        ("growth", 10.1, "10.1 is not valid; expected a number from 1 to 10."),
        ("failure_rate", 0, "0 is not valid; expected a number above 0 and at most 1."),
        ("failure_rate", 1.1, "1.1 is not valid; expected a number above 0 and at most 1."),
        ("failure_rate", "0.5", "'0.5' is not valid; expected a number above 0 and at most 1."),
        ("predictive", 1, "1 is not valid; expected True or False."),
    ],
)
def test_another_value_is_refused_with_what_is_valid(name: str, value: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        CircuitConfig(**{name: value})
    assert refused.value.message == f"{name}: {told}"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CircuitConfig().probes = 3  # type: ignore[misc]
