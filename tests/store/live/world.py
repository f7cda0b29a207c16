"""Processes that share circuits: what they run, and how one talks to them."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig
from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.store.live import SharedCells

Start = Callable[..., "subprocess.Popen[str]"]
Step = tuple[CircuitRecord, int]

PROCESSES = 8

#: What every process of these tests begins with: shared cells, and a circuit in one of them.
_BEGIN = """
import json, os, random, signal, sys, time
from pathlib import Path
from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig, Outcome
from pytest_resilience.store.live import SharedCells

cells = SharedCells(
    Path(sys.argv[1]), run="r", on_degraded=lambda text: sys.exit(text), patience_s=60.0
)
cell = cells.cell("endpoint", "grid")

def circuit(**parameters):
    return CircuitBreaker(
        CircuitConfig(**parameters), name="grid", kind="endpoint", monotonic=time.monotonic,
        chance=random.Random(0), cell=cell,
    )

def count(record):
    return record._replace(ignored=record.ignored + 1), record.ignored

print("ready", flush=True)
sys.stdin.readline()
"""
_COUNT = _BEGIN + "for _ in range(int(sys.argv[2])): cell.update(count)"
_RACE = (
    _BEGIN
    + """
breaker = circuit(failure_threshold=3, half_open_after=0.001, recovery_timeout=0.002, lease_s=0.05)
moves, counts = [], {"permits": 0, "counted": 0, "stale": 0}
breaker.add_listener(lambda move: moves.append(move.to_dict()))
chance = random.Random(os.getpid())
for _ in range(int(sys.argv[2])):
    permit = breaker.try_acquire()
    if permit is None:
        time.sleep(0.0005)
        continue
    counts["permits"] += 1
    outcome = Outcome.FAILURE if chance.random() < 0.6 else Outcome.SUCCESS
    counts["counted" if breaker.report(permit, outcome) else "stale"] += 1
print(json.dumps({"moves": moves, "counts": counts}))
"""
)
_HOLD_PERMIT = (
    _BEGIN
    + """
lease_s = float(sys.argv[2])
breaker = circuit(failure_threshold=1, half_open_after=0, recovery_timeout=60, lease_s=lease_s)
breaker.record_failure("the grid is gone")
assert breaker.probed(True)
assert breaker.acquire().number == 1
print("held", flush=True)
time.sleep(60)
"""
)
_HOLD_TRANSACTION = (
    _BEGIN
    + """
def stay(record):
    print("held", flush=True)
    time.sleep(60)

cell.update(stay)
"""
)
_FORK = (
    _BEGIN
    + """
for _ in range(50): cell.update(count)
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for _ in range(50): cell.update(count)
        os._exit(0 if cell.read().ignored >= 50 else 1)
    children.append(child)
for _ in range(50): cell.update(count)
print([os.waitpid(child, 0)[1] for child in children], cell.read().ignored)
"""
)
_FULL = """
import resource, signal, sys
from pathlib import Path
from pytest_resilience.store.live import SharedCells

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warnings = []
cells = SharedCells(Path(sys.argv[1]), run="r", on_degraded=warnings.append)
names = [cells.cell("browser", str(number)) for number in range(200)]
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
for cell in names * 2:
    cell.update(lambda record: (record._replace(ignored=record.ignored + 1), None))
print(len(warnings), {cell.read().ignored for cell in names})
"""


def counted(record: CircuitRecord) -> Step:
    """Count one more on a record, and answer how many there were."""
    return record._replace(ignored=record.ignored + 1), record.ignored


class Shared:
    """Shared cells that remember what they warned of, and lose patience soon."""

    def __init__(self, path: Path, run: str = "r", patience_s: float = 0.2) -> None:
        self.warnings: list[str] = []
        self.cells = SharedCells(
            path, run=run, on_degraded=self.warnings.append, patience_s=patience_s
        )
        self.cell = self.cells.cell("endpoint", "grid")

    def circuit(self, *, ahead_s: float = 0.0, **parameters: Any) -> CircuitBreaker:
        """Return a circuit in the one cell, so many seconds ahead of the machine's clock."""
        return CircuitBreaker(
            CircuitConfig(**parameters),
            name="grid",
            kind="endpoint",
            monotonic=lambda: time.monotonic() + ahead_s,
            chance=random.Random(0),
            cell=self.cell,
        )


def heard(process: subprocess.Popen[str]) -> str:
    """Return the next line a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def said(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the good end of a process and return what it said last."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip()
