"""`--resilience-resume`: a run that was killed goes on where it was broken off."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_resilience.store.history import History
from tests.conftest import FULL, SuiteRun
from tests.plugin.conftest import RunInner
from tests.plugin.resuming import KILLING, ORDER, RESUME, kept, ran, resumable

SUITE = {
    "killing.py": KILLING,
    "test_it.py": """
        import pytest
        from killing import kill, lose_browser, note, time

        def test_passes():
            note("passes")

        def test_fails():
            note("fails")
            assert 1 == 2, "the product is broken"

        def test_recovers(resilience):
            note("recovers")
            if resilience.attempt == 1:
                lose_browser()

        @pytest.mark.skip(reason="not today")
        def test_skips():
            pass

        @pytest.mark.xfail(reason="known")
        def test_xfails():
            note("xfails")
            assert False

        def test_kills(resilience):
            note("kills")
            assert resilience.checkpoint.load() == (resilience.checkpoint.load() and "saved")
            resilience.checkpoint.save("saved")
            kill()

        def test_last():
            note("last")
    """,
}
VERDICTS = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_recovers": "recovered",
    "test_skips": "skipped",
    "test_xfails": "xfailed",
    "test_kills": "passed",
    "test_last": "passed",
}
ONCE = ["passes", "fails", "xfails", "last"]


def rows(folder: Path) -> list[dict[str, Any]]:
    return History(folder / ".resilience" / "history.duckdb").read(
        "SELECT nodeid, verdict, sid FROM test_results ORDER BY nodeid"
    )


@pytest.fixture(scope="module")
def resumed(run_inner: RunInner, tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """A run that was killed in its sixth test, and then resumed."""
    folder = tmp_path_factory.mktemp("inner")
    killed = run_inner(SUITE, folder=folder)
    assert killed.status == -9, killed.output
    return run_inner(SUITE, RESUME, "-v", "--junitxml", "junit.xml", folder=folder)


class TestResumed:
    """What a resumed run says, in all its reports."""

    def test_all_tests_have_a_verdict_and_only_what_had_none_runs(self, resumed: SuiteRun) -> None:
        assert resumed.verdicts == VERDICTS, resumed.output
        assert ran(resumed) == Counter({**dict.fromkeys(ONCE, 1), "recovers": 2, "kills": 2})
        assert kept(resumed) == set(VERDICTS) - {"test_kills", "test_last"}

    def test_a_failure_that_was_kept_fails_the_run(self, resumed: SuiteRun) -> None:
        assert resumed.status == 1
        assert resumed.summary["session"]["exit_status"] == 1

    def test_the_terminal_tells_them_as_what_they_were_and_as_kept(self, resumed: SuiteRun) -> None:
        for line in (
            "test_it.py::test_passes PASSED (kept)",
            "test_it.py::test_fails FAILED (kept)",
            "test_it.py::test_recovers RECOVERED (kept)",
            "test_it.py::test_skips SKIPPED (kept) (not today)",
            "test_it.py::test_xfails XFAIL (kept) (known)",
            "AssertionError: the product is broken",
            "kept: 5 verdicts of the run that was resumed; 2 are new",
            "1 failed, 3 passed, 1 skipped, 1 xfailed, 1 recovered",
        ):
            assert line in resumed.output
        assert "resilience: resuming the run that began 20" in resumed.output
        assert "5 of 7 verdicts" in resumed.output
        assert "test_it.py::test_last PASSED (kept)" not in resumed.output

    def test_the_attempts_are_those_that_were_made(self, resumed: SuiteRun) -> None:
        first, second = resumed.attempts("test_recovers")
        assert (first["outcome"], first["error_type"]) == ("rerun", "browser")
        assert first["strategy"]
        assert second["outcome"] == "passed"

    def test_junit_has_one_entry_each_and_a_property(self, resumed: SuiteRun) -> None:
        root = ElementTree.parse(resumed.folder / "junit.xml").getroot()
        cases = {case.attrib["name"]: case for case in root.iter("testcase")}
        assert len(list(root.iter("testcase"))) == len(VERDICTS)
        marked = {
            name
            for name, case in cases.items()
            for found in case.iter("property")
            if found.attrib == {"name": "resilience_kept", "value": "true"}
        }
        assert marked == kept(resumed)
        kinds = {n: [e.tag for e in c if e.tag != "properties"] for n, c in cases.items()}
        assert kinds["test_fails"] == ["failure"]
        assert kinds["test_skips"] == kinds["test_xfails"] == ["skipped"]
        assert kinds["test_passes"] == kinds["test_recovers"] == kinds["test_last"] == []

    def test_the_page_marks_them(self, resumed: SuiteRun) -> None:
        page = (resumed.folder / ".resilience" / "report.html").read_text(encoding="utf-8")
        assert page.count("kept from the run that was resumed") >= 2

    def test_the_history_has_each_verdict_once_in_the_run_that_made_it(
        self, resumed: SuiteRun
    ) -> None:
        found = rows(resumed.folder)
        assert Counter(row["nodeid"].partition("::")[2] for row in found) == Counter([*VERDICTS])
        session_id = resumed.summary["session"]["session_id"]
        new = {row["nodeid"] for row in found if row["sid"] == session_id}
        assert new == {"test_it.py::test_kills", "test_it.py::test_last"}

    def test_no_record_is_lost(self, resumed: SuiteRun) -> None:
        assert resumed.summary["events_lost"] == 0

    def test_nothing_is_left_to_be_resumed(self, resumed: SuiteRun, run_inner: RunInner) -> None:
        assert resumable(resumed.folder) == []
        assert not (resumed.folder / ".resilience" / "checkpoints").exists()
        again = run_inner(SUITE, RESUME, folder=resumed.folder)
        assert again.status == 4
        assert f"{RESUME}: there is nothing to resume beside" in again.output


@pytest.mark.parametrize(
    "mode", ["load", "loadscope", "loadfile", "loadgroup", "worksteal"][: None if FULL else 2]
)
def test_a_killed_controller_is_resumed_in_each_mode(
    mode: str, run_inner: RunInner, tmp_path: Path
) -> None:
    """Whatever its workers had ended is kept; the rest, and nothing else, runs."""
    arguments = ("-n", "2", "--dist", mode)
    killed = run_inner(SUITE, *arguments, plugins=("xdist",), folder=tmp_path)
    assert killed.status == -9, killed.output
    before = ran(killed)
    run = run_inner(SUITE, RESUME, *arguments, plugins=("xdist",), folder=tmp_path)
    assert run.verdicts == VERDICTS, run.output
    assert run.status == 1
    for name, count in (ran(run) - before).items():
        assert f"test_{name}" not in kept(run), (name, count)
    told = [row["nodeid"].partition("::")[2] for row in rows(tmp_path)]
    assert sorted(told) == sorted(VERDICTS)
    assert run.summary["events_lost"] == 0
    assert resumable(tmp_path) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((), ("-n", "2"), id="then-xdist"),
        pytest.param(("-n", "2"), (), id="xdist-then"),
    ],
)
def test_with_xdist_what_was_begun_without_it_and_the_other_way_round(
    first: tuple[str, ...], second: tuple[str, ...], run_inner: RunInner, tmp_path: Path
) -> None:
    assert run_inner(SUITE, *first, plugins=("xdist",), folder=tmp_path).status == -9
    run = run_inner(SUITE, RESUME, *second, plugins=("xdist",), folder=tmp_path)
    assert run.verdicts == VERDICTS, run.output


def test_a_run_that_was_killed_when_all_had_run_is_told_without_running_anything(
    run_inner: RunInner, tmp_path: Path
) -> None:
    suite = {
        "killing.py": KILLING,
        "conftest.py": """
            import pytest
            from killing import kill

            @pytest.hookimpl(tryfirst=True)
            def pytest_sessionfinish():
                kill()
        """,
        "test_it.py": """
            from killing import note

            def test_it():
                note("ran")
        """,
    }
    assert run_inner(suite, folder=tmp_path).status == -9
    run = run_inner(suite, RESUME, folder=tmp_path)
    assert (run.status, run.verdicts) == (0, {"test_it": "passed"}), run.output
    assert run.log("test_it.txt") == ["ran"]


def test_a_kept_failure_does_not_end_a_run_that_stops_at_the_first_one(
    run_inner: RunInner, tmp_path: Path
) -> None:
    """What has no verdict is what a resumed run is for."""
    suite = {**ORDER, "test_a.py": "def test_fails(): assert False\n"}
    assert run_inner(suite, folder=tmp_path).status == -9
    run = run_inner(suite, RESUME, "-x", folder=tmp_path)
    assert run.verdicts == {"test_fails": "failed", "test_a": "passed", "test_b": "passed"}
    assert run.status == 1
    assert "stopping after" not in run.output


def test_a_run_that_stopped_at_its_first_failure_is_resumed_too(
    run_inner: RunInner, tmp_path: Path
) -> None:
    """Its records are in the history by then."""
    suite = "def test_a(): assert False\ndef test_b(): pass\n"
    first = run_inner(suite, "-x", folder=tmp_path)
    assert first.verdicts == {"test_a": "failed"}
    run = run_inner(suite, RESUME, folder=tmp_path)
    assert run.verdicts == {"test_a": "failed", "test_b": "passed"}, run.output
    assert kept(run) == {"test_a"}
    assert resumable(tmp_path) == []


def test_a_resumed_run_that_is_killed_is_resumed(run_inner: RunInner, tmp_path: Path) -> None:
    """With the verdicts, and the checkpoints, of both."""
    suite = {
        "killing.py": KILLING.replace("killed.txt", "killed{}.txt").replace(
            "def kill():", "def kill(n):"
        ).replace('"killed{}.txt"', 'f"killed{n}.txt"'),
        "test_it.py": """
            from killing import kill, note

            def test_a(resilience):
                note("a")
                resilience.checkpoint.save((resilience.checkpoint.load() or 0) + 1)
                kill(1)
                kill(2)
                assert resilience.checkpoint.load() == 3

            def test_b():
                note("b")
                kill(3)

            def test_c():
                note("c")
        """,
    }  # fmt: skip
    assert run_inner(suite, folder=tmp_path).status == -9
    assert run_inner(suite, RESUME, folder=tmp_path).status == -9
    assert run_inner(suite, RESUME, folder=tmp_path).status == -9
    run = run_inner(suite, RESUME, folder=tmp_path)
    assert run.verdicts == dict.fromkeys(["test_a", "test_b", "test_c"], "passed"), run.output
    assert kept(run) == {"test_a"}
    assert run.log("test_it.txt") == ["a", "a", "a", "b", "b", "c"]
    assert resumable(tmp_path) == []
    assert not (tmp_path / ".resilience" / "checkpoints").exists()


def test_a_recovered_test_that_was_kept_fails_a_strict_run(
    run_inner: RunInner, tmp_path: Path
) -> None:
    suite = {
        **ORDER,
        "test_a.py": """
            from tests.plugin.breakage import lose_browser

            def test_recovers(resilience):
                if resilience.attempt == 1:
                    lose_browser()
        """,
    }
    assert run_inner(suite, folder=tmp_path).status == -9
    run = run_inner(suite, RESUME, "--resilience-strict", folder=tmp_path)
    assert (run.counts, run.status) == ({"passed": 2, "recovered": 1}, 1), run.output


def test_records_that_are_missing_of_the_killed_run_are_counted(
    run_inner: RunInner, tmp_path: Path
) -> None:
    """By the gaps in their numbers; a test whose verdict is missing runs again."""
    assert run_inner(ORDER, folder=tmp_path).status == -9
    [spool] = tmp_path.glob(".resilience/spool/*.jsonl")
    lines = spool.read_bytes().splitlines(keepends=True)
    [lost] = [line for line in lines if b'"kind":"test_result"' in line]
    # A record behind the gap tells of it.
    more = json.loads(lines[-1])
    more["seq"] += 1
    more["kind"] = "tomorrow"
    left = b"".join(line for line in lines if line != lost)
    spool.write_bytes(left + json.dumps(more, separators=(",", ":")).encode() + b"\n")
    run = run_inner(ORDER, RESUME, folder=tmp_path)
    assert run.log("test_it.txt") == ["a", "b", "a", "b"], run.output
    assert run.summary["events_lost"] == 1


def test_what_killed_runs_have_left_is_ended_by_a_run_that_does_all_they_had_to_do(
    run_inner: RunInner, tmp_path: Path
) -> None:
    """Nobody will resume them, and so nobody else would; it is told of all together."""
    suite = """
        import json, os, signal, tempfile
        from pathlib import Path

        def test_it():
            for number in range(2):
                profile, mark = Path(f"profile{number}").absolute(), Path(f"killed{number}")
                if not mark.exists():
                    mark.touch()
                    profile.mkdir()
                    name = f"pytest-resilience-{os.environ['RESILIENCE_SESSION']}-main.jsonl"
                    left = {"id": "s", "driver": [2**30, 0.0], "browser": [2**30, 0.0]}
                    note = json.dumps({**left, "profile": str(profile)})
                    Path(tempfile.gettempdir(), name).write_text(note + "\\n")
                    os.kill(os.getpid(), signal.SIGKILL)
    """
    surroundings = {"TMPDIR": str(tmp_path)}
    for _ in range(2):
        assert run_inner(suite, folder=tmp_path, env=surroundings).status == -9
    assert len(list(tmp_path.glob("pytest-resilience-*"))) == 2
    run = run_inner(suite, folder=tmp_path, env=surroundings)
    assert run.verdicts == {"test_it": "passed"}, run.output
    ended = run.summary["session"]["facts"]["ended"]
    assert ended == "2 drivers that runs that were killed had left"
    assert list(tmp_path.glob("profile*")) == []
    assert list(tmp_path.glob("pytest-resilience-*")) == []
