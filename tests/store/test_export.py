"""Exports: every table in every format, nothing downloaded, nothing overwritten."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store.export import FORMATS, export
from pytest_resilience.store.history import History

from .samples import recovery

Fill = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]

HOSTILE = [
    "",
    "a,b",
    'a"b',
    "line\nbreak",
    "\r\n",
    "NULL",
    " ",
    "ü🧨",
    "\0",
    "'",
    "\\",
    '""',
    "x" * 99,
]


@pytest.fixture
def full(history: History, filled: Fill) -> History:
    """A history of difficult texts, numbers and NULLs."""
    events = [("attempt", {"nodeid": text, "evidence": [text, {text: 1}]}) for text in HOSTILE]
    history.merge([filled(*events, recovery(), recovery(hardware_id="gpu"), ("attempt", {}))])
    return history


@pytest.mark.parametrize("form", FORMATS)
def test_each_table_becomes_one_file(full: History, tmp_path: Path, form: str) -> None:
    files = export(full.path, tmp_path / "out", form)
    tables = full.read(
        "SELECT table_name AS t FROM duckdb_tables() WHERE database_name = 'history'"
    )
    assert sorted(path.name for path in files) == sorted(f"{row['t']}.{form}" for row in tables)
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert files[tmp_path / "out" / f"attempts.{form}"] == len(HOSTILE) + 1
    assert files[tmp_path / "out" / f"recovery_performance.{form}"] == 2


def test_parquet_is_read_by_others(full: History, tmp_path: Path) -> None:
    export(full.path, tmp_path / "out")
    with duckdb.connect() as other:
        found = other.execute(
            "SELECT nodeid FROM read_parquet(?) WHERE seq <= ? ORDER BY seq",
            [str(tmp_path / "out" / "attempts.parquet"), len(HOSTILE)],
        ).fetchall()
    assert [nodeid for (nodeid,) in found] == HOSTILE


def test_json_is_one_object_a_line(full: History, tmp_path: Path) -> None:
    export(full.path, tmp_path / "out", "json")
    lines = (tmp_path / "out" / "attempts.json").read_text(encoding="utf-8").splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: row["seq"])
    assert [row["nodeid"] for row in rows] == [*HOSTILE, None]
    assert rows[1]["evidence"] == ["a,b", {"a,b": 1}]


def test_csv_tells_no_text_from_empty_text(full: History, tmp_path: Path) -> None:
    export(full.path, tmp_path / "out", "csv")
    content = (tmp_path / "out" / "attempts.csv").read_bytes()
    rows = list(csv.DictReader(content.replace(b"\0", b"").decode().splitlines(keepends=True)))
    assert len(rows) == len(HOSTILE) + 1
    assert b'\n"",' in content
    assert b"\n," in content


_OFFLINE = """
import socket, sys
from pathlib import Path
def refuse(*arguments, **options):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pytest_resilience.store.export import FORMATS, export
for form in FORMATS:
    export(Path(sys.argv[1]), Path(sys.argv[2]) / form, form)
print("done")
"""


def test_no_format_needs_a_download(full: History, tmp_path: Path, start: Start) -> None:
    """DuckDB is cut off from where it keeps what it downloads, and from the network."""
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    command = f"import os; os.environ.update(HOME={str(home)!r}, http_proxy='http://127.0.0.1:9')\n"
    with start("-c", command + _OFFLINE, full.path, tmp_path / "out") as process:
        output, errors = process.communicate()
    assert (process.returncode, output) == (0, "done\n"), errors
    assert list(home.iterdir()) == []


def test_nothing_is_overwritten(full: History, tmp_path: Path) -> None:
    (tmp_path / "attempts.csv").write_text("theirs")
    with pytest.raises(StoreError, match=r"attempts\.csv is there already; name a folder without"):
        export(full.path, tmp_path, "csv")
    assert (tmp_path / "attempts.csv").read_text() == "theirs"
    assert not (tmp_path / "errors.csv").exists()


def test_what_cannot_be_exported_is_told(full: History, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'xml'; valid ones: parquet, csv, json"):
        export(full.path, tmp_path / "out", "xml")
    with pytest.raises(StoreError, match="no history at"):
        export(tmp_path / "none.duckdb", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file cannot be made"):
        export(full.path, tmp_path / "file")
    assert not (tmp_path / "out").exists()
