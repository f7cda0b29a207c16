"""What is left of the sessions of a process that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.browser import orphans

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
