"""``pytest-resilience diagnose``: one line out for each row in, and labels compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_resilience.cli import ExitCode, cli

FIELDS = ["id", "error_type", "layer", "infrastructure", "confidence", "rule", "recovery"]


def diagnose(*rows: Any) -> Result:
    """Run the command with `rows` on standard input; text is taken as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return CliRunner().invoke(cli, ["diagnose", "-"], input="\n".join(lines) + "\n")


def answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_row_with_a_message_alone_gets_all_the_fields() -> None:
    result = diagnose({"message": "tab crashed"})
    assert result.exit_code == ExitCode.OK
    assert [list(answer) for answer in answers(result)] == [FIELDS]


def test_rows_come_out_in_order_with_their_ids() -> None:
    result = diagnose({"id": "a", "message": "x"}, {"id": 7, "message": "y"})
    assert [answer["id"] for answer in answers(result)] == ["a", 7]


def test_a_dead_browser_is_infrastructure_and_an_assertion_is_not() -> None:
    result = diagnose(
        {
            "exc_type": "selenium.common.exceptions.InvalidSessionIdException",
            "message": "session deleted as the browser has closed the connection",
        },
        {"exc_type": "AssertionError", "message": "assert 'tab crashed' == 'ok'"},
    )
    assert [answer["infrastructure"] for answer in answers(result)] == [True, False]


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", "3", "null", "{", '{"message":'],
    ids=["text", "list", "number", "null", "open", "torn"],
)
def test_a_line_that_is_no_object_still_gets_a_line_and_is_reported(line: str) -> None:
    result = diagnose(line, {"id": "after", "message": "x"})
    assert result.exit_code == ExitCode.FINDINGS
    assert [answer["id"] for answer in answers(result)] == [None, "after"]
    assert "1 lines" in result.stderr


def test_blank_lines_are_no_rows() -> None:
    result = diagnose("", {"message": "x"}, "   ")
    assert (result.exit_code, len(answers(result))) == (ExitCode.OK, 1)


def test_labels_are_compared_on_standard_error_and_never_used() -> None:
    row = {"message": "tab crashed", "layer": "product", "infrastructure": False}
    result = diagnose(row)
    assert answers(result)[0]["layer"] == "browser"
    assert "infrastructure right: 0.0% of 1" in result.stderr
    assert "layer right: 0.0% of 1" in result.stderr


def test_without_labels_standard_error_is_silent() -> None:
    assert diagnose({"message": "x"}).stderr == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.jsonl"
    result = CliRunner().invoke(cli, ["diagnose", str(missing)])
    assert result.exit_code == ExitCode.UNREADABLE
    assert str(missing) in result.stderr


def test_a_file_is_read_whatever_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"id": 1, "message": "caf\xe9 \xff"}\n')
    result = CliRunner().invoke(cli, ["diagnose", str(file)])
    assert (result.exit_code, answers(result)[0]["id"]) == (ExitCode.OK, 1)
