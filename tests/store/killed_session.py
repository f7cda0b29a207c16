"""A session that takes in what others left, writes records, merges them, and may be killed.

    killed_session.py FOLDER ACKS SEED RECORDS WHEN

WHEN is ``never``, ``line:N`` (SIGKILL before the Nth line the store executes),
``merge:SECONDS`` (that long after the merge's transaction began, which lands inside the
database) or ``end:N`` (N lines after the last statement of the transaction, which lands
around the commit and the removal of the spools). Each record's key is appended to ACKS
once `emit` has returned. A session that lives prints how many lines the store executed,
before its merge and in all.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_resilience.store import ingest
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, orphans

_STORE = str(Path(ingest.__file__).parent)


class Executioner:
    """Counts the lines executed in the store and kills the process when told to."""

    def __init__(self, when: str) -> None:
        how, _, value = when.partition(":")
        self.lines = 0
        self._at_line = int(value) if how == "line" else -1
        self._after_s = float(value) if how == "merge" else None
        self._after_end = int(value) if how == "end" else None

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(_STORE):
            return None
        if event == "call" and frame.f_code.co_name == "take_in" and self._after_s is not None:
            threading.Timer(self._after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        if event == "return" and frame.f_code.co_name == "learn" and self._after_end is not None:
            self._at_line = self.lines + self._after_end
        if event == "line":
            self.lines += 1
            if self.lines == self._at_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def main(folder: Path, acks: Path, seed: int, records: int, when: str) -> None:
    """Run the session."""
    rng = random.Random(seed)
    executioner = Executioner(when)
    acknowledged = os.open(acks, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    sys.settrace(executioner.trace)
    spool = Spool(
        folder / "spool", session_id=str(seed), worker="main", now_us=lambda: time.time_ns() // 1000
    )
    for number in range(records):
        key = f"{spool.path.stem}-{number}"
        if rng.random() < 0.5:
            spool.emit("attempt", {"nodeid": key, "traceback": "x" * rng.randrange(2000)})
        else:
            record = {
                "strategy_id": rng.choice(["restart", "retry"]),
                "error_type": "browser",
                "execution_time": rng.random() * 10,
                "success": rng.random() < 0.7,
                "context": {"nodeid": key, "error_id": key, "recovery_level": 1},
            }
            spool.emit("recovery", record)
        os.write(acknowledged, f"{key}\n".encode())
        # Long enough alive for the others' merges to come across this spool.
        time.sleep(rng.random() * 0.03)
    spool.close()
    before = executioner.lines
    History(folder / "history.duckdb").merge(orphans(folder / "spool"), lock_timeout_s=60)
    sys.settrace(None)
    sys.stdout.write(f"{before} {executioner.lines}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
