"""What does choosing recoveries by experience save, on real browsers with real faults?

    python -m benchmarks.recovery --events 60 --seed 1

Four runs over the same seeded plan of faults: processes killed and stopped, servers that
vanish. *Every level*: a plain retry and a plain wait are offered for every failure, as a
ladder without knowledge climbs them; *as installed*: only what measured facts do not rule
out. Each with the fixed ladder, and with the expected-cost policy after it has been through
one other plan of the same size. Two more runs tell what the figures can be at all: one meets no
fault, to know what the tests alone cost; in the other each test is told the one recovery that
cures its fault, which no policy can know.

Processor time is that of the run's own processes, of browsers that were killed too: this process
inherits them and waits for them. What else the machine does is not counted.

Invariant: all runs meet the same faults at the same tests, and are judged by the records
that the run itself wrote; a bar that is not reached is printed as such, with the reason as far as
the run that was told shows it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from pytest_resilience.store.history import History

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "test_it.py": ROOT / "benchmarks" / "recovery_suite.py",
    "lab.py": ROOT / "tests" / "acceptance" / "lab.py",
}
#: How often each fault is met, out of 20.
MIX = {"browser": 6, "driver": 4, "renderer": 5, "server": 4, "hang": 1}
#: Pairs of runs, and whether every level is offered for every failure.
RUNS = {"every level": True, "as installed": False}
#: What cures each fault.
CURES = {
    "browser": "browser_restart",
    "driver": "driver_restart",
    "renderer": "fresh_window",
    "server": "delayed_retry",
    "hang": "browser_restart",
}
#: Tests per fault; the others meet none.
TESTS_PER_EVENT = 2
#: Added where every level is to be offered for every failure.
EVERY_LEVEL = """
import time
from pytest_resilience import ErrorType, ProgressiveRecoveryLevel, RecoveryStrategy

class Plain(RecoveryStrategy):
    def __init__(self, name, level, seconds):
        everything = [e for e in ErrorType if e.infrastructure]
        super().__init__(name, ProgressiveRecoveryLevel(level), everything, nominal_s=1.0 + seconds)
        self.seconds = seconds

    def _execute_impl(self, error_info):
        time.sleep(self.seconds)
        return True

def pytest_resilience_strategies():
    return [Plain("plain_retry", 1, 0.0), Plain("plain_wait", 2, 2.0)]
