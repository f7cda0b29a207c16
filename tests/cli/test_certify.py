"""``pytest-resilience certify``: the scorecard, its files and its exit status."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.injection import CATALOGUE, Need, Platform
from pytest_resilience.report import certificate
from pytest_resilience.report.certificate import (
    Certificate,
    Row,
    empty_row,
    healthy,
    matrix,
    render,
    row_of,
)

ROOT = Path(__file__).parents[2]
KILLED = next(fault for fault in CATALOGUE if fault.name == "kill_browser")
ANSWERED = next(fault for fault in CATALOGUE if fault.name == "answer_500")


def tried(nodeid: str, verdict: str, *injected: str) -> dict[str, Any]:
    attempts = [{"injected": told, "duration_s": 2.0, "recovery_s": 1.0} for told in injected]
    attempts[-1]["recovery_s"] = None
    return {"nodeid": nodeid, "verdict": verdict, "attempts": attempts}


class TestRows:
    """What a run says of a fault."""

    def test_what_simply_passes_in_peace_counts(self) -> None:
        baseline = {
            "tests": [
                tried("t::a", "passed", ""),
                tried("t::b", "failed", ""),
                tried("t::c", "recovered", "", ""),
                tried("t::d", "skipped", ""),
            ]
        }
        assert healthy(baseline) == (["t::a"], ["t::b", "t::c"])

    def test_tests_are_counted_by_what_became_of_them(self) -> None:
        summary = {
            "tests": [
                tried("t::survived", "passed", "crash"),
                tried("t::recovered", "recovered", "crash", ""),
                tried("t::lost", "unrecovered", "crash"),
                tried("t::not_struck", "passed", ""),
                tried("t::not_counted", "failed", "crash"),
            ]
        }
        counted = ["t::survived", "t::recovered", "t::lost", "t::not_struck"]
        row = row_of(KILLED, summary, counted)
        assert (row.struck, row.survived, row.recovered, row.lost) == (3, 1, 1, 1)
        assert (row.recovery_s, row.tests, row.grade) == (3.0, ["t::lost"], "lost")

    def test_what_should_fail_is_no_loss(self) -> None:
        row = row_of(ANSWERED, {"tests": [tried("t::a", "failed", "api_error")]}, ["t::a"])
        assert row.grade == "fails as it should"
        assert Certificate(1, [], [row]).good
        assert Certificate(1, [], [row]).score is None

    def test_what_is_expected_depends_on_where_it_struck(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of one type and intensity, on two browsers, one test may fail and the other may not."""
        fox = dataclasses.replace(ANSWERED, platforms=Platform.FIREFOX, errors=())
        chromium = dataclasses.replace(ANSWERED, platforms=Platform.CHROMIUM)
        monkeypatch.setattr(certificate, "CATALOGUE", (chromium, fox))
        summary = {"tests": [tried(f"t::{n}", "failed", "api_error") for n in ("a", "b")]}
        where = {"t::a": "Chromium", "t::b": "Firefox"}
        row = row_of(chromium, summary, ["t::a", "t::b"], where)
        assert (row.expected, row.struck, row.lost, row.rightly) == ("lost, survived", 2, 2, 1)
        assert row.grade == "lost"
        assert Certificate(2, [], [row]).score == 0.0
        row = row_of(chromium, summary, ["t::a"], where)
        assert (row.expected, row.grade) == ("lost", "fails as it should")

    def test_no_result_certifies_nothing(self) -> None:
        row = empty_row(KILLED, "it took more than 9 s")
        assert row.grade == "no result"
        assert not Certificate(1, [], [row]).good

    def test_without_tests_nothing_is_certified(self) -> None:
        assert not Certificate(0, [], [empty_row(KILLED)]).good

    def test_the_score_is_the_share_that_was_not_lost(self) -> None:
        rows = [
            Row("crash", "mild", "recovered", struck=3, recovered=3),
            Row("hang", "mild", "survived", struck=1, lost=1),
            Row("api_error", "mild", "lost", struck=9, lost=9, should_fail=9, rightly=9),
        ]
        assert Certificate(3, [], rows).score == 75.0

    @pytest.mark.parametrize("distributed", [True, False])
    def test_the_matrix_has_each_type_and_intensity_once(self, distributed: bool) -> None:
        """But for what needs the user's own hook, or workers."""
        pairs = [(fault.type, fault.intensity) for fault in matrix(distributed=distributed)]
        others = {Need.HOOK} if distributed else {Need.HOOK, Need.XDIST}
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == {(f.type, f.intensity) for f in CATALOGUE if f.need not in others}

    def test_names_of_tests_are_never_markup(self) -> None:
        row = Row("crash", "mild", "recovered", struck=1, lost=1, tests=["t::<script>"])
        page = render(Certificate(1, ["<img>"], [row]))
        assert "<script" not in page
        assert "<img" not in page
        assert "t::&lt;script&gt;" in page


SUITE = """
    import pytest

    @pytest.mark.parametrize("n", range(3))
    def test_good(n):
        pass

    def test_product():
        assert 1 == 2
"""


def certify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a suite in `folder`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pytest_resilience.cli", "certify", *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_suite_is_certified(tmp_path: Path) -> None:
    """Table, page and JSON say the same; what cannot be struck is told, and is no loss."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(SUITE), "utf-8")
    wanted = ("internal_error:mild", "internal_error:moderate", "crash:severe@before:3")
    faults = [word for spec in wanted for word in ("--fault", spec)]
    done = certify(tmp_path, *faults, "--html", "c.html", "--json", "c.json", "-q", "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert told["certified"] is True
    assert (told["tests"], told["excluded"]) == (3, ["test_it.py::test_product"])
    found = [(row["struck"], row["survived"], row["lost"], row["grade"]) for row in told["faults"]]
    assert found == [
        (3, 3, 0, "ok"),
        (3, 0, 3, "fails as it should"),
        (0, 0, 0, "not struck"),
    ]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1] == ["internal_error", "mild", "3", "3", "0", "-", "0", "ok"]
    assert "certified: 3 tests counted, score 100.0 %" in done.stderr
    assert "internal_error" in (tmp_path / "c.html").read_text("utf-8")
    # Nothing of it reaches the history of the project.
    assert not (tmp_path / ".resilience").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        pytest.param(("--fault", "crush"), 2, "--fault: 'crush' is not valid", id="fault"),
        pytest.param(("no_such_file.py",), 3, "does not run in peace: pytest ended", id="suite"),
        pytest.param(
            ("--fault", "worker_crash", "test_it.py"), 3, "certified: 3 tests", id="no-worker"
        ),
    ],
)
def test_what_cannot_be_tried_is_told(
    tmp_path: Path, arguments: tuple[str, ...], status: int, told: str
) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(SUITE), "utf-8")
    done = certify(tmp_path, *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert told in done.stderr
