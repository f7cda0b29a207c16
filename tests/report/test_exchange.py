"""The summary as JSON, and files written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.core.failures import Verdict
from pytest_resilience.exceptions import ReportError
from pytest_resilience.report.exchange import from_json, to_json, write_json
from pytest_resilience.report.files import write_whole
from pytest_resilience.report.summary import SessionInfo, Summary

ATTEMPT_KEYS = [
    "number", "outcome", "phase", "duration_s", "error_type", "severity", "exception", "message",
    "rule", "evidence", "injected", "strategy", "level", "recovery_s", "worker",
]  # fmt: skip

WORDS = (
    "error_type", "severity", "exception", "message", "rule", "injected", "strategy", "reason",
    "browser", "traceback", "error_id",
)  # fmt: skip
TEXT = st.text(max_size=30)
SECONDS = st.floats(min_value=0, max_value=1e6)

attempts = st.builds(
    Attempt,
    number=st.integers(1, 9),
    outcome=st.sampled_from(["passed", "failed", "skipped", "rerun"]),
    duration_s=SECONDS,
    recovery_s=SECONDS,
    infrastructure=st.booleans(),
    level=st.integers(0, 5),
    evidence=st.lists(st.fixed_dictionaries({"probe": TEXT, "cost_s": SECONDS})).map(tuple),
    **dict.fromkeys(WORDS, TEXT),
)
summaries = st.builds(
    Summary,
    session=st.builds(
        SessionInfo, session_id=TEXT, workers=st.lists(TEXT), facts=st.dictionaries(TEXT, TEXT)
    ),
    tests=st.lists(
        st.builds(
            TestResult,
            nodeid=TEXT,
            verdict=st.sampled_from([verdict.value for verdict in Verdict]),
            reason=TEXT,
            duration_s=SECONDS,
            attempts=st.lists(attempts, max_size=3),
        ),
        max_size=4,
    ),
    events_lost=st.integers(0, 9),
    warnings=st.lists(TEXT),
    circuits=st.lists(
        st.dictionaries(TEXT, st.one_of(TEXT, SECONDS, st.lists(st.dictionaries(TEXT, TEXT)))),
        max_size=2,
    ),
    circuit_waited_s=SECONDS,
    moved=st.integers(0, 99),
    agreement=st.dictionaries(TEXT, st.integers(0, 99)),
)


def test_schema_has_its_promised_keys(summary: Summary) -> None:
    """Tools rely on these keys: session, counts, tests, circuits, strategies, events_lost."""
    data = to_json(summary)
    assert list(data) == [
        "schema", "session", "counts", "tests", "circuits", "concurrency", "strategies",
        "events_lost", "details",
    ]  # fmt: skip
    assert data["schema"] == 1
    assert data["events_lost"] == 2
    assert data["counts"] == summary.counts
    assert data["session"]["session_id"] == "s-1"
    for test in data["tests"]:
        assert list(test) == ["nodeid", "verdict", "worker", "attempts"]
        for attempt in test["attempts"]:
            assert list(attempt) == ATTEMPT_KEYS


def test_a_clean_attempt_is_null_where_there_is_nothing(summary: Summary) -> None:
    """What did not happen is null: no error, no fault, no strategy, no level."""
    (attempt,) = to_json(summary)["tests"][0]["attempts"]
    empty = {key for key, value in attempt.items() if value is None}
    assert empty == {
        "error_type", "severity", "exception", "message", "rule", "injected", "strategy", "level",
    }  # fmt: skip
    assert (attempt["evidence"], attempt["recovery_s"]) == ([], 0.0)


def test_a_recovered_test_tells_its_story(summary: Summary) -> None:
    """The first attempt carries diagnosis, evidence and strategy; the second passed."""
    first, second = to_json(summary)["tests"][1]["attempts"]
    assert (first["outcome"], first["error_type"], first["strategy"], first["level"]) == (
        "rerun",
        "browser",
        "browser_restart",
        3,
    )
    assert first["evidence"][0]["answer"] == "gone"
    assert second["outcome"] == "passed"


def test_strategies_are_the_table(summary: Summary) -> None:
    """Each strategy has its executions, successes and seconds."""
    assert to_json(summary)["strategies"] == [
        {
            "strategy": "browser_restart",
            "name": "browser restart",
            "level": 3,
            "executions": 2,
            "successes": 1,
            "mean_s": 2.0,
            "total_s": 4.0,
            "by_error_type": {"browser": {"executions": 2, "successes": 1}},
        }
    ]


def test_round_trip_of_the_sample(summary: Summary, tmp_path: Path) -> None:
    """What was written is read back the same, but for the paths of this machine."""
    path = tmp_path / "deep" / "summary.json"
    write_json(summary, path)
    summary.artifacts = {}
    assert from_json(json.loads(path.read_text(encoding="utf-8"))) == summary


@given(summaries)
def test_round_trip(summary: Summary) -> None:
    """Any summary survives the way through JSON."""
    assert from_json(json.loads(json.dumps(to_json(summary)))) == summary


def test_only_the_promised_part_is_needed(summary: Summary) -> None:
    """A file without our details is read too, and says what it can."""
    data = to_json(summary)
    del data["details"], data["session"], data["circuits"]
    again = from_json(data)
    assert again.counts == summary.counts
    assert again.tests[1].attempts[0].strategy == "browser_restart"


def test_values_json_cannot_carry_do_not_break_it(tmp_path: Path) -> None:
    """Infinity becomes null, a foreign object its text, a lone surrogate a mark."""
    summary = Summary(
        SessionInfo(facts={"load": float("inf"), "path": Path("a/b"), 7: {1}}),
        [TestResult("t[\ud800]", "passed")],
    )
    path = tmp_path / "s.json"
    write_json(summary, path)
    data = json.loads(path.read_bytes().decode("utf-8"))
    assert data["session"]["facts"] == {"load": None, "path": "a/b", "7": [1]}
    assert data["tests"][0]["nodeid"] == "t[?]"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param([], "this is not a summary", id="list"),
        pytest.param({"tests": []}, "no 'schema'", id="no schema"),
        pytest.param({"schema": 2, "tests": []}, "schema 2", id="newer"),
        pytest.param({"schema": 1, "tests": [3]}, "damaged", id="test is a number"),
        pytest.param({"schema": 1, "tests": [{}]}, "nodeid", id="test without id"),
        pytest.param({"schema": 1, "tests": None}, "damaged", id="no tests"),
        pytest.param(
            {
                "schema": 1,
                "tests": [{"nodeid": "t", "verdict": "passed", "attempts": [{"level": "x"}]}],
            },
            "damaged",
            id="level is a word",
        ),
        pytest.param({"schema": 1, "tests": [], "events_lost": "x"}, "damaged", id="events lost"),
        pytest.param(
            {
                "schema": 1,
                "tests": [{"nodeid": "t", "verdict": "passed"}],
                "details": {"tests": [{"duration_s": float("nan")}]},
            },
            "duration_s",
            id="duration is no number",
        ),
        pytest.param({"schema": 1, "tests": [], "details": 3}, "damaged", id="details"),
        pytest.param(
            {"schema": 1, "tests": [], "details": {"circuit_waited_s": float("inf")}},
            "circuit_waited_s",
            id="waited for ever",
        ),
        pytest.param({"schema": 1, "tests": [], "circuits": [3]}, "damaged", id="circuit"),
        pytest.param(
            {"schema": 1, "tests": [], "details": {"agreement": 7}}, "damaged", id="agreement"
        ),
    ],
)
def test_what_is_no_summary_is_refused_in_words(data: Any, said: str) -> None:
    """A wrong file is refused with a sentence that says what is wrong."""
    with pytest.raises(ReportError, match=said):
        from_json(data)


def test_unwritable_path_names_option_and_path(tmp_path: Path, summary: Summary) -> None:
    """The message names the option and the path, and nothing is left behind."""
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "summary.json"
    with pytest.raises(ReportError) as caught:
        write_json(summary, target)
    assert "--resilience-json" in caught.value.message
    assert str(target) in caught.value.message


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full in the middle, the old file stays and the draft is gone."""
    target = tmp_path / "out.txt"
    target.write_text("old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ReportError, match="No space left on device"):
        write_whole(target, b"new", option="--x")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_directory_is_not_replaced(tmp_path: Path) -> None:
    """A directory where the file should go is an error and stays, with no draft beside it."""
    (tmp_path / "out").mkdir()
    with pytest.raises(ReportError):
        write_whole(tmp_path / "out", b"new", option="--x")
    assert os.listdir(tmp_path) == ["out"]


def test_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    """The file has the rights any new file has here, so that a web server can show it."""
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_whole(tmp_path / "new", b"", option="--x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_link_is_followed(tmp_path: Path) -> None:
    """A symbolic link stays one, and what it points to is written."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"new", option="--x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe, or a device such as /dev/null, gets the data and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"data", option="--x")
    reader.join(timeout=120)
    assert got == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