"""


@dataclass(frozen=True)
class Run:
    """One run of the suite.

    Attributes:
        wall_s: Seconds of the whole process.
        cpu_s: Seconds that processors worked for it and everything it started.
        load: Of the machine when it ended.
        verdicts: Number of tests by verdict.
        recoveries: Records of all recoveries.
    """

    wall_s: float
    cpu_s: float
    load: float
    verdicts: dict[str, int]
    recoveries: list[dict[str, Any]]

    @property
    def failed(self) -> int:
        """Recoveries that did not cure."""
        return sum(not record["success"] for record in self.recoveries)

    def mean_s(self, events: int) -> float:
        """Seconds of recovery per fault, outcomes and set-ups included."""
        return sum(record["cost_s"] for record in self.recoveries) / max(1, events)


def plan(events: int, seed: int) -> dict[int, str]:
    """Return which test meets which fault."""
    chance = random.Random(seed)
    kinds = [kind for kind, count in MIX.items() for _ in range(count)]
    faults = kinds * (events // len(kinds))
    faults += chance.sample(kinds, events - len(faults))
    chance.shuffle(faults)
    numbers = sorted(chance.sample(range(1, events * TESTS_PER_EVENT), events))
    return dict(zip(numbers, faults, strict=True))


def run(
    faults: dict[int, str],
    tests: int,
    history: Path,
    policy: str,
    *,
    every: bool,
    told: bool = False,
) -> Run:
    """Run the suite once; `history` is used and added to.

    Args:
        every: Whether a plain retry and a plain wait are offered for every failure.
        told: Whether each test is told what cures its fault.
    """
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    try:
        for name, source in FILES.items():
            shutil.copy(source, folder / name)
        (folder / "conftest.py").write_text(EVERY_LEVEL if every else "")
        command = [
            *(sys.executable, "-m", "pytest", "--rootdir", str(folder), "-q", "--tb=no"),
            *("-p", "no:cacheprovider", "-p", "pytest_resilience.plugin.main", "--resilience"),
            *("--resilience-policy", policy, "--resilience-max-attempts", "6"),
            *("--resilience-db", str(history)),
            *("--resilience-json", str(folder / "summary.json")),
        ]
        surroundings = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "PLAN": json.dumps(faults),
            "TESTS": str(tests),
            "CURES": json.dumps(CURES if told else {}),
        }
        begun, worked = time.monotonic(), _worked()
        subprocess.run(
            command, cwd=folder, env=surroundings, stdout=subprocess.DEVNULL, check=False
        )
        wall_s = time.monotonic() - begun
        _inherit()
        cpu_s = _worked() - worked
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        records = History(history).read(
            "SELECT r.* FROM recovery_performance r JOIN sessions s USING (sid)"
            " WHERE s.started_us = (SELECT max(started_us) FROM sessions)"
        )
        return Run(wall_s, cpu_s, os.getloadavg()[0], summary["counts"], records)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _worked() -> float:
    """Return the seconds that processors worked for the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _adopt() -> None:
    """Become the parent of what is orphaned below this process, so that it can be waited for."""
    with contextlib.suppress(OSError, AttributeError):
        # PR_SET_CHILD_SUBREAPER of Linux.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _inherit() -> None:
    """Wait for what a run has left behind, at most for a few seconds."""
    limit = time.monotonic() + 10
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < limit:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.05)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=60, help="faults per run (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan (default 1)")
    parser.add_argument(
        "--runs", nargs="+", choices=RUNS, default=list(RUNS), help="which pairs (default both)"
    )
    options = parser.parse_args()
    events, tests = options.events, options.events * TESTS_PER_EVENT
    faults, lessons = plan(events, options.seed), plan(events, options.seed + 1000)
    print(described(), end="\n\n")
    print(
        f"seed {options.seed}: {events} faults in {tests} tests: {dict(Counter(faults.values()))}"
    )
    folder = Path(tempfile.mkdtemp(prefix="pr-history-"))
    print(
        "run                            wall s   cpu s  load  recoveries  failed  s/fault  verdicts"
    )
    runs: dict[str, Run] = {}

    def measured(name: str, *arguments: Any, **more: Any) -> Run:
        done = runs[name] = run(*arguments, **more)
        told = ", ".join(f"{count} {verdict}" for verdict, count in done.verdicts.items() if count)
        print(
            f"{name:28} {done.wall_s:8.1f} {done.cpu_s:7.1f} {done.load:5.1f} "
            f"{len(done.recoveries):11} "
            f"{done.failed:7} {done.mean_s(events):8.2f}  {told}",
            flush=True,
        )
        return done

    _adopt()
    try:
        measured("no faults", {}, tests, folder / "none.duckdb", "ladder", every=False)
        none = folder / "told.duckdb"
        measured("told", faults, tests, none, "expected-cost", every=False, told=True)
        for label, every in RUNS.items():
            if label not in options.runs:
                continue
            base, learned = folder / f"{every}-ladder.duckdb", folder / f"{every}-learned.duckdb"
            measured(f"{label}, learning", lessons, tests, learned, "expected-cost", every=every)
            measured(f"{label}, ladder", faults, tests, base, "ladder", every=every)
            measured(f"{label}, learned", faults, tests, learned, "expected-cost", every=every)
            _compare(label, runs, events)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(label: str, runs: dict[str, Run], events: int) -> None:
    ladder, learned = runs[f"{label}, ladder"], runs[f"{label}, learned"]
    told, idle_s = runs["told"], runs["no faults"].cpu_s
    bars = (
        (
            "seconds of recovery per fault",
            *(r.mean_s(events) for r in (ladder, learned, told)),
            0.5,
        ),
        ("recoveries that did not cure", ladder.failed, learned.failed, told.failed, 0.8),
        (
            "cpu seconds beyond the tests",
            *(r.cpu_s - idle_s for r in (ladder, learned, told)),
            0.65,
        ),
    )
    print(f"{label}: learned against ladder")
    for name, before, after, least, wanted in bars:
        less, possible = (1 - value / before if before else 0.0 for value in (after, least))
        met = f"bar {wanted:.0%}: {'met' if less >= wanted else 'NOT met'}"
        if possible < wanted:
            met += f"; {possible:.1%} if each test is told what cures it"
        print(f"  {name:31} {before:7.2f} -> {after:7.2f}  {less:6.1%} less  ({met})")
    lost = {
        v: n for v, n in learned.verdicts.items() if v in ("failed", "unrecovered", "blocked") and n
    }
    print(f"  faults not recovered: {lost or 'none'}")
    costs = [record["cost_s"] for record in learned.recoveries if record["success"]]
    if costs:
        print(f"  seconds per cure: median {statistics.median(costs):.2f}, most {max(costs):.2f}")


if __name__ == "__main__":
    main()
