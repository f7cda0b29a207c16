"""Every part that is stopped while a command runs is noticed, and called what it is.

The faults are in `stopped_faults.py`; `python -m benchmarks.diagnosis stopped` prints how soon,
with the time that the watchdog gives a command when nobody says otherwise. Behind a Grid, one of
them will do: `test_grid_hangs` stops them all. With ``ACCEPTANCE=full`` all of them run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_resilience.browser.sessions import SessionRegistry
from tests.acceptance.grid_faults import GridLab
from tests.acceptance.inner import processes_left
from tests.acceptance.live import Fault, Lab, diagnose, starts
from tests.acceptance.stopped_faults import STOPPED, STOPPED_BEHIND_GRID

pytestmark = pytest.mark.browser

HANG_TIMEOUT_S = 3.0
#: Selenium alone waits for minutes, or for ever.
FAR_TOO_LONG_S = 60.0
BEHIND_GRID = (
    STOPPED_BEHIND_GRID if os.environ.get("ACCEPTANCE") == "full" else STOPPED_BEHIND_GRID[:1]
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Temporary folder of the grid, of which nothing is left."""
    # Chromium puts a socket in it, whose path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    yield folder
    left = processes_left(folder)
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.fixture(scope="module")
def registry() -> Iterator[SessionRegistry]:
    registry = SessionRegistry(quit_limit_s=4.0, hang_timeout_s=HANG_TIMEOUT_S)
    registry.watch()
    yield registry
    registry.unwatch()


@pytest.fixture(scope="module")
def here(registry: SessionRegistry, folder: Path) -> Iterator[Lab]:
    """Browsers on this machine."""
    lab = Lab(registry, starts(), folder)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def behind_grid(registry: SessionRegistry, folder: Path) -> Iterator[GridLab]:
    """Browsers behind a real Grid."""
    lab = GridLab(registry, folder)
    yield lab
    lab.close()


def noticed(fault: Fault, lab: Lab) -> None:
    found = diagnose(fault, lab)
    assert found.right, (
        f"{found.exception} -> {found.diagnosis}; {found.told()}; {found.evidence.to_dicts()}"
    )
    assert found.exception == "CommandHung"
    assert found.latency_s < FAR_TOO_LONG_S


@pytest.mark.parametrize("fault", STOPPED, ids=lambda fault: f"{fault.browser}-{fault.name}")
def test_what_is_stopped_here_is_noticed(here: Lab, fault: Fault) -> None:
    """By the state of its process."""
    noticed(fault, here)


@pytest.mark.parametrize("fault", BEHIND_GRID, ids=lambda fault: fault.name)
def test_what_is_stopped_behind_a_grid_is_noticed(behind_grid: GridLab, fault: Fault) -> None:
    """By its silence, while what stands before it still answers."""
    noticed(fault, behind_grid)
