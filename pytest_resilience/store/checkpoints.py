"""States of long tests on disk, for the next attempt, whichever process runs it.

Invariant: a checkpoint that `write` has returned from survives the death of its writer and of
the machine, whole; a reader finds the old one or the new one. Those of one run never meet
those of another. Standard library only, because every test process may load this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SUFFIX = ".json"


class CheckpointFiles:
    """The checkpoints of one run, one file for each test.

    Args:
        folder: Where those of all runs are.
        run: Names the run; a run that is resumed goes on under the name it had.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder / run

    def write(self, record: dict[str, Any]) -> None:
        """Keep `record`, which has a ``nodeid``, in place of the last one of that test.

        Raises:
            OSError: It cannot be written; the last one stands.
        """
        path = self._of(record["nodeid"])
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}.new")
        try:
            with draft.open("wb") as file:
                file.write(json.dumps(record, separators=(",", ":")).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        _sync(self.folder)

    def read(self, nodeid: str) -> dict[str, Any] | None:
        """Return the record of a test, None if there is none.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged.
        """
        try:
            text = self._of(nodeid).read_bytes()
        except FileNotFoundError:
            return None
        return _record(text)

    def remove(self, nodeid: str) -> None:
        """Let go of what is kept for a test; raises OSError."""
        self._of(nodeid).unlink(missing_ok=True)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield what is there, in no order; what cannot be read is passed over."""
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError, ValueError):
                yield _record(path.read_bytes())

    def drop(self) -> None:
        """Remove all that is kept for the run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        # The last one turns off the light.
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _of(self, nodeid: str) -> Path:
        # Node ids hold what file names cannot.
        name = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / (name + _SUFFIX)


def _record(text: bytes) -> dict[str, Any]:
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get("nodeid"), str):
        raise ValueError("it is no checkpoint")
    return record


def _sync(folder: Path) -> None:
    """Bring the names in `folder` to the disk, where that can be asked for."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
