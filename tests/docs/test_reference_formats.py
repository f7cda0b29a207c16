"""The reference says what is written: tables of the history, and keys of the summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, Verdict
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.report import exchange
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.store.schema import MIGRATIONS
from tests.docs.pages import REFERENCE, column, sections, table, tables, text_of


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
