"""``--looponfail`` of pytest-xdist: a recovered test is none that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugin.conftest import REPOSITORY

SUITE = """
    from pathlib import Path
    from tests.plugin.breakage import lose_browser, note

    def test_recovers():
        if note("recovers") == 1:
            lose_browser()

    def test_wrong():
        note("wrong")
        assert Path("fixed").exists()

    def test_lost():
        if note("lost") <= 4:
            lose_browser()
"""
WAITING = "waiting for changes"
#: Seconds after which a loop that says nothing is given up.
PATIENCE_S = 240.0


class Loop:
    """A running ``pytest --looponfail`` over the folder ``watched``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.file = folder / "watched" / "test_it.py"
        self.file.parent.mkdir()
        self.file.write_text(textwrap.dedent(SUITE), encoding="utf-8")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "--rootdir", str(folder)),
                *("-p", "no:cacheprovider", "-p", "pytest_resilience.plugin.main"),
                *("-p", "xdist.plugin", "-p", "xdist.looponfail", "--looponfail"),
                *("-o", "looponfailroots=watched", "--resilience", *options, "watched"),
            ],
            cwd=folder,
            env={
                **inherited,
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONPATH": str(REPOSITORY),
                "COLUMNS": "160",
                # The loop itself does not flush what it says.
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        """What it has said so far."""
        return "".join(self._lines)

    def until_it_waits(self, times: int) -> list[str]:
        """Wait until it waits for changes for the n-th time; return what it said, by turns."""
        deadline = time.monotonic() + PATIENCE_S
        while self.output.count(WAITING) < times:
            assert time.monotonic() < deadline, self.output
            assert self._reader.is_alive(), self.output
            time.sleep(0.05)
        return self.output.split(WAITING)[:times]

    def until_it_ends(self) -> str:
        """Wait until it ends by itself; return all it said."""
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), self.output
        return self.output

    def change(self) -> None:
        """Correct what is wrong, and touch the file of the tests."""
        (self.folder / "fixed").touch()
        self.file.write_text(self.file.read_text("utf-8") + "\n# corrected\n", encoding="utf-8")

    def end(self) -> None:
        """End it as its user does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def log(self) -> list[str]:
        """What the tests noted."""
        return (self.folder / "test_it.txt").read_text("utf-8").splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    """Start a loop, which is ended after the test."""
    loops: list[Loop] = []

    def start(*options: str) -> Loop:
        loops.append(Loop(tmp_path, *options))
        return loops[-1]

    yield start
    for loop in loops:
        loop.end()


@pytest.mark.parametrize("options", [(), ("--resilience-strict",)], ids=["plain", "strict"])
def test_the_loop_goes_on_with_final_failures_alone(
    start: Callable[..., Loop], options: tuple[str, ...]
) -> None:
    loop = start(*options)
    first = loop.until_it_waits(1)[0]
    verdicts, _, failing = first.partition("LOOPONFAILING")
    assert "verdicts: 0 passed, 1 recovered, 1 failed, 1 unrecovered" in verdicts, first
    assert [line for line in failing.splitlines() if "::" in line] == [
        "watched/test_it.py::test_wrong",
        "watched/test_it.py::test_lost",
    ]
    assert loop.log() == ["recovers", "recovers", "wrong", *["lost"] * 4]
    loop.change()
    # The failing ones first, and as they pass, all of them at once.
    second = loop.until_it_waits(2)[1]
    assert "LOOPONFAILING" not in second
    assert "verdicts: 2 passed, 0 recovered" in second
    assert "verdicts: 3 passed, 0 recovered" in second
    assert loop.log()[7:] == ["wrong", "lost", "recovers", "wrong", "lost"]
    assert "INTERNALERROR" not in loop.output


def test_a_wrong_option_ends_the_loop_with_its_message(start: Callable[..., Loop]) -> None:
    loop = start("--resilience-max-attempts=0")
    output = loop.until_it_ends()
    assert "--resilience-max-attempts: '0' is not valid" in output
    assert WAITING not in output
