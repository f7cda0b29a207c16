"""`config`: where a setting comes from, and how it may be said."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.options import OPTIONS, Option
from tests.config_samples import (
    BAD,
    PUBLISHED,
    SOURCES,
    each_option,
    given_as,
    named,
    resolved,
    samples,
    seen_from,
)


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


def test_a_test_without_a_marker_has_the_policy_of_the_settings() -> None:
    settings = Settings(retry="ambiguous", max_attempts=7, max_level=2)
    assert ItemPolicy.of(settings) == ItemPolicy(retry="ambiguous", max_attempts=7, max_level=2)
