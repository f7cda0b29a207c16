"""Merges the history in a process of its own, which is made ready while the tests still run.

Loading DuckDB takes as long as a merge. It cannot be loaded beside the tests: one that puts
`sys.modules` back would have it loaded a second time, which DuckDB does not survive.

Invariant: whatever that process does not do is done here; it ends when its parent does, and
a merge that breaks off neither loses nor doubles a record (see `history`). Standard library
only, as long as the other process works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_resilience.exceptions import ResilienceError, StoreError
from pytest_resilience.store.spool import orphans

if TYPE_CHECKING:
    from pytest_resilience.store.history import History, MergeResult

#: Seconds the other process gets for a merge before it is done here.
LIMIT_S = 60.0
_MERGE = b"merge\n"
#: Niceness of what is done while the tests run.
_BEHIND = 10
# Isolated, so that nothing in the current folder is taken for a module of Python's own.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pytest_resilience.store.merger import serve; serve(sys.argv[1])"
)


class Merger:
    """Takes the spools beside the database file `path` into it.

    Args:
        limit_s: Seconds the other process gets for a merge.

    Attributes:
        path: The database file, absolute.
    """

    def __init__(self, path: Path, *, limit_s: float = LIMIT_S) -> None:
        self.path = path.absolute()
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = False

    def prepare(self) -> None:
        """Start the other process; to be called once, when there will be something to merge."""
        options = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
        places = json.dumps([str(place) for place in sys.path])
        with suppress(OSError, ValueError):
            self._process = subprocess.Popen(
                [sys.executable, *options, "-c", _PROGRAM, str(self.path), places],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # A Ctrl-C is for the tests; what they leave is merged all the same.
                start_new_session=True,
            )

    def begin(self) -> None:
        """Let the other process, if there is one, merge what is there now; does not wait."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError, ValueError):
                self._process.stdin.write(_MERGE)
                self._process.stdin.flush()
                self._begun = True

    def finish(self) -> MergeResult:
        """Wait for what `begin` began, or do it here.

        Raises:
            StoreError: The history cannot be written now; the spools are untouched.
        """
        from pytest_resilience.store.history import History, MergeResult

        told = self._told() if self._begun else {}
        self.close()
        if told.get("unavailable"):
            raise StoreError(told["unavailable"])
        if "spools" in told:
            aside = told.pop("moved_aside")
            return MergeResult(**told, moved_aside=Path(aside) if aside else None)
        return History(self.path).merge(orphans(self.path.parent / "spool"))

    def close(self) -> None:
        """End the other process, whatever it does."""
        process, self._process, self._begun = self._process, None, False
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _told(self) -> dict[str, Any]:
        """Return what the other process says of its merge; {} if that is of no use."""
        if self._process is None:
            return {}
        try:
            output, _ = self._process.communicate(timeout=self._limit_s)
            told = json.loads(output)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return {}
        return told if isinstance(told, dict) else {}


def serve(path: str) -> None:
    """Be the other process: make ready, wait to be told to merge, and say how that went."""
    prepared: list[History] = []
    preparing = threading.Thread(target=lambda: prepared.append(_prepared(Path(path))))
    preparing.start()
    if sys.stdin.buffer.readline() != _MERGE:
        # The tests were ended; whoever comes next merges what they left.
        os._exit(0)
    preparing.join()
    (history,) = prepared
    try:
        told = asdict(history.merge(orphans(history.path.parent / "spool")))
    except StoreError as error:
        told = {"unavailable": error.message} if error.slug == StoreError.slug else {}
    sys.stdout.write(json.dumps(told, default=str))
    sys.stdout.flush()
    # Somebody waits for the end, and nothing is left that has to be closed.
    os._exit(0)


def _prepared(path: Path) -> History:
    """Load what a merge needs, behind the tests and their browsers, which run meanwhile."""
    if sys.platform == "linux":
        # Of this thread alone: nobody waits for it, but somebody does for the merge.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)
    from pytest_resilience.store.history import History

    history = History(path)
    with suppress(ResilienceError):
        history.prepare()
    return history
