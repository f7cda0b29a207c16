"""What is left of the sessions of a process that is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.browser import endings, orphans, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.starts import FailedStart

#: No process has ever had such a number.
GONE = (2**30, 0.0)


def left(**named: Any) -> dict[str, Any]:
    return {"driver": GONE, "browser": GONE, "id": "a session", **named}


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    folder = tmp_path / "org.chromium.Chromium.abc"
    folder.mkdir()
    for name in ("SingletonSocket", "SingletonCookie"):
        (folder / name).symlink_to("nowhere")
    return folder


def test_a_profile_and_a_socket_are_removed(tmp_path: Path, socket: Path) -> None:
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    assert orphans.end([left(profile=str(profile), socket=str(socket))], {"NOBODY": "HAS"}) == 1
    assert not profile.exists()
    assert not socket.exists()


def test_a_socket_is_removed_also_if_the_driver_had_removed_its_profile(
    tmp_path: Path, socket: Path
) -> None:
    """It was quitting when the process died."""
    ended = orphans.end([left(profile=str(tmp_path / "no"), socket=str(socket))], {"NOBODY": "HAS"})
    assert ended == 1
    assert not socket.exists()


def test_a_folder_with_anything_else_in_it_is_no_socket(tmp_path: Path, socket: Path) -> None:
    (socket / "precious.txt").write_text("")
    orphans.end([left(profile=str(tmp_path / "no"), socket=str(socket))], {"NOBODY": "HAS"})
    assert socket.exists()


def test_where_nothing_is_left_nothing_is_ended(tmp_path: Path) -> None:
    assert orphans.end([left(profile=str(tmp_path / "no"))], {"NOBODY": "HAS"}) == 0


def test_a_socket_is_removed_that_a_browser_makes_while_its_start_is_given_up(
    tmp_path: Path, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has made is looked for only when it is ended."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    profile = tmp_path / "profile"
    profile.mkdir()
    program = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", program, f"--user-data-dir={profile}"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    ) as starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        exterminate = processes.exterminate

        def late(collect: Callable[[], Iterable[ProcessId]]) -> tuple[ProcessId, ...]:
            (profile / "SingletonSocket").symlink_to(socket / "SingletonSocket")
            return exterminate(collect)

        monkeypatch.setattr(processes, "exterminate", late)
        found = processes.identify(starting.pid)
        failed = FailedStart(mark=1, driver_process=found, leads_group=True, requested={})
        endings.clear_failed_start(failed)
    assert starting.returncode == -signal.SIGKILL
    assert not profile.exists()
    assert not socket.exists()
