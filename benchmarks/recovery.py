"""What does choosing recoveries by experience save, on real browsers with real faults?

    python -m benchmarks.recovery --events 60 --seed 1

Four runs over the same seeded plan of faults: processes killed and stopped, servers that
vanish. *Every level*: a plain retry and a plain wait are offered for every failure, as a
ladder without knowledge climbs them; *as installed*: only what measured facts do not rule
out. Each with the fixed ladder, and with the expected-cost policy after it has been through
one other plan of the same size. A fifth run meets no fault, to know what the tests alone
cost.

Invariant: all runs meet the same faults at the same tests, and are judged by the records
that the run itself wrote; a bar that is not reached is printed as such.
"""

from __future__ import annotations

import argparse
import json
import os
import random
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

import psutil

from benchmarks.machine import described
from pytest_resilience.store.history import History

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "test_it.py": ROOT / "benchmarks" / "recovery_suite.py",
    "lab.py": ROOT / "tests" / "acceptance" / "lab.py",
}
#: How often each fault is met, out of 20.
MIX = {"browser": 6, "driver": 4, "renderer": 5, "server": 4, "hang": 1}
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
        cpu_s: Seconds that all processors of the machine worked meanwhile.
        verdicts: Number of tests by verdict.
        recoveries: Records of all recoveries.
    """

    wall_s: float
    cpu_s: float
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


def run(faults: dict[int, str], tests: int, history: Path, policy: str, *, every: bool) -> Run:
    """Run the suite once; `history` is used and added to."""
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
        }
        begun, worked = time.monotonic(), _worked()
        subprocess.run(
            command, cwd=folder, env=surroundings, stdout=subprocess.DEVNULL, check=False
        )
        wall_s, cpu_s = time.monotonic() - begun, _worked() - worked
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        records = History(history).read(
            "SELECT r.* FROM recovery_performance r JOIN sessions s USING (sid)"
            " WHERE s.started_us = (SELECT max(started_us) FROM sessions)"
        )
        return Run(wall_s, cpu_s, summary["counts"], records)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _worked() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=60, help="faults per run (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan (default 1)")
    options = parser.parse_args()
    events, tests = options.events, options.events * TESTS_PER_EVENT
    faults, lessons = plan(events, options.seed), plan(events, options.seed + 1000)
    print(described(), end="\n\n")
    print(
        f"seed {options.seed}: {events} faults in {tests} tests: {dict(Counter(faults.values()))}"
    )
    folder = Path(tempfile.mkdtemp(prefix="pr-history-"))
    print("run                            wall s   cpu s  recoveries  failed  s/fault  verdicts")
    runs: dict[str, Run] = {}

    def measured(name: str, *arguments: Any, **more: Any) -> Run:
        done = runs[name] = run(*arguments, **more)
        told = ", ".join(f"{count} {verdict}" for verdict, count in done.verdicts.items() if count)
        print(
            f"{name:28} {done.wall_s:8.1f} {done.cpu_s:7.1f} {len(done.recoveries):11} "
            f"{done.failed:7} {done.mean_s(events):8.2f}  {told}",
            flush=True,
        )
        return done

    try:
        measured("no faults", {}, tests, folder / "none.duckdb", "ladder", every=False)
        for label, every in (("every level", True), ("as installed", False)):
            base, learned = folder / f"{every}-ladder.duckdb", folder / f"{every}-learned.duckdb"
            measured(f"{label}, learning", lessons, tests, learned, "expected-cost", every=every)
            measured(f"{label}, ladder", faults, tests, base, "ladder", every=every)
            measured(f"{label}, learned", faults, tests, learned, "expected-cost", every=every)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print()
    for label in ("every level", "as installed"):
        _compare(label, runs, events)


def _compare(label: str, runs: dict[str, Run], events: int) -> None:
    ladder, learned = runs[f"{label}, ladder"], runs[f"{label}, learned"]
    idle_s = runs["no faults"].cpu_s
    bars = (
        ("seconds of recovery per fault", ladder.mean_s(events), learned.mean_s(events), 0.50),
        ("recoveries that did not cure", ladder.failed, learned.failed, 0.80),
        ("cpu seconds beyond the tests", ladder.cpu_s - idle_s, learned.cpu_s - idle_s, 0.65),
    )
    print(f"{label}: learned against ladder")
    for name, before, after, wanted in bars:
        less = 1 - after / before if before else 0.0
        met = f"bar {wanted:.0%}: {'met' if less >= wanted else 'NOT met'}"
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
