"""`config`: which values are refused, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.config import check, nearest
from pytest_resilience.exceptions import ConfigurationError, ResilienceError
from pytest_resilience.options import OPTIONS, RETRY_CHOICES, Option
from tests.config_samples import (
    BAD,
    SOURCES,
    each_option,
    given_as,
    named,
    resolved,
    samples,
    source_name,
)


def bad_values() -> list[Any]:
    rows = []
    for option in OPTIONS:
        values = list(BAD[option.kind])
        if option.kind in ("int", "seconds", "share"):
            values.append(str(option.minimum - 1))
            if option.maximum is not None:
                values.append(str(option.maximum + 1))
        rows += [
            pytest.param(option, value, id=f"{option.name}-{number}-{value!r}")
            for number, value in enumerate(values)
        ]
    return rows


class TestBadValues:
    """A bad value is refused in words that say where it stands and what would be right."""

    @pytest.mark.parametrize(("option", "value"), bad_values())
    @pytest.mark.parametrize("source", SOURCES)
    def test_the_message_names_source_value_and_valid_values(
        self, option: Option, value: Any, source: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            resolved(**given_as(option, source, value))
        start = f"{source_name(option, source)}: {value!r} is not valid; expected {option.valid}."
        assert caught.value.message.startswith(start)

    def test_it_leads_to_its_page_and_does_not_show_our_inner_error(self) -> None:
        with pytest.raises(ResilienceError) as caught:
            resolved(cli={"max_attempts": "abc"})
        assert str(caught.value).endswith(" [bad-option]")
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            pytest.param("enabled", "true or false", id="flag"),
            pytest.param("retry", "one of infrastructure, ambiguous, all", id="choice"),
            pytest.param("max_level", "a whole number from 1 to 5", id="int"),
            pytest.param("budget", "a number of seconds, 0 or more", id="seconds"),
            pytest.param("report", "a path to a file", id="path"),
            pytest.param("endpoints", "http or https URLs, separated by commas", id="list"),
        ],
    )
    def test_the_valid_values_are_said_in_words(self, name: str, words: str) -> None:
        assert named(name).valid == words

    @pytest.mark.parametrize("choice", RETRY_CHOICES)
    def test_a_near_miss_suggests_what_was_meant(self, choice: str) -> None:
        for typo in (choice[:-1], choice[1:], f"{choice}s"):
            with pytest.raises(ConfigurationError, match=f"Did you mean '{choice}'"):
                resolved(cli={"retry": typo})

    def test_a_wild_guess_suggests_nothing(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            resolved(cli={"retry": "zzz"})
        assert "Did you mean" not in caught.value.message

    def test_nearest_finds_the_nearest_name_or_stays_silent(self) -> None:
        assert nearest("max_attempt", ["max_attempts", "max_level"]) == (
            " Did you mean 'max_attempts'?"
        )
        assert nearest("colour", ["max_attempts", "max_level"]) == ""


class TestCheck:
    """`check` holds a value of a marker to the same rules."""

    @each_option
    def test_it_takes_what_the_option_takes(self, option: Option) -> None:
        for raw, value in samples(option):
            assert check(option.name, raw, "marker") == value

    @pytest.mark.parametrize(("option", "value"), bad_values())
    def test_it_refuses_what_the_option_refuses_and_names_the_given_source(
        self, option: Option, value: Any
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            check(option.name, value, "marker resilience(x=...)")
        assert caught.value.message.startswith(f"marker resilience(x=...): {value!r} is not valid")

    @pytest.mark.parametrize("name", ["retry", "max_attempts", "max_level"])
    def test_none_is_no_value_for_an_option_that_always_has_one(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="None is not valid"):
            check(name, None, "marker")
