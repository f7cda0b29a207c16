"""Every real shortage of memory in a real browser is called what it is, by its own evidence."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_resilience.browser.sessions import SessionRegistry
from tests.acceptance.inner import processes_left
from tests.acceptance.live import Fault, Lab, diagnose, starts
from tests.acceptance.memory_faults import (
    IMPOSSIBLE,
    MEMORY,
    Group,
    on_full_shared_memory,
    why_not_private,
)

pytestmark = pytest.mark.browser


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab of which nothing is left."""
    # Chromium puts a socket in it, whose path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    registry = SessionRegistry(quit_limit_s=4.0)
    registry.watch()
    lab = Lab(registry, starts(), folder)
    yield lab
    lab.close()
    registry.unwatch()
    left = processes_left(folder)
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.mark.parametrize("fault", MEMORY, ids=lambda fault: fault.name)
def test_a_shortage_is_called_what_it_is(lab: Lab, fault: Fault) -> None:
    """Error type, layer, whether it is excused, by what evidence, and what has to be replaced."""
    found = diagnose(fault, lab)
    assert found.right, (
        f"{found.exception} -> {found.diagnosis}; {found.told()}; {found.evidence.to_dicts()}"
    )


@pytest.mark.parametrize(
    "reason",
    [IMPOSSIBLE],
    ids=lambda reason: f"not possible on this machine: {reason}" if reason else "possible",
)
def test_control_groups(reason: str) -> None:
    """Where they can be made, their faults are in the table; where not, this id says why."""
    names = [fault.name for fault in MEMORY]
    assert names[0] == "heap exhausted"
    assert (names[1:] == []) == bool(reason)
    if not reason:
        Group().remove()


@pytest.mark.parametrize(
    "reason",
    [why_not_private()],
    ids=lambda reason: f"not possible on this machine: {reason}" if reason else "possible",
)
def test_a_full_shared_memory_is_seen_whether_it_hurts_or_not(lab: Lab, reason: str) -> None:
    """This Chromium has its shared memory elsewhere and works on; the probe tells of it."""
    if reason:
        assert lab.app.url
        return
    mapped, short = on_full_shared_memory(lab)
    assert mapped == 0
    assert short == ["/dev/shm: 0 MiB of 0 MiB free"]
    lab.afterwards.pop()()
