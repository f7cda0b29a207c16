"""What does `--resilience` cost a suite in which everything is the product's own fault?

    python -m benchmarks.product_failures --pairs 5
    python -m benchmarks.product_failures --pairs 5 --own-browser
    python -m benchmarks.product_failures --pairs 5 --journey 10

Runs the suite of genuine failures with and without `--resilience`, in turns, and prints
every run, the medians and their ratio. The order changes from pair to pair, so that a load
that grows or falls favours neither. All tests share one browser, so that they take as little
time as can be; with `--own-browser` each has one of its own, and with `--journey` each visits
some pages before it fails, as tests of whole applications do.

Invariant: both sides run the same tests on the same browser and must end with the same
numbers of failed and passed ones; a run that does not is not counted but reported.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import described

ROOT = Path(__file__).resolve().parents[1]
ACCEPTANCE = ROOT / "tests" / "acceptance"
FILES = {
    "test_it.py": ACCEPTANCE / "suites" / "genuine_failures.py",
    "faulty_app.py": ACCEPTANCE / "suites" / "faulty_app.py",
    "lab.py": ACCEPTANCE / "lab.py",
}
#: What the ratio of the wall times may be at most.
BAR = 1.03
_COUNTS = re.compile(r"(\d+) (failed|passed|errors?|rerun)")


@dataclass(frozen=True)
class Run:
    """One run of the suite.

    Attributes:
        wall_s: Seconds from start to end of the process.
        cpu_s: Processor seconds of pytest and what it waited for.
        counts: What its last line says.
    """

    wall_s: float
    cpu_s: float
    counts: dict[str, int]


def run(*, resilience: bool, selection: str = "", scope: str = "session", journey: int = 0) -> Run:
    """Run the suite once, in a folder and a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    try:
        for name, source in FILES.items():
            shutil.copy(source, folder / name)
        command = [
            *(sys.executable, "-m", "pytest", "--rootdir", str(folder), "-q", "--tb=short"),
            *("-p", "no:cacheprovider", "-p", "pytest_resilience.plugin.main"),
            *(("-k", selection) if selection else ()),
            *(("--resilience",) if resilience else ()),
        ]
        surroundings = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "BROWSER_SCOPE": scope,
            "JOURNEY": str(journey),
        }
        output = folder / "output.txt"
        begun = time.monotonic()
        with output.open("wb") as file:
            child = subprocess.Popen(
                command, cwd=folder, env=surroundings, stdout=file, stderr=subprocess.STDOUT
            )
            _pid, _status, used = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - begun
        child.returncode = 0
        last = output.read_text("utf-8", "replace").strip().splitlines()[-1]
        counts = {name.rstrip("s"): int(number) for number, name in _COUNTS.findall(last)}
        return Run(wall_s, used.ru_utime + used.ru_stime, counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("-k", dest="selection", default="", help="only tests that match")
    parser.add_argument("--own-browser", action="store_true", help="a browser for each test")
    parser.add_argument("--journey", type=int, default=0, help="pages visited before (default 0)")
    options = parser.parse_args()
    scope = "function" if options.own_browser else "session"
    print(described(), end="\n\n")
    runs: dict[bool, list[Run]] = {False: [], True: []}
    print("pair  side         wall s    cpu s  ended")
    for pair in range(1, options.pairs + 1):
        for resilience in (False, True) if pair % 2 else (True, False):
            done = run(
                resilience=resilience,
                selection=options.selection,
                scope=scope,
                journey=options.journey,
            )
            runs[resilience].append(done)
            side = "resilience" if resilience else "plain"
            ended = ", ".join(f"{number} {name}" for name, number in done.counts.items())
            print(f"{pair:4}  {side:10} {done.wall_s:8.2f} {done.cpu_s:8.2f}  {ended}", flush=True)
    print()
    for name in ("wall_s", "cpu_s"):
        plain, ours = ([getattr(r, name) for r in runs[side]] for side in (False, True))
        ratios = [b / a for a, b in zip(plain, ours, strict=True)]
        print(
            f"{name:6}  plain {statistics.median(plain):.2f}  "
            f"resilience {statistics.median(ours):.2f}  "
            f"ratio of medians {statistics.median(ours) / statistics.median(plain):.3f}  "
            f"median of ratios {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
    wall = [statistics.median(done.wall_s for done in runs[side]) for side in (False, True)]
    missed = wall[1] / wall[0] > BAR
    print(f"\nwall time at most {BAR} of plain: {'missed' if missed else 'met'}")
    ends = {str(sorted(done.counts.items())) for side in runs.values() for done in side}
    if len(ends) > 1:
        sys.exit(f"the runs did not end alike: {ends}")


if __name__ == "__main__":
    main()
