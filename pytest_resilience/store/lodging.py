"""Folders for temporary files that belong to one process, and those of processes that were killed.

Invariant: a folder has its name only while its lock, which the kernel frees when its owner dies,
is held or can be taken; so one whose lock can be taken is nobody's, wherever its owner lived.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK = "owner.lock"
#: While one is made, nobody may take it for one that was left.
_MAKING = "pytest-resilience-new-"
_MADE = "pytest-resilience-run-"


class Lodging:
    """A folder of this process, made at once.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self) -> None:
        making = Path(tempfile.mkdtemp(prefix=_MAKING))
        self._lock = os.open(making / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        #: Where it is.
        self.path = making.with_name(_MADE + making.name.removeprefix(_MAKING))
        making.rename(self.path)

    def remove(self) -> None:
        """Leave nothing behind, and neither what others have left who were killed."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        for path in self.path.parent.glob(f"{_MADE}*"):
            with contextlib.suppress(OSError):
                _remove_left(path)


def _remove_left(path: Path) -> None:
    """Remove the folder `path` if its owner is dead."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
