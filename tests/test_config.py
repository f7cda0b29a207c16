"""`config`: where a setting comes from, what it may be, and what a person is told of a bad one.

Most tests run over the whole `OPTIONS` table, so a new option is tested by being in it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.config import (
    ItemPolicy,
    Settings,
    check,
    nearest,
    resolve,
)
from pytest_resilience.exceptions import ConfigurationError, ResilienceError
from pytest_resilience.options import OPTIONS, RETRY_CHOICES, Option

ROOTDIR = Path("/project")
INVOCATION_DIR = Path("/project/suite")
SOURCES = ("cli", "env", "ini")

#: Two valid texts of each kind with what they mean, before paths get their base.
SAMPLES: dict[str, tuple[tuple[str, Any], tuple[str, Any]]] = {
    "flag": (("yes", True), ("off", False)),
    "int": (("2", 2), ("3", 3)),
    "seconds": (("2.5", 2.5), ("45", 45.0)),
    "share": (("0.5", 0.5), ("1", 1.0)),
    "faults": (
        ("crash", ("crash",)),
        (" hang:mild@before:3 ,crash\n timeout", ("hang:mild@before:3", "crash", "timeout")),
    ),
    "path": (("out/one.file", Path("out/one.file")), ("two.file", Path("two.file"))),
    "list": (
        ("http://hub:4444", ("http://hub:4444",)),
        (" https://me:pw@a:1/wd/hub , http://b ", ("https://me:pw@a:1/wd/hub", "http://b")),
    ),
}

BAD_NUMBERS: tuple[Any, ...] = (
    *("nan", "inf", "-inf", "1e999", "-1", "abc", "", "1,5"),
    *(math.nan, math.inf, True, []),
)

#: Values of each kind that must be refused, besides numbers just outside the limits.
BAD: dict[str, tuple[Any, ...]] = {
    "flag": ("maybe", "2", "truee", "-1"),
    "choice": ("", "sometimes", "0", True, []),
    "int": (*BAD_NUMBERS, "1.5", 1.5),
    "seconds": BAD_NUMBERS,
    "share": BAD_NUMBERS,
    "faults": ("", " , ", "\n", True, 3, [], [3]),
    "path": ("", "  ", "\t\n", True, 3),
    "list": (
        *("", " , ", "hub:4444", "ftp://hub", "http://", "http://a b", "http://hub:99999"),
        *("http://hub:0", "http://hub,nonsense", True, 3, [], [3]),
    ),
}

#: The names users have in their files: option, flag, ini key, environment variable, default.
PUBLISHED = (
    ("enabled", "--resilience", "resilience", "PYTEST_RESILIENCE", False),
    (
        "retry",
        "--resilience-retry",
        "resilience_retry",
        "PYTEST_RESILIENCE_RETRY",
        "infrastructure",
    ),
    (
        "max_attempts",
        "--resilience-max-attempts",
        "resilience_max_attempts",
        "PYTEST_RESILIENCE_MAX_ATTEMPTS",
        4,
    ),
    (
        "max_level",
        "--resilience-max-level",
        "resilience_max_level",
        "PYTEST_RESILIENCE_MAX_LEVEL",
        5,
    ),
    ("budget", "--resilience-budget", "resilience_budget", "PYTEST_RESILIENCE_BUDGET", None),
    (
        "endpoints",
        "--resilience-endpoints",
        "resilience_endpoints",
        "PYTEST_RESILIENCE_ENDPOINTS",
        None,
    ),
    ("strict", "--resilience-strict", "resilience_strict", "PYTEST_RESILIENCE_STRICT", False),
    (
        "db",
        "--resilience-db",
        "resilience_db",
        "PYTEST_RESILIENCE_DB",
        Path(".resilience/history.duckdb"),
    ),
    (
        "report",
        "--resilience-report",
        "resilience_report",
        "PYTEST_RESILIENCE_REPORT",
        Path(".resilience/report.html"),
    ),
    ("json", "--resilience-json", "resilience_json", "PYTEST_RESILIENCE_JSON", None),
    (
        "inject_failure",
        "--inject-failure",
        "resilience_inject_failure",
        "PYTEST_RESILIENCE_INJECT_FAILURE",
        None,
    ),
    (
        "inject_rate",
        "--inject-rate",
        "resilience_inject_rate",
        "PYTEST_RESILIENCE_INJECT_RATE",
        0.0,
    ),
    (
        "inject_seed",
        "--inject-seed",
        "resilience_inject_seed",
        "PYTEST_RESILIENCE_INJECT_SEED",
        0,
    ),
    (
        "inject_learn",
        "--inject-learn",
        "resilience_inject_learn",
        "PYTEST_RESILIENCE_INJECT_LEARN",
        False,
    ),
)

each_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def named(name: str) -> Option:
    return next(option for option in OPTIONS if option.name == name)


def given_as(option: Option, source: str, raw: Any) -> dict[str, Any]:
    """Return the argument of `resolve` that says `raw` in `source`."""
    return {source: {option.env if source == "env" else option.name: raw}}


def resolved(**sources: Any) -> Settings:
    return resolve(
        sources.get("cli", {}),
        sources.get("env", {}),
        sources.get("ini", {}),
        invocation_dir=INVOCATION_DIR,
        rootdir=ROOTDIR,
    )


def samples(option: Option) -> tuple[tuple[str, Any], tuple[str, Any]]:
    if option.kind == "choice":
        first, second, *_ = option.choices
        return (first, first), (second, second)
    return SAMPLES[option.kind]


def seen_from(source: str, value: Any) -> Any:
    """Return `value` as `source` means it: a path starts at the directory of its source."""
    base = ROOTDIR if source == "ini" else INVOCATION_DIR
    return base / value if isinstance(value, Path) else value


def source_name(option: Option, source: str) -> str:
    return {
        "cli": option.flag,
        "env": f"environment variable {option.env}",
        "ini": f"ini key {option.ini}",
    }[source]


class TestTable:
    """The table and the dataclass are two views of one thing."""

    def test_settings_have_exactly_the_options_of_the_table_with_its_defaults(self) -> None:
        fields = [(field.name, field.default) for field in dataclasses.fields(Settings)]
        assert fields == [(option.name, option.default) for option in OPTIONS]

    @pytest.mark.parametrize(
        ("name", "flag", "ini", "env", "default"), PUBLISHED, ids=[row[0] for row in PUBLISHED]
    )
    def test_published_names_and_defaults_stay(
        self, name: str, flag: str, ini: str, env: str, default: Any
    ) -> None:
        option = named(name)
        assert (option.flag, option.ini, option.env, option.default) == (flag, ini, env, default)

    @pytest.mark.parametrize("place", ["name", "flag", "ini", "env"])
    def test_no_two_options_share_a_name(self, place: str) -> None:
        names = [getattr(option, place) for option in OPTIONS]
        names += [option.negative_flag for option in OPTIONS if option.negative_flag]
        assert len(set(names)) == len(names)

    @each_option
    def test_every_option_is_explained_in_sentences(self, option: Option) -> None:
        assert option.help[0].isupper()
        assert option.help.endswith(".")

    @each_option
    def test_only_choices_have_choices_and_the_default_is_one_of_them(self, option: Option) -> None:
        assert (option.kind == "choice") == bool(option.choices)
        assert not option.choices or option.default in option.choices

    @each_option
    def test_the_help_has_something_to_stand_for_the_value(self, option: Option) -> None:
        assert option.kind == "flag" or option.metavar or option.choices

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Settings().max_attempts = 9  # type: ignore[misc]


class TestPrecedence:
    """Command line > environment > ini file > default."""

    def test_without_any_source_every_default_holds_and_paths_start_at_the_rootdir(self) -> None:
        expected = {option.name: seen_from("ini", option.default) for option in OPTIONS}
        assert dataclasses.asdict(resolved()) == expected

    @each_option
    @pytest.mark.parametrize("source", SOURCES)
    def test_a_value_of_any_source_beats_the_default(self, option: Option, source: str) -> None:
        for raw, value in samples(option):
            settings = resolved(**given_as(option, source, raw))
            assert getattr(settings, option.name) == seen_from(source, value)

    @each_option
    @pytest.mark.parametrize(
        ("winner", "loser"),
        list(itertools.combinations(SOURCES, 2)),
        ids=lambda source: source,
    )
    def test_of_two_sources_the_higher_one_wins(
        self, option: Option, winner: str, loser: str
    ) -> None:
        for (raw, value), (other, _) in itertools.permutations(samples(option)):
            settings = resolved(**given_as(option, winner, raw), **given_as(option, loser, other))
            assert getattr(settings, option.name) == seen_from(winner, value)

    @each_option
    def test_the_value_that_loses_is_not_even_looked_at(self, option: Option) -> None:
        raw, value = samples(option)[0]
        settings = resolved(
            **given_as(option, "cli", raw), **given_as(option, "ini", BAD[option.kind][0])
        )
        assert getattr(settings, option.name) == seen_from("cli", value)

    @each_option
    def test_setting_one_option_leaves_all_others_alone(self, option: Option) -> None:
        settings = resolved(**given_as(option, "env", samples(option)[0][0]))
        untouched = {o.name: getattr(settings, o.name) for o in OPTIONS if o is not option}
        assert untouched == {name: getattr(resolved(), name) for name in untouched}

    def test_variables_of_others_in_the_environment_are_ignored(self) -> None:
        assert resolved(env={"RESILIENCE_RETRY": "x", "PYTEST_ADDOPTS": "-x"}) == resolved()

    @pytest.mark.parametrize("source", SOURCES)
    @pytest.mark.parametrize("name", [o.name for o in OPTIONS if o.kind == "path"])
    def test_an_absolute_path_stays_what_it_is(self, name: str, source: str) -> None:
        settings = resolved(**given_as(named(name), source, "/var/results/file"))
        assert getattr(settings, name) == Path("/var/results/file")


class TestWords:
    """How the text of an ini file or a variable is read."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            pytest.param(["1", "true", "yes", "on", "TRUE", " On "], True, id="on"),
            pytest.param(["0", "false", "no", "off", "False", " NO ", ""], False, id="off"),
        ],
    )
    def test_a_flag_understands_the_usual_words(self, words: list[str], expected: bool) -> None:
        assert {resolved(env={"PYTEST_RESILIENCE": word}).enabled for word in words} == {expected}

    def test_a_whole_number_may_be_written_with_a_decimal_point(self) -> None:
        attempts = resolved(ini={"max_attempts": "3.0"}).max_attempts
        assert (attempts, type(attempts)) == (3, int)

    def test_a_budget_of_nothing_is_not_the_same_as_no_budget(self) -> None:
        assert resolved(env={"PYTEST_RESILIENCE_BUDGET": "0"}).budget == 0.0
        assert resolved().budget is None

    @given(number=st.floats() | st.integers(-(10**6), 10**6).map(float))
    @pytest.mark.parametrize(
        "option",
        [o for o in OPTIONS if o.kind in ("int", "seconds", "share")],
        ids=lambda o: o.name,
    )
    def test_a_number_is_taken_exactly_when_it_is_finite_and_within_its_limits(
        self, option: Option, number: float
    ) -> None:
        maximum = math.inf if option.maximum is None else option.maximum
        if option.name == "circuit_half_open_after":
            maximum = Settings().circuit_recovery_timeout
        valid = math.isfinite(number) and option.minimum <= number <= maximum
        if option.kind == "int":
            valid = valid and number.is_integer()
        try:
            taken = getattr(resolved(**given_as(option, "ini", repr(number))), option.name)
        except ConfigurationError:
            taken = None
        assert taken == (number if valid else None)

    def test_a_circuit_cannot_be_probed_later_than_it_opens_by_itself(self) -> None:
        """Where both are given, that is an error; a default gives way."""
        with pytest.raises(ConfigurationError) as caught:
            resolved(
                cli={"circuit_half_open_after": "9", "circuit_recovery_timeout": "3"},
            )
        assert "--circuit-breaker-half-open-after: 9 is not valid" in str(caught.value)
        assert "from 0.1 to 3" in str(caught.value)
        assert resolved(cli={"circuit_recovery_timeout": "1"}).circuit_half_open_after == 1

    @given(text=st.text())
    @each_option
    def test_whatever_the_text_the_answer_is_a_value_or_a_configuration_error(
        self, option: Option, text: str
    ) -> None:
        answer: Any
        try:
            answer = getattr(resolved(**given_as(option, "env", text)), option.name)
        except ConfigurationError as error:
            answer = error
        if isinstance(answer, ConfigurationError):
            assert repr(text) in answer.message
        else:
            nothing = [type(None)] if option.can_be_none else []
            assert type(answer) in (bool, int, float, str, tuple, type(Path()), *nothing)


