"""What does a circuit cost a call, and does it keep its promises under load?

    python -m benchmarks.circuits [--operations 1000000] [--runs 7]

Times the permission check of a closed circuit, a report, a whole protected call, and the way of
a record to JSON and back, as circuits that processes share take it. Then eight threads call
through three breakers over one record, as fast as they can, and a million operations later the
books have to balance.

Invariant: a bar is printed as met or not met as it is, and every run is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import described
from pytest_resilience import CircuitBreaker
from pytest_resilience.core.circuit import CircuitRecord, MemoryCell, Outcome, Permit, Transition

SEED = 20_260
THREADS, BREAKERS, PROBES = 8, 3, 2
CALLS = 50_000
CHECK_BAR_US = 5.0
SIZE_BAR = 1024

#: What the threads do, with weights; one report in seven is a failure in good times.
OUTCOMES = (Outcome.SUCCESS,) * 5 + (Outcome.FAILURE, Outcome.IGNORED)
#: In bad times nearly all are, and times change after so many operations of a thread.
BAD_OUTCOMES = (Outcome.FAILURE,) * 6 + (Outcome.SUCCESS,)
SPELL = 500

Bar = tuple[bool, str]


@dataclass
class WatchedCell(MemoryCell):
    """A record that is looked at whenever it changes."""

    wrong: list[str] = field(default_factory=list)
    granted: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def update(self, fn: Callable[[CircuitRecord], Any]) -> Any:
        """Change the record, and note what should not be."""

        def watched(before: CircuitRecord) -> Any:
            after, answer = fn(before)
            self.wrong += misdeeds(before, after)
            self.granted += after.last_permit - before.last_permit
            return after, answer

        return super().update(watched)


def misdeeds(before: CircuitRecord, after: CircuitRecord) -> Iterator[str]:
    """Yield what must not come of a change."""
    if len(after.leases) > PROBES:
        yield f"{len(after.leases)} trials at once"
    if after.leases and after.state != "half-open":
        yield f"a trial while {after.state}"
    if after.generation < before.generation:
        yield "a generation that goes back"
    if before.state == "open" and after.state == "closed" and after.closed_at is not None:
        yield "closed without a trial"
    if after.generation == before.generation and after.state is not before.state:
        yield "another state in the same generation"


def timed(label: str, work: Callable[[], object], runs: int, calls: int = CALLS) -> float:
    """Print the processor time that `work` takes, and return the median in microseconds."""
    spent = timeit.repeat(work, number=calls, repeat=runs, timer=time.process_time)
    times = [1e6 * seconds / calls for seconds in spent]
    median = statistics.median(times)
    every = " ".join(f"{microseconds:.2f}" for microseconds in times)
    print(f"{label:34} median {median:7.2f} us   ({every})", flush=True)
    return median


def costs(runs: int) -> Iterator[Bar]:
    """Time what is done for each call."""
    breaker = CircuitBreaker(name="http://grid:4444", kind="endpoint")
    permit = breaker.acquire()
    timed("an empty function", lambda: None, runs)
    check = timed("permission check, closed", breaker.acquire, runs)
    timed("state, closed", breaker.get_state, runs)
    timed("report of a success", lambda: breaker.report(permit, Outcome.SUCCESS), runs)
    timed("protected call", lambda: breaker.execute(int), runs)
    yield check <= CHECK_BAR_US, f"permission check at most {CHECK_BAR_US:g} us: {check:.2f} us"
    record = full_cell().read()
    text = json.dumps(record.to_dict())
    timed("record to JSON and back", lambda: again(record), runs, CALLS // 10)
    print(f"{'record as JSON, with a full window':34} {len(text)} bytes")
    yield len(text) < SIZE_BAR, f"record as JSON below {SIZE_BAR} bytes: {len(text)} bytes"


def again(record: CircuitRecord) -> CircuitRecord:
    """Return what comes back of `record` from JSON."""
    return CircuitRecord.from_dict(json.loads(json.dumps(record.to_dict())))


def full_cell() -> MemoryCell:
    """Return a record with all its buckets in use, as after a busy minute."""
    now = [100_000.0]
    cell = MemoryCell()
    breaker = CircuitBreaker(failure_threshold=9, failure_rate=1.0, cell=cell)
    breaker._monotonic = lambda: now[0]
    for number in range(60):
        now[0] += 1.0
        outcome = Outcome.FAILURE if number % 7 == 0 else Outcome.SUCCESS
        breaker.report(breaker.acquire(), outcome, "ReadTimeoutError: " + "x" * 200, 1.5)
    return cell


@dataclass
class Books:
    """What the threads know of what they did."""

    attempts: int = 0
    executed: int = 0
    trials: int = 0
    counted: int = 0
    stale: int = 0


def storm(operations: int) -> Iterator[Bar]:
    """Let eight threads make `operations` in all, and balance the books."""
    cell, told = WatchedCell(), [list[Transition]() for _ in range(BREAKERS)]
    breakers = [
        CircuitBreaker(3, 0.01, 0.002, success_threshold=2, probes=PROBES, lease_s=0.005, cell=cell)
        for _ in range(BREAKERS)
    ]
    for breaker, moves in zip(breakers, told, strict=True):
        breaker.add_listener(moves.append)
    books = [Books() for _ in range(THREADS)]
    begun = time.perf_counter()
    threads = [
        threading.Thread(
            target=work, args=(number, breakers[number % BREAKERS], operations, books[number])
        )
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    record, moves = cell.read(), sorted((m for of in told for m in of), key=lambda m: m.generation)
    print(
        f"\n{operations:,} operations from {THREADS} threads over {BREAKERS} breakers of one "
        f"record: {seconds:.1f} s, {1e6 * seconds / operations:.1f} us each"
    )
    names = ("successes", "failures", "ignored", "refused", "stale")
    figures = ", ".join(f"{getattr(record, name):,} {name}" for name in names)
    print(f"{len(moves):,} transitions, {record.last_permit:,} trials, {figures}")
    yield from balanced(cell, books, moves)
    yield from in_order(record, told, moves)


def work(number: int, breaker: CircuitBreaker, operations: int, books: Books) -> None:
    """Ask for permits and report, a share of `operations`."""
    chance = random.Random(SEED + number)
    out: list[Permit] = []
    for turn in range(operations // THREADS):
        if turn % 3 == 0:
            books.attempts += 1
            permit = breaker.try_acquire()
            if permit is not None:
                books.executed += 1
                books.trials += not permit.closed
                out.append(permit)
        elif turn % 3 == 1 and out:
            outcomes = BAD_OUTCOMES if turn // SPELL % 2 else OUTCOMES
            counts = breaker.report(out.pop(0), chance.choice(outcomes), "x", 0.1)
            books.counted += counts
            books.stale += not counts
        elif turn % 6 == 2:
            breaker.probed(chance.random() < 0.5)
        elif turn % 90 == 5:
            breaker.reset()
        else:
            breaker.get_state()
    for permit in out:
        counts = breaker.report(permit, Outcome.IGNORED)
        books.counted += counts
        books.stale += not counts


def balanced(cell: WatchedCell, books: list[Books], moves: list[Transition]) -> Iterator[Bar]:
    """Compare the record with what the threads know."""
    record = cell.read()
    total = Books(*(sum(getattr(b, name) for b in books) for name in vars(books[0])))
    hung = sum("had no result" in move.reason for move in moves)
    counted = record.successes + record.failures + record.ignored - hung
    yield total.counted + total.stale == total.executed, "every permit was reported once"
    yield counted == total.counted, f"every report that counts was counted: {counted:,}"
    yield record.stale == total.stale, f"every stale report was noted: {record.stale:,}"
    refused = total.attempts - total.executed
    yield record.refused == refused, f"every refusal was counted: {refused:,}"
    yield record.last_permit == total.trials, f"every trial has a number: {total.trials:,}"
    yield not cell.wrong, f"no change was wrong: {', '.join(sorted(set(cell.wrong))) or 'none'}"


def in_order(
    record: CircuitRecord, told: list[list[Transition]], moves: list[Transition]
) -> Iterator[Bar]:
    """Check that each transition was told once, and in order."""
    numbers = [move.generation for move in moves]
    yield numbers == list(range(1, record.generation + 1)), "every transition was told once"
    ordered = all(
        earlier.generation < later.generation
        for of in told
        for earlier, later in itertools.pairwise(of)
    )
    yield ordered, "each breaker told its transitions in order"
    linked = all(a.to_state is b.from_state for a, b in itertools.pairwise(moves))
    yield linked, "each began where the one before had ended"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(described())
    print(f"seed       {SEED}\n\nprocessor time of one, all runs in brackets:")
    results = [*costs(options.runs), *storm(options.operations)]
    print()
    for met, told in results:
        print(f"{'met' if met else 'NOT MET':8} {told}")
    if not all(met for met, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
