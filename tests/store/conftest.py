"""What the tests of the store share: a database folder, a clock that counts, spools in it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pytest_resilience
from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, prepare

#: 2026-01-01T00:00:00Z in microseconds since the epoch.
NEW_YEAR_US = 1_767_225_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database folder as the plugin prepares it."""
    folder = tmp_path / "resilience"
    prepare(folder)
    return folder


@pytest.fixture
def history(folder: Path) -> History:
    """The history in `folder`, not there yet."""
    return History(folder / "history.duckdb")


@pytest.fixture
def new_spool(folder: Path) -> Callable[..., Spool]:
    """Make spools in `folder` whose clock ticks one microsecond per record."""
    ticks = itertools.count(NEW_YEAR_US)

    def make(session_id: str = "s1", worker: str = "main") -> Spool:
        return Spool(
            folder / "spool", session_id=session_id, worker=worker, now_us=lambda: next(ticks)
        )

    return make


@pytest.fixture
def filled(new_spool: Callable[..., Spool]) -> Callable[..., Path]:
    """Write a closed spool with the given (kind, payload) records and return its path."""

    def fill(*events: tuple[str, dict[str, object]], session_id: str = "s1") -> Path:
        spool = new_spool(session_id)
        for kind, payload in events:
            spool.emit(kind, payload)
        spool.close()
        assert (spool.lost, spool.error) == (0, "")
        return spool.path

    return fill


@pytest.fixture
def path(filled: Callable[..., Path]) -> Path:
    """A closed spool with three attempts."""
    return filled(*[("attempt", {"nodeid": str(n)}) for n in range(3)])


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start Python on some code or file, with the package under test importable."""
    root = Path(pytest_resilience.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *_python_path()])}

    def start(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Run Python like `start` to its good end and return what it printed."""

    def run(*arguments: object) -> str:
        with start(*arguments) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, errors
        return output.strip()

    return run


def _python_path() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
