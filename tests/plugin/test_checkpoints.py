"""`resilience.checkpoint`: what a test saves is there in its next attempt, wherever that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import execnet
import pytest

from pytest_resilience.plugin.checkpoints import Shelf
from pytest_resilience.store.checkpoints import CheckpointFiles
from pytest_resilience.store.history import History
from tests.plugin.conftest import REPOSITORY, RunInner
from tests.ports import free_port

GOES_ON = """
    from tests.plugin.breakage import lose_browser, note

    def test_it(resilience):
        done = resilience.checkpoint.load(default=0)
        note(f"from {done}")
        for step in range(done, 4):
            resilience.checkpoint.save(step + 1)
            if step == 1 and resilience.attempt == 1:
                lose_browser()
        assert resilience.checkpoint.load() == 4

    def test_other(resilience):
        assert resilience.checkpoint.load() is None
"""
KILLED = GOES_ON.replace("lose_browser()", "__import__('os').kill(__import__('os').getpid(), 9)")
NO_HISTORY = "--no-resilience-db"


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.parent.parent.name == "checkpoints"]


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        pytest.param(GOES_ON, (), id="alone"),
        pytest.param(GOES_ON, (NO_HISTORY,), id="without-a-history"),
        pytest.param(GOES_ON, ("-n", "2"), id="xdist"),
        pytest.param(KILLED, ("-n", "2"), id="worker-killed"),
        pytest.param(KILLED, ("-n", "2", NO_HISTORY), id="worker-killed-without-a-history"),
    ],
)
def test_the_next_attempt_goes_on_where_the_last_one_was(
    source: str, arguments: tuple[str, ...], run_inner: RunInner
) -> None:
    """And nothing is left of a test that has passed."""
    run = run_inner(source, *arguments, plugins=("xdist",) if "-n" in arguments else ())
    assert run.verdicts == {"test_it": "recovered", "test_other": "passed"}, run.output
    assert run.log("test_it.txt") == ["from 0", "from 2"]
    assert left(run.folder) == []
    if NO_HISTORY not in arguments:
        history = History(run.folder / ".resilience" / "history.duckdb")
        assert history.read("SELECT * FROM checkpoints") == []


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[str]]:
    """Two places as far from us as other machines: processes that we reach by sockets alone."""
    script = Path(execnet.__file__).parent / "script" / "socketserver.py"
    servers, specs = [], []
    for name in ("a", "b"):
        port = free_port()
        (tmp_path / name).mkdir()
        alone = {"PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment = {**os.environ, **alone}
        command = [sys.executable, str(script), f"127.0.0.1:{port}"]
        servers.append(subprocess.Popen(command, cwd=tmp_path / name, env=environment))
        specs += ["--tx", f"socket=127.0.0.1:{port}"]
        _wait_for(port)
    yield specs
    for server in servers:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    # Asked of the kernel, because the server serves nobody but the first one that connects.
    wanted = f":{port:04X} 00000000:0000 0A"
    for _ in range(1200):
        if wanted in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc who listens")
@pytest.mark.parametrize("arguments", [(), (NO_HISTORY,)], ids=["history", "no-history"])
def test_it_goes_through_the_controller_to_another_machine(
    machines: list[str], arguments: tuple[str, ...], run_inner: RunInner, tmp_path: Path
) -> None:
    """Where a worker was killed with all it had."""
    suite = tmp_path / "inner"
    source = KILLED.replace("from tests.plugin.breakage import lose_browser, note", "import os")
    noted = f"open({str(tmp_path / 'notes.txt')!r}, 'a').write(f'from {{done}} {{os.getcwd()}}\\n')"
    source = source.replace('note(f"from {done}")', noted)
    run = run_inner(
        {"test_it.py": source, "pytest.ini": "[pytest]\n"},
        *machines,
        *("--dist", "load", "--max-worker-restart", "0", "--rsyncdir", str(suite), str(suite)),
        *arguments,
        plugins=("xdist",),
        folder=suite,
    )
    assert run.counts == {"recovered": 1, "passed": 1}, run.output
    notes = [line.split() for line in (tmp_path / "notes.txt").read_text().splitlines()]
    assert [note[1] for note in notes] == ["0", "2"]
    assert len({note[2] for note in notes}) == 2
    assert left(tmp_path) == []
    if NO_HISTORY not in arguments:
        # What was recorded there cannot be read here.
        told = History(suite / ".resilience" / "history.duckdb").read("SELECT * FROM test_results")
        assert sorted(row["verdict"] for row in told) == ["passed", "recovered"]


def test_a_test_that_did_not_pass_leaves_what_it_saved_last_in_the_history(
    run_inner: RunInner,
) -> None:
    """It is in the table, and in no file any more."""
    source = """
        def test_it(resilience):
            for step in range(3):
                resilience.checkpoint.save({"step": step})
            assert False

        def test_next(resilience):
            resilience.checkpoint.save("to be cleaned")
    """
    run = run_inner(source)
    assert run.counts == {"failed": 1, "passed": 1}, run.output
    [row] = History(run.folder / ".resilience" / "history.duckdb").read("SELECT * FROM checkpoints")
    assert (row["nodeid"], row["attempt"], row["worker"]) == ("test_it.py::test_it", 1, "main")
    assert json.loads(row["state"]) == {"step": 2}
    assert row["saved_us"] > 0
    assert left(run.folder) == []


def test_another_run_does_not_find_what_this_one_saved(run_inner: RunInner, tmp_path: Path) -> None:
    """Not even one that was killed and is not resumed."""
    source = """
        import os
        from pathlib import Path

        def test_it(resilience):
            assert resilience.checkpoint.load() is None
            resilience.checkpoint.save("old")
            if not Path("killed").exists():
                Path("killed").touch()
                os.kill(os.getpid(), 9)
    """
    first = run_inner(source, folder=tmp_path)
    assert first.status == -9
    assert left(tmp_path) != []
    second = run_inner(source, folder=tmp_path)
    assert second.verdicts == {"test_it": "passed"}, second.output


def test_it_is_cleared_when_asked_for(run_inner: RunInner) -> None:
    source = """
        def test_it(resilience):
            point = resilience.checkpoint
            point.save([1])
            point.load().append(2)
            assert point.load() == [1]
            point.clear()
            assert point.load("nothing") == "nothing"
    """
    for resilience in (True, False):
        assert run_inner(source, resilience=resilience).status == 0
    assert run_inner(source, NO_HISTORY).status == 0


def test_what_cannot_be_saved_is_the_test_s_own_error(run_inner: RunInner) -> None:
    """It is final, and says where and what; the state before it stands."""
    source = """
        import pytest

        def test_it(resilience):
            resilience.checkpoint.save(1)
            with pytest.raises(ValueError):
                resilience.checkpoint.save("x" * 2_000_000)
            assert resilience.checkpoint.load() == 1
            resilience.checkpoint.save({"rows": {1, 2}})
    """
    run = run_inner(source)
    assert run.counts == {"failed": 1}, run.output
    assert "test_it.py::test_it: state['rows'] is of type set" in run.output
    assert run.attempts("test_it")[0]["error_type"] == "test_code"


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_disk_that_takes_nothing_is_a_warning_and_not_a_failure(
    arguments: tuple[str, ...], run_inner: RunInner, tmp_path: Path
) -> None:
    """Said once; the next attempt on the same worker still has it."""
    (tmp_path / ".resilience").mkdir()
    (tmp_path / ".resilience" / "checkpoints").write_text("in the way")
    plugins = ("xdist",) if arguments else ()
    run = run_inner(GOES_ON, *arguments, plugins=plugins, folder=tmp_path)
    assert run.verdicts == {"test_it": "recovered", "test_other": "passed"}, run.output
    assert run.log("test_it.txt") == ["from 0", "from 2"]
    assert run.output.count("a checkpoint cannot be written in") == 1


def test_a_damaged_file_is_a_warning_and_counts_as_none(tmp_path: Path) -> None:
    told: list[str] = []
    files = CheckpointFiles(tmp_path, "run")
    shelf = Shelf(files=files, warn=told.append)
    shelf.put({"nodeid": "n", "state": 1})
    [path] = files.folder.iterdir()
    path.write_text('{"nodeid": "n", "sta')
    assert shelf.get("n") is None
    assert [text for text in told if "cannot be read" in text] == told != []
    assert list(shelf.all()) == []


def test_a_write_that_fails_leaves_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CheckpointFiles(tmp_path, "run")
    files.write({"nodeid": "n", "state": 1})

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write({"nodeid": "n", "state": 2})
    assert (files.read("n") or {})["state"] == 1
    assert len(list(files.folder.iterdir())) == 1


def test_node_ids_of_any_kind_have_files_of_their_own(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path, "run")
    names = ["t.py::a[/]", "t.py::a[\\]", "t.py::a[..]", "x" * 5000, "t.py::\udce4"]
    for name in names:
        files.write({"nodeid": name, "state": name})
    assert [(files.read(name) or {})["state"] for name in names] == names
    files.drop()
    assert not tmp_path.joinpath("run").exists()


def test_what_a_shelf_apart_keeps_is_known_to_its_controller() -> None:
    """Each save and each clearing is sent on, and taken in as it was."""
    here, there = Shelf(), Shelf()
    there.post = here.take
    there.put({"nodeid": "n", "state": [1]})
    assert (here.get("n") or {})["state"] == [1]
    there.remove("n")
    assert here.get("n") is None
