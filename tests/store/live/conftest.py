"""Shared circuits in a folder of their own, and processes that share them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.live.world import Shared, Start, heard, said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the shared circuits of a test are kept; nothing is there yet."""
    return tmp_path / "run" / "live.sqlite"


@pytest.fixture
def share(path: Path) -> Iterator[Callable[..., Shared]]:
    """Make `Shared` on `path`, closed after the test."""
    made: list[Shared] = []

    def share(**parameters: Any) -> Shared:
        made.append(Shared(path, **parameters))
        return made[-1]

    yield share
    for shared in made:
        shared.cells.close()


@pytest.fixture
def processes(start: Start, path: Path) -> Iterator[Callable[..., list[subprocess.Popen[str]]]]:
    """Start processes that wait, all ready, for a line; whatever is left of them is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: object, number: int = 1) -> list[subprocess.Popen[str]]:
        begun = [start("-c", code, path, *arguments) for _ in range(number)]
        running.extend(begun)
        for process in begun:
            assert heard(process) == "ready"
        for process in begun:
            said(process)
        return begun

    yield begin
    for process in running:
        process.kill()
        process.communicate()
