"""`--resilience-resume` where there is nothing to resume, or other tests than then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import RunInner
from tests.plugin.resuming import CHANGED, ORDER, RESUME, kept, ran, resumable


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_other_tests_than_then_are_refused_unless_that_is_asked_for(
    arguments: tuple[str, ...], run_inner: RunInner, tmp_path: Path
) -> None:
    """A refused run leaves everything as it was."""
    plugins = ("xdist",)
    assert run_inner(ORDER, *arguments, plugins=plugins, folder=tmp_path).status == -9
    before = sorted(resumable(tmp_path))
    narrow = run_inner(ORDER, RESUME, "-k", "test_b", *arguments, plugins=plugins, folder=tmp_path)
    assert narrow.status == 4, narrow.output
    assert "1 missing (test_it.py::test_a)" in narrow.output
    assert CHANGED in narrow.output
    changed = {**ORDER, "test_new.py": "def test_new(): pass\n"}
    wide = run_inner(changed, RESUME, *arguments, plugins=plugins, folder=tmp_path)
    assert wide.status == 4, wide.output
    assert "1 new (test_new.py::test_new)" in wide.output
    assert sorted(resumable(tmp_path)) == before
    run = run_inner(
        changed, CHANGED, "-k", "test_b or test_new", *arguments, plugins=plugins, folder=tmp_path
    )
    assert run.verdicts == {"test_b": "passed", "test_new": "passed"}, run.output
    assert ran(run)["a"] == 1


def test_verdicts_of_tests_that_are_still_there_are_kept_where_others_have_come(
    run_inner: RunInner, tmp_path: Path
) -> None:
    assert run_inner(ORDER, folder=tmp_path).status == -9
    changed = {**ORDER, "test_new.py": "def test_new(): pass\n"}
    run = run_inner(changed, CHANGED, folder=tmp_path)
    assert run.verdicts == dict.fromkeys(["test_a", "test_b", "test_new"], "passed"), run.output
    assert kept(run) == {"test_a"}
    assert run.log("test_it.txt") == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param((RESUME,), "there is nothing to resume beside", id="nothing"),
        pytest.param((RESUME, "--no-resilience-db"), "without a history nothing is", id="no-db"),
        pytest.param((RESUME, "-n1", "--dist=each"), "with --dist each every worker", id="each"),
    ],
)
def test_where_nothing_can_be_resumed_nothing_is_run(
    arguments: tuple[str, ...], told: str, run_inner: RunInner
) -> None:
    run = run_inner("def test_it(): assert False\n", *arguments, plugins=("xdist",))
    assert run.status == 4
    assert f"ERROR: {RESUME}: {told}" in run.output
    assert "[cannot-resume]" in run.output


def test_it_needs_the_plugin_to_be_switched_on(run_inner: RunInner) -> None:
    run = run_inner("def test_it(): pass\n", RESUME, resilience=False)
    assert run.status == 4
    assert "--resilience-resume needs --resilience" in run.output


def test_a_run_that_goes_on_is_not_resumed(run_inner: RunInner, tmp_path: Path) -> None:
    source = f"""
        import subprocess, sys

        def test_it():
            if "{RESUME}" in sys.argv:
                return
            done = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:], "{RESUME}"],
                                  capture_output=True, text=True)
            assert done.returncode == 4
            assert "the last run goes on in process" in done.stdout + done.stderr
    """
    assert run_inner(source, folder=tmp_path).verdicts == {"test_it": "passed"}
