"""What scheduling around xdist's own costs: whole runs of trivial tests, with and without.

    python benchmarks/scheduling.py [--tests 2000] [--pairs 5] [--workers 2] [--dist load]

Runs come in pairs, one with `--resilience` and one without, which of them first by turns, so
that a machine that is busy for a while is busy for both. Prints the machine, every run, and the
ratio of each pair: of the seconds from the first test to the last, and of those that processors
worked in that time, for the controller and all workers.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from machine import described

SUITE = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_trivial(number):
    pass
"""
# What comes before the first test and after the last one is left out: starting workers takes as
# long as a thousand trivial tests, and has nothing to do with scheduling.
CLOCK = """
import time
import pytest

class Clock:
    def __init__(self, config):
        self.config = config
        self.begun = 0.0
        self.cpu = []

    def pytest_runtest_logstart(self):
        self.begun = self.begun or time.perf_counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self):
        before = time.process_time()
        result = yield
        self.wall = time.perf_counter() - self.begun
        self.cpu.append(time.process_time() - before)
        return result

    def pytest_sessionfinish(self):
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["clock"] = self.cpu

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.cpu += node.workeroutput["clock"]

    def pytest_unconfigure(self):
        if not hasattr(self.config, "workeroutput"):
            print(f"\\nCLOCK {self.wall:.4f} {sum(self.cpu):.4f}")

def pytest_configure(config):
    config.pluginmanager.register(Clock(config))
"""


class Figures(NamedTuple):
    """Seconds of one run, from the first test to the last: by the clock, and of processors."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Run the pairs and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dist", default="load")
    given = parser.parse_args()
    print(described())
    print(f"{given.tests} tests, {given.workers} workers, --dist {given.dist}")
    ratios: list[Figures] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text(SUITE.format(tests=given.tests), encoding="utf-8")
        (folder / "conftest.py").write_text(CLOCK, encoding="utf-8")
        _run(folder, given, ours=True)
        for pair in range(given.pairs):
            runs = {ours: _run(folder, given, ours=ours) for ours in (pair % 2 == 0, pair % 2 == 1)}
            plain, ours = runs[False], runs[True]
            ratios.append(Figures(ours.wall_s / plain.wall_s, ours.cpu_s / plain.cpu_s))
            print(f"pair {pair + 1}: plain {_told(plain)}, ours {_told(ours)}, ", end="")
            print(f"ratio {ratios[-1].wall_s:.3f} and {ratios[-1].cpu_s:.3f}", flush=True)
    for name, values in zip(("wall", "processors"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: median ratio {statistics.median(values):.3f}, ", end="")
        print(f"from {min(values):.3f} to {max(values):.3f}")


def _run(folder: Path, given: argparse.Namespace, *, ours: bool) -> Figures:
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    command += ["-n", str(given.workers), "--dist", given.dist]
    command += ["--resilience"] if ours else []
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    told = re.search(r"^CLOCK ([\d.]+) ([\d.]+)$", done.stdout, re.MULTILINE)
    assert told is not None, done.stdout
    return Figures(float(told[1]), float(told[2]))


def _told(figures: Figures) -> str:
    return f"{figures.wall_s:.2f} s ({figures.cpu_s:.2f} s of work)"


if __name__ == "__main__":
    main()
