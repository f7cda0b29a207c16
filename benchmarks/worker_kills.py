"""Does a suite with real browsers survive workers that are killed at random?

    python -m benchmarks.worker_kills
    python -m benchmarks.worker_kills --modes load,each --workers 2 --first-seed 100

Runs the suite of the acceptance tests in every mode of distribution, on two and on four workers,
with as many seeds; in each run three workers are killed with SIGKILL, of which worker and moment
follow from the seed. Without arguments there are three seeds, 36 runs. Prints the machine and
every run, with what was killed and what became of the tests. Ends with status 1 if a promise was
broken: a test without its one verdict, a run that hangs, an internal error, a product failure
that was excused, an event that was lost, a browser, driver or profile that was left behind.
"""

from __future__ import annotations

import argparse
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import described
from tests.acceptance import worker_kills
from tests.acceptance.inner import kill_all
from tests.acceptance.worker_kills import Case
from tests.conftest import RunSuite, run_suite

MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal", "each")
_run_in = inspect.unwrap(run_suite)


class Ended(NamedTuple):
    """What became of one run.

    Attributes:
        seconds: How long it took.
        kills: How many workers were killed.
        counts: Tests by verdict.
        attempts: How many attempts were made that are superseded.
        broken: What was promised and not kept.
    """

    seconds: float
    kills: int
    counts: dict[str, int]
    attempts: int
    broken: list[str]


def main() -> None:
    """Make the runs, print them, and say whether all was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", default=",".join(MODES), help="modes, with commas between them")
    parser.add_argument("--workers", default="2,4", help="numbers of workers")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each mode and number")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3, help="workers that are killed in a run")
    given = parser.parse_args()
    print(described())
    print(f"           pytest-xdist {metadata.version('pytest-xdist')}", end="\n\n")
    print("mode       workers  seed  seconds  killed  load  verdicts")
    ends: list[Ended] = []
    for case in _cases(given.modes.split(","), given.workers.split(","), given):
        ends.append(ended := _ended(case))
        told = ", ".join(f"{count} {verdict}" for verdict, count in ended.counts.items())
        print(
            f"{case.mode:10} {case.workers:7}  {case.seed:4}  {ended.seconds:7.1f}  "
            f"{ended.kills:6}  {os.getloadavg()[0]:4.1f}  {told}",
            flush=True,
        )
        for promise in ended.broken:
            print(f"  BROKEN: {promise}", flush=True)
    verdicts = sum((Counter(ended.counts) for ended in ends), Counter[str]())
    broken = sum(bool(ended.broken) for ended in ends)
    print()
    print(f"{len(ends)} runs, {sum(e.kills for e in ends)} workers killed, ", end="")
    print(f"{sum(e.attempts for e in ends)} attempts repeated: ", end="")
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    print(f"runs that broke a promise: {broken}")
    sys.exit(1 if broken else 0)


def _cases(
    modes: Sequence[str], workers: Sequence[str], given: argparse.Namespace
) -> Iterator[Case]:
    seed = given.first_seed
    for mode in modes:
        for count in workers:
            for _ in range(given.seeds):
                yield Case(mode, int(count), seed, given.kills)
                seed += 1


def _ended(case: Case) -> Ended:
    # Chromium puts a socket in it, whose path must be short.
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    with tempfile.TemporaryDirectory() as folder:
        run: RunSuite = _run_in(Path(folder))
        begun = time.monotonic()
        try:
            done = worker_kills.run(case, run, temporary)
        except subprocess.TimeoutExpired:
            return Ended(time.monotonic() - begun, 0, {}, 0, ["it hangs"])
        else:
            seconds = time.monotonic() - begun
            broken = worker_kills.broken_promises(case, done, temporary)
            if not done.log("kills.txt"):
                broken.append("no worker was killed: this run shows nothing")
            if not done.summary:
                return Ended(seconds, 0, {}, 0, broken)
            attempts = sum(len(test["attempts"]) - 1 for test in done.summary["tests"])
            return Ended(seconds, len(done.log("kills.txt")), done.counts, attempts, broken)
        finally:
            kill_all(temporary)
            shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
