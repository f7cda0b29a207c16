"""Files written whole or not at all.

Invariant: a reader never sees half a file, and after an error the old file is untouched.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pytest_resilience.exceptions import ReportError


def write_whole(path: str | os.PathLike[str], data: bytes, *, option: str) -> None:
    """Write `data` to `path`, making its directories.

    :param option: The option `path` came from, for the error message.
    :raises ReportError: If the file cannot be written.
    """
    try:
        _write(Path(os.path.realpath(path)), data)
    except OSError as error:
        why = error.strerror or str(error)
        raise ReportError(
            f"{option}: cannot write {os.fspath(path)!r} ({why}); "
            "give a file in a directory that can be written"
        ) from error


def _write(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        # A device or a pipe is written to; replacing it would take it away from everybody.
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
