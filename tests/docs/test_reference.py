"""The reference says what the code says: nothing is missing, nothing is told that is not there."""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import click
import pytest

import pytest_resilience
from pytest_resilience import ResilienceError, hookspecs
from pytest_resilience.cli import ExitCode, cli
from pytest_resilience.core import evidence as ev
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import BUILTIN_RULES
from pytest_resilience.core.deferral import Defer
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, Verdict
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.rule import Rule
from pytest_resilience.core.rules import USUAL_RECOVERY, USUAL_SEVERITY
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.options import OPTIONS, Option
from pytest_resilience.plugin import markers
from pytest_resilience.report import exchange
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.store.schema import MIGRATIONS
from tests.docs.pages import DOCS, PAGES, ROOT, name_of, sections, table, tables
from tests.doubles import FakeClock

REFERENCE = DOCS / "reference"


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


def text_of(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


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


@pytest.fixture(scope="module")
def schema() -> dict[str, list[tuple[str, str]]]:
    """Return the columns and their types of each table, in order."""
    import duckdb

    with duckdb.connect() as connection:
        for step in MIGRATIONS:
            connection.execute(step.sql)
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns()"
            " WHERE NOT internal ORDER BY table_oid, column_index"
        ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for name, column_name, type_ in columns:
        found.setdefault(name, []).append((column_name, type_))
    return found


class TestHistory:
    """history.md has every table, every column, every type, in order."""

    def test_it_has_a_section_for_each_table_and_no_other(
        self, schema: dict[str, list[tuple[str, str]]]
    ) -> None:
        assert sorted(sections(REFERENCE / "history.md", level=3)) == sorted(schema)

    def test_each_section_lists_the_columns(self, schema: dict[str, list[tuple[str, str]]]) -> None:
        told = {
            name: [(row["column"], row["type"]) for row in tables(text)[0]]
            for name, text in sections(REFERENCE / "history.md", level=3).items()
        }
        assert told == schema

    def test_each_column_has_a_meaning(self) -> None:
        silent = [
            f"{name}.{row['column']}"
            for name, text in sections(REFERENCE / "history.md", level=3).items()
            for row in tables(text)[0]
            if not row["meaning"]
        ]
        assert silent == []


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


class TestSummarySchema:
    """summary.schema.json describes what --resilience-json writes, and formats.md says the same."""

    SCHEMA = json.loads((REFERENCE / "summary.schema.json").read_text(encoding="utf-8"))

    @property
    def attempt(self) -> dict[str, Any]:
        test = self.SCHEMA["properties"]["tests"]["items"]["properties"]
        schema: dict[str, Any] = test["attempts"]["items"]
        return schema

    def test_a_summary_fits_it(self) -> None:
        assert list(misfits(exchange.to_json(_summary()), self.SCHEMA, "summary")) == []

    def test_the_keys_of_an_attempt_are_the_promised_ones(self) -> None:
        assert self.attempt["required"] == list(exchange._PROMISED)

    def test_verdicts_and_outcomes_are_those_of_the_vocabulary(self) -> None:
        verdicts = [verdict.value for verdict in Verdict]
        assert self.SCHEMA["properties"]["counts"]["required"] == verdicts
        outcomes = column(table(REFERENCE / "verdicts.md", "outcome"), "outcome")
        assert self.attempt["properties"]["outcome"]["enum"] == outcomes

    def test_formats_lists_the_same_keys(self) -> None:
        summary, attempt = (
            rows for rows in tables(text_of("formats.md")) if next(iter(rows[0])) == "key"
        )
        assert column(summary, "key") == self.SCHEMA["required"]
        assert column(attempt, "key") == self.attempt["required"]

    @pytest.mark.parametrize(
        ("value", "schema"),
        [
            pytest.param("x", {"type": "integer"}, id="type"),
            pytest.param({}, {"type": "object", "required": ["a"]}, id="missing-key"),
            pytest.param(
                {"b": 1}, {"type": "object", "additionalProperties": False}, id="unknown-key"
            ),
            pytest.param([1, "x"], {"type": "array", "items": {"type": "integer"}}, id="item"),
            pytest.param("c", {"enum": ["a", "b"]}, id="enum"),
        ],
    )
    def test_what_does_not_fit_is_found(self, value: Any, schema: dict[str, Any]) -> None:
        assert list(misfits(value, schema, "value"))


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def misfits(value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
    """Yield where `value` does not fit `schema`; knows the part of JSON Schema used here."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    kinds = schema.get("type", [])
    allowed = [t for kind in ([kinds] if isinstance(kinds, str) else kinds) for t in _TYPES[kind]]
    if allowed and not isinstance(value, tuple(allowed)):
        yield f"{where}: {type(value).__name__} is not {kinds}"
    elif isinstance(value, dict):
        yield from (
            f"{where}: no {key!r}" for key in schema.get("required", []) if key not in value
        )
        others = schema.get("additionalProperties", True)
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, others)
            if inner is False:
                yield f"{where}: unknown key {key!r}"
            elif isinstance(inner, dict):
                yield from misfits(item, inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from misfits(item, schema.get("items", {}), f"{where}[{number}]")


def _summary() -> Summary:
    failed = Attempt(
        outcome="rerun",
        error_type=ErrorType.BROWSER.label,
        severity=ErrorSeverity.HIGH.value,
        exception="WebDriverException",
        message="tab crashed",
        rule="tab-crashed",
        evidence=(ev.ProbeResult(ev.SESSION, ev.CRASHED, "", 0.01).to_dict(),),
        strategy="browser_restart",
        level=int(ProgressiveRecoveryLevel.COMPONENT),
        recovery_s=0.4,
    )
    record = RecoveryPerformanceRecord("browser_restart", "Browser restart", "browser", 0.4, True)
    return Summary(
        session=SessionInfo(session_id="s1", started_us=1, finished_us=2, workers=["main"]),
        tests=[TestResult("t.py::test_a", "recovered", attempts=[failed, Attempt(number=2)])],
        recoveries=[record],
    )


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
