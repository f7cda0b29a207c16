"""The reference says what the code says: nothing is missing, nothing is told that is not there."""

from __future__ import annotations

import dataclasses
import inspect
import random
import re
from enum import Enum
from pathlib import Path

import click
import pytest

import pytest_resilience
from pytest_resilience import ResilienceError, hookspecs
from pytest_resilience.cli import ExitCode, cli
from pytest_resilience.core import evidence as ev
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import BUILTIN_RULES
from pytest_resilience.core.deferral import Defer
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, Verdict
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.rule import Rule
from pytest_resilience.core.rules import USUAL_RECOVERY, USUAL_SEVERITY
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.options import OPTIONS, Option
from pytest_resilience.plugin import markers
from tests.docs.pages import (
    DOCS,
    PAGES,
    REFERENCE,
    ROOT,
    column,
    name_of,
    sections,
    table,
    tables,
    text_of,
)
from tests.doubles import FakeClock


class TestOptions:
    """options.md, and the short table in the README."""

    def row(self, option: Option) -> dict[str, str]:
        rows = table(REFERENCE / "options.md", "flag")
        found = [row for row in rows if option.flag in re.findall(r"--[\w-]+", row["flag"])]
        assert len(found) == 1, f"{option.flag}: {len(found)} rows in options.md"
        return found[0]

    @pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
    def test_its_row_says_where_it_is_set_and_what_is_valid(self, option: Option) -> None:
        row = self.row(option)
        default = "not set" if option.default is None else str(option.default)
        assert {name: row[name] for name in list(row)[1:-1]} == {
            "ini key": option.ini,
            "environment variable": option.env,
            "type": option.kind,
            "default": default,
            "valid values": option.valid,
        }
        assert row["meaning"]
        assert option.negative_flag in row["flag"]

    def test_no_row_is_about_an_option_that_is_not_there(self) -> None:
        assert len(table(REFERENCE / "options.md", "flag")) == len(OPTIONS)

    def test_every_type_is_explained(self) -> None:
        told = column(table(REFERENCE / "options.md", "type"), "type")
        assert set(told) == {option.kind for option in OPTIONS}

    @pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
    def test_the_readme_has_it(self, option: Option) -> None:
        told = column(table(ROOT / "README.md", "option"), "option")
        assert {option.flag, option.negative_flag} & set(told)

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_pages_speak_of_options_that_exist(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        flags = {o.flag for o in OPTIONS} | {o.negative_flag for o in OPTIONS}
        assert set(re.findall(r"--(?:no-)?resilience[\w-]*", text)) <= flags
        variables = set(re.findall(r"\bPYTEST_RESILIENCE\w*", text))
        assert variables <= {option.env for option in OPTIONS}
        keys = set(re.findall(r"^(resilience\w*) *=", text, flags=re.MULTILINE))
        assert keys <= {option.ini for option in OPTIONS}


class TestMarkers:
    """markers.md."""

    def test_it_has_a_section_for_each_marker_and_no_other(self) -> None:
        registered = [line.partition(":")[0].partition("(")[0] for line in markers.REGISTRATIONS]
        assert sorted(sections(REFERENCE / "markers.md")) == sorted(registered)

    def test_it_lists_the_arguments(self) -> None:
        told = column(table(REFERENCE / "markers.md", "argument"), "argument")
        assert told == list(markers._ARGUMENTS)

    @pytest.mark.parametrize("registration", markers.REGISTRATIONS, ids=lambda text: text[:13])
    def test_it_says_what_pytest_markers_says(self, registration: str) -> None:
        signature = registration.partition(":")[0]
        assert f"`{signature}`" in text_of("markers.md")


HOOKS = {name: f for name, f in vars(hookspecs).items() if name.startswith("pytest_")}


class TestHooks:
    """hooks.md."""

    def test_it_has_a_section_for_each_hook_and_no_other(self) -> None:
        assert sorted(sections(REFERENCE / "hooks.md")) == sorted(HOOKS)

    @pytest.mark.parametrize("name", HOOKS)
    def test_its_section_has_the_signature_and_every_parameter(self, name: str) -> None:
        section = sections(REFERENCE / "hooks.md")[name]
        parameters = list(inspect.signature(HOOKS[name]).parameters)
        assert f"`{name}({', '.join(parameters)})`" in section
        told = [rows for rows in tables(section) if "parameter" in rows[0]]
        assert column(told[0], "parameter") == parameters

    def test_it_lists_the_kinds_of_events(self) -> None:
        from pytest_resilience.core import events

        kinds = [v for k, v in vars(events).items() if k.isupper() and isinstance(v, str)]
        assert sorted(column(table(REFERENCE / "hooks.md", "kind"), "kind")) == sorted(kinds)


STRATEGIES: tuple[RecoveryStrategy, ...] = (
    *builtin_strategies(FakeClock(), random.Random(0)),
    Defer(),
)


class TestVocabulary:
    """Verdicts, error types, severities, probes, strategies, levels."""

    def test_verdicts_are_those_of_the_code_and_say_whether_they_fail(self) -> None:
        rows = table(REFERENCE / "verdicts.md", "verdict")
        told = {row["verdict"]: row["fails the run"].split(";")[0] for row in rows}
        assert told == {v.value: "yes" if v.fails_session else "no" for v in Verdict}

    def test_error_types_are_those_of_the_code(self) -> None:
        rows = table(REFERENCE / "error-types.md", "error type")
        told = [(r["error type"], r["infrastructure"], r["layer"], r["severity"]) for r in rows]
        assert told == [
            (m.label, "yes" if m.infrastructure else "no", m.layer, USUAL_SEVERITY[m].value)
            for m in ErrorType
        ]

    def test_severities_are_those_of_the_code(self) -> None:
        section = sections(REFERENCE / "error-types.md")["Severities"]
        assert re.findall(r"`(\w+)`", section) == [member.value for member in ErrorSeverity]

    def test_probes_and_answers_are_the_constants_of_the_code(self) -> None:
        words = {v for k, v in vars(ev).items() if k.isupper() and isinstance(v, str)}
        probes = column(table(REFERENCE / "probes.md", "probe"), "probe")
        answers = column(table(REFERENCE / "probes.md", "answer"), "answer")
        assert sorted({*probes, *answers}) == sorted(words)
        assert len(probes) + len(answers) == len(words)

    def test_strategies_are_the_built_in_ones(self) -> None:
        told = table(REFERENCE / "strategies.md", "strategy")
        levels = {strategy.name: str(int(strategy.level)) for strategy in STRATEGIES}
        assert {row["strategy"]: row["level"] for row in told} == levels

    @pytest.mark.parametrize("found", STRATEGIES, ids=lambda strategy: strategy.name)
    def test_a_strategy_applies_to_the_error_types_its_row_names(
        self, found: RecoveryStrategy
    ) -> None:
        rows = table(REFERENCE / "strategies.md", "strategy")
        told = next(row["error types"] for row in rows if row["strategy"] == found.name)
        named = set(re.findall(r"`(\w+)`", f"`{told}`"))
        everything = {member.label for member in ErrorType}
        applies = everything - named if told.startswith("all but") else named
        assert applies == {member.label for member in found.error_types}

    def test_levels_are_those_of_the_code(self) -> None:
        rows = table(REFERENCE / "strategies.md", "level")
        told = {(row["level"], row["name"]) for row in rows}
        assert told == {(str(int(level)), level.name) for level in ProgressiveRecoveryLevel}

    def test_recommended_recoveries_are_those_of_the_rules(self) -> None:
        told = column(table(REFERENCE / "strategies.md", "recovery"), "recovery")
        used = {rule.recovery for rule in BUILTIN_RULES if rule.recovery}
        assert used | set(USUAL_RECOVERY.values()) <= set(told)


class TestMessages:
    """messages.md has a section for every slug."""

    def test_it_has_a_section_for_each_slug_and_no_other(self) -> None:
        sources = (ROOT / "pytest_resilience").rglob("*.py")
        found = [
            re.findall(r'^    slug = "([\w-]+)"$', p.read_text("utf-8"), re.M) for p in sources
        ]
        slugs = {slug for several in found for slug in several}
        assert ResilienceError.slug in slugs
        assert set(sections(REFERENCE / "messages.md")) == slugs


class TestCommandLine:
    """command-line.md."""

    def test_it_has_a_section_for_each_command_and_no_other(self) -> None:
        told = set(sections(REFERENCE / "command-line.md")) - {"Exit status"}
        assert told == set(cli.commands)

    @pytest.mark.parametrize("name", sorted(cli.commands))
    def test_its_section_names_every_argument_and_option(self, name: str) -> None:
        section = sections(REFERENCE / "command-line.md")[name]
        for parameter in cli.commands[name].params:
            if isinstance(parameter, click.Argument):
                shown = parameter.make_metavar(_context(name)).strip("[]")
                assert f"| `{shown}` |" in section
            else:
                for flag in parameter.opts:
                    assert f"`{flag}`" in section

    def test_exit_statuses_are_those_of_the_code(self) -> None:
        rows = table(REFERENCE / "command-line.md", "exit status")
        told = {(row["exit status"], row["name"]) for row in rows}
        assert told == {(str(code.value), code.name) for code in ExitCode}

    def test_the_fields_of_diagnose_are_what_it_prints(self) -> None:
        from pytest_resilience.core.triage import triage

        told = column(table(REFERENCE / "command-line.md", "output field"), "output field")
        assert told == list(triage({}))


def _context(name: str) -> click.Context:
    return click.Context(cli.commands[name], info_name=name)


class TestApi:
    """api.md."""

    def test_it_lists_the_public_names(self) -> None:
        told = column(table(REFERENCE / "api.md", "name"), "name")
        assert sorted(told) == sorted(pytest_resilience.__all__)

    def test_it_lists_the_fields_of_a_rule(self) -> None:
        told = column(table(REFERENCE / "api.md", "field"), "field")
        assert sorted(told) == sorted(f.name for f in dataclasses.fields(Rule) if f.init)


def test_the_glossary_is_in_alphabetical_order() -> None:
    """So that a word is found."""
    text = (DOCS / "explanation" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\*\*(.+?)\.\*\*", text, flags=re.MULTILINE)]
    assert words == sorted(words)


def test_every_enumeration_shown_is_one() -> None:
    """The page of the Python API calls these enumerations."""
    rows = table(REFERENCE / "api.md", "name")
    for row in rows:
        if "as an enumeration" in row["what it is"]:
            assert issubclass(getattr(pytest_resilience, row["name"]), Enum)
