"""Folders of one process, and what becomes of those whose owner was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_resilience.store.lodging import Lodging

_OWNER = """
import os, signal, sys
from pytest_resilience.store.lodging import Lodging

lodging = Lodging()
(lodging.path / "kept").mkdir()
print(lodging.path, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, with a folder of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        yield process
        process.kill()


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_it_is_gone_when_its_owner_is_done(place: Path) -> None:
    lodging = Lodging()
    (lodging.path / "file").touch()
    assert [path.parent for path in place.iterdir()] == [place]
    lodging.remove()
    lodging.remove()
    assert list(place.iterdir()) == []


def test_that_of_a_process_that_was_killed_is_removed_by_the_next(
    place: Path, other: subprocess.Popen[str]
) -> None:
    left = folder_of(other)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert left.is_dir()
    Lodging().remove()
    assert list(place.iterdir()) == []


def test_that_of_a_process_that_lives_stays(place: Path, other: subprocess.Popen[str]) -> None:
    kept = folder_of(other)
    Lodging().remove()
    assert list(place.iterdir()) == [kept]
    assert (kept / "kept").is_dir()


@pytest.mark.parametrize("name", ["pytest-resilience-new-abc", "pytest-resilience-run-abc"])
def test_what_has_no_lock_is_nobodys_to_remove(place: Path, name: str) -> None:
    """One is being made; of the other nobody knows what it is."""
    (place / name).mkdir()
    Lodging().remove()
    assert [path.name for path in place.iterdir()] == [name]
