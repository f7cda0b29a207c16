"""Workers on other machines: a real one of xdist's, behind a socket and with its own clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.conftest import REPOSITORY, RunInner
from tests.ports import free_port

XDIST = ("xdist.plugin",)
#: A machine that was started at another time: its monotonic clock shows something else.
AHEAD_S = 5000.0
SITE = f"import time; real = time.monotonic; time.monotonic = lambda: real() + {AHEAD_S}\n"
#: More seconds than any two looks at a clock are apart, and much less than the clocks are.
A_WHILE_S = 120.0


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """What ``--tx`` calls the other machine."""
    address = f"127.0.0.1:{free_port()}"
    # xdist puts a copy of pytest and of the tests there.
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    log = (tmp_path / "server.txt").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "execnet.script.socketserver", address],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(site), str(REPOSITORY))),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    _wait_for(Path(log.name))
    yield f"socket={address}//chdir={folder}"
    server.kill()
    server.wait()
    log.close()
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for(log: Path) -> None:
    # It listens by then; a connection would be taken for that of a controller.
    for _ in range(1200):
        if "Entering Accept loop" in log.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"the other machine did not start: {log.read_text()}")


SUITE = """
    import os, time
    from pathlib import Path

    import pytest
    from pytest_resilience.circuits import CIRCUITS

    SHARED = Path(os.environ.get("SHARED") or "{shared}")

    def note(name, text=""):
        part = SHARED / f"{{name}}.part"
        part.write_text(f"{{text or time.time()}}")
        part.replace(SHARED / name)

    def until(condition):
        deadline = time.time() + 60
        while not condition():
            assert time.time() < deadline
            time.sleep(0.02)

    @pytest.mark.parametrize("number", range(2))
    def test_one_of_two(number, worker_id):
        mine, other = "gw0", "gw1"
        if worker_id == "gw1":
            mine, other = other, mine
        grid = CIRCUITS.get("endpoint", "http://grid:4444")
        assert grid.get_state() == "closed"
        note(f"ready-{{worker_id}}")
        until((SHARED / f"ready-{{other}}").exists)
        if worker_id == "{opener}":
            note("opened")
            grid.trip("no node left")
        else:
            until(lambda: grid.get_state() == "open")
            note("heard")
        note(f"wait-{{worker_id}}", str(grid.retry_after()))
"""


@pytest.mark.parametrize("opener", ["gw0", "gw1"], ids=["from here", "from there"])
def test_a_circuit_that_opens_is_open_on_all_machines(
    opener: str, elsewhere: str, run_inner: RunInner, tmp_path: Path
) -> None:
    """For the same time, whatever their clocks show; the report tells it once."""
    shared = tmp_path / "shared"
    shared.mkdir()
    suite = SUITE.format(shared=shared, opener=opener)
    run = run_inner(
        suite,
        *("--dist", "load", "--tx", "popen", "--tx", elsewhere, "--rsyncdir=."),
        # The other machine runs one worker, and no second one after it.
        "--max-worker-restart=0",
        plugins=XDIST,
    )
    assert run.counts == {"passed": 2}, run.output
    read = {file.name: float(file.read_text()) for file in shared.iterdir()}
    assert {"opened", "heard"} <= set(read)
    assert read["wait-gw0"] == pytest.approx(read["wait-gw1"], abs=A_WHILE_S)
    (circuit,) = run.summary["circuits"]
    (move,) = circuit["transitions"]
    assert (circuit["state"], move["worker"], move["to_state"]) == ("open", opener, "open")
    # By the clock of the controller, from the beginning of its run.
    assert 0 <= move["at_s"] < AHEAD_S / 2
    assert "no longer shared" not in run.output