class TestNegativeFlags:
    """A negative flag switches off what is on by default."""

    with_negative = pytest.mark.parametrize(
        "option", [o for o in OPTIONS if o.negative_flag], ids=lambda o: o.negative_flag
    )

    @with_negative
    def test_it_switches_the_option_off(self, option: Option) -> None:
        off = getattr(resolved(cli={option.name: False}), option.name)
        assert off is (None if option.can_be_none else False)

    @with_negative
    def test_it_beats_a_value_from_the_environment_and_the_ini_file(self, option: Option) -> None:
        raw = samples(option)[0][0]
        settings = resolved(cli={option.name: False}, env={option.env: raw}, ini={option.name: raw})
        assert not getattr(settings, option.name)

    @pytest.mark.parametrize("word", ["none", "None", " OFF "])
    def test_the_word_none_does_it_in_the_environment_and_the_ini_file(self, word: str) -> None:
        for option in OPTIONS:
            if option.can_be_none:
                assert getattr(resolved(env={option.env: word}), option.name) is None
                assert getattr(resolved(ini={option.name: word}), option.name) is None

    @with_negative
    def test_its_name_is_the_flag_with_no_in_front(self, option: Option) -> None:
        assert option.negative_flag == option.flag.replace("--", "--no-", 1)

    @pytest.mark.parametrize(
        "option",
        [o for o in OPTIONS if not o.negative_flag and o.kind != "flag"],
        ids=lambda o: o.name,
    )
    def test_false_means_nothing_to_an_option_without_one(self, option: Option) -> None:
        with pytest.raises(ConfigurationError, match="False is not valid"):
            resolved(cli={option.name: False})


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


def test_a_test_without_a_marker_has_the_policy_of_the_settings() -> None:
    settings = Settings(retry="ambiguous", max_attempts=7, max_level=2)
    assert ItemPolicy.of(settings) == ItemPolicy(retry="ambiguous", max_attempts=7, max_level=2)
