"""What it costs to change a circuit that other processes change, and whether a change is lost.

    python -m benchmarks.live_state [--processes 8] [--operations 10000]

One process alone, then all together, let real circuits in one file count successes as fast as
they can; in a second round they ask for permits and report failures and successes, so that the
circuit opens and closes all the time.

Invariant: every change is counted twice, by the process that made it and in the file. A bar is
printed as met or not met as it is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.machine import described
from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig, Outcome
from pytest_resilience.store.live import SharedCells

SEED = 20_260
#: Seconds that one change may take, half of the time.
MEDIAN_BAR_S = 100e-6
READS = 20_000


@dataclass
class Told:
    """What one process did.

    Attributes:
        seconds: Of each operation.
        counted: Operations of which it knows that they count.
        stale: Reports that came too late to count.
        moves: Generations of the transitions it made.
        warning: Why its circuits were no longer shared, "" if they were.
    """

    seconds: list[float]
    counted: int
    stale: int
    moves: list[int]
    warning: str


def breaker_in(cells: SharedCells) -> CircuitBreaker:
    """Return a circuit that opens soon and not for long, on the clock of the machine."""
    config = CircuitConfig(
        failure_threshold=5, half_open_after=0.0005, recovery_timeout=0.001, lease_s=5.0
    )
    return CircuitBreaker(
        config,
        name="grid",
        kind="endpoint",
        monotonic=time.monotonic,
        chance=random.Random(SEED),
        cell=cells.cell("endpoint", "grid"),
    )


def count(breaker: CircuitBreaker, operations: int, _chance: random.Random) -> Told:
    """Record successes."""
    seconds, counted = [], 0
    for _ in range(operations):
        begun = time.perf_counter()
        counted += breaker.record_success()
        seconds.append(time.perf_counter() - begun)
    return Told(seconds, counted, 0, [], "")


def drive(breaker: CircuitBreaker, operations: int, chance: random.Random) -> Told:
    """Ask for permits and report how it went, two operations each."""
    seconds, counted, stale = [], 0, 0
    moves: list[int] = []
    breaker.add_listener(lambda move: moves.append(move.generation))
    while len(seconds) < operations:
        outcome = Outcome.FAILURE if chance.random() < 0.5 else Outcome.SUCCESS
        begun = time.perf_counter()
        permit = breaker.try_acquire()
        seconds.append(time.perf_counter() - begun)
        if permit is not None:
            begun = time.perf_counter()
            told = breaker.report(permit, outcome)
            seconds.append(time.perf_counter() - begun)
            counted, stale = counted + told, stale + (not told)
    return Told(seconds, counted, stale, moves, "")


WORK: dict[str, Callable[[CircuitBreaker, int, random.Random], Told]] = {
    "count": count,
    "drive": drive,
}


def process(
    path: Path, work: str, operations: int, number: int, start: Barrier,
    results: multiprocessing.Queue[Told],
) -> None:  # fmt: skip
    """Do the work when all are ready, and tell."""
    warnings: list[str] = []
    cells = SharedCells(path, run="benchmark", on_degraded=warnings.append)
    breaker = breaker_in(cells)
    breaker.get_state()
    start.wait()
    told = WORK[work](breaker, operations, random.Random(SEED + number))
    told.warning = "".join(warnings)
    cells.close()
    results.put(told)


def measure(path: Path, work: str, processes: int, operations: int) -> tuple[list[Told], float]:
    """Let so many processes do the work, and return what they tell, and the seconds it took."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes + 1), context.Queue()
    running = [
        context.Process(target=process, args=(path, work, operations, number, start, results))
        for number in range(processes)
    ]
    for each in running:
        each.start()
    start.wait()
    begun = time.perf_counter()
    told = [results.get() for _ in running]
    took = time.perf_counter() - begun
    for each in running:
        each.join()
    return told, took


def shown(told: list[Told], took: float) -> str:
    """Return the times of all operations on one line."""
    every = sorted(second for one in told for second in one.seconds)
    places = {"median": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}
    parts = [
        f"{name} {every[int(share * (len(every) - 1))] * 1e6:,.0f} us"
        for name, share in places.items()
    ]
    return ", ".join([*parts, f"{len(every) / took:,.0f} operations/s"])


def main() -> int:
    """Measure, print; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--operations", type=int, default=10_000)
    asked = parser.parse_args()
    print(described())
    bars: list[tuple[str, bool]] = []
    with tempfile.TemporaryDirectory(prefix="resilience-benchmark-") as folder:
        for work in WORK:
            for processes in (1, asked.processes):
                path = Path(folder) / f"{work}-{processes}.sqlite"
                told, took = measure(path, work, processes, asked.operations)
                print(f"{work:6} {processes} x {asked.operations:,}: {shown(told, took)}")
                bars += judged(work, processes, path, told)
        measure_reads(Path(folder) / "count-1.sqlite")
    for text, met in bars:
        print(f"{'met    ' if met else 'NOT MET'} {text}")
    return 0 if all(met for _, met in bars) else 1


def judged(work: str, processes: int, path: Path, told: list[Told]) -> list[tuple[str, bool]]:
    """Return what has to hold of the file and of the times, and whether it does."""
    cells = SharedCells(path, run="benchmark")
    record = cells.cell("endpoint", "grid").read()
    cells.close()
    counted, stale = sum(one.counted for one in told), sum(one.stale for one in told)
    in_file = record.successes + record.failures
    median = statistics.median(second for one in told for second in one.seconds)
    moves = sorted(generation for one in told for generation in one.moves)
    where = f"{work}, {processes} processes"
    found = [
        (f"{where}: still shared at the end", not any(one.warning for one in told)),
        (f"{where}: {counted + stale - in_file - record.stale} changes lost of"
         f" {counted + stale:,}", (counted, stale) == (in_file, record.stale)),
        (f"{where}: median {median * 1e6:.0f} us, at most {MEDIAN_BAR_S * 1e6:.0f}",
         median <= MEDIAN_BAR_S),
    ]  # fmt: skip
    if work == "drive":
        once = moves == list(range(1, record.generation + 1))
        found.append((f"{where}: each of {record.generation:,} transitions told once", once))
    return found


def measure_reads(path: Path) -> None:
    """Print what it costs to ask a closed circuit that nobody changes."""
    cells = SharedCells(path, run="benchmark")
    breaker = breaker_in(cells)
    breaker.try_acquire()
    begun = time.perf_counter()
    for _ in range(READS):
        breaker.try_acquire()
    print(f"permit of a closed circuit: {(time.perf_counter() - begun) / READS * 1e6:.1f} us")
    cells.close()


if __name__ == "__main__":
    sys.exit(main())
