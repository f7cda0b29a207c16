"""What belongs to a session and may be ended or deleted with it."""

from __future__ import annotations

import os
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_resilience.browser import discovery

IN_TEMP = os.path.join(tempfile.gettempdir(), "org.chromium.Chromium.scoped_dir.abc123")


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ({"chrome": {"userDataDir": "/tmp/c"}}, "/tmp/c"),
        ({"msedge": {"userDataDir": "/tmp/e"}}, "/tmp/e"),
        ({"moz:profile": "/tmp/rust_mozprofile1"}, "/tmp/rust_mozprofile1"),
        ({"browserName": "safari"}, None),
        ({"chrome": {"userDataDir": ""}}, None),
    ],
    ids=["chrome", "edge", "firefox", "safari", "empty"],
)
def test_the_profile_is_read_from_the_granted_capabilities(
    granted: dict[str, Any], expected: str | None
) -> None:
    assert discovery.profile_of(granted) == expected


def test_a_profile_the_driver_made_is_ours() -> None:
    requested = {"goog:chromeOptions": {"args": ["--headless=new"]}}
    assert discovery.is_temporary(IN_TEMP, requested, None)


@pytest.mark.parametrize(
    "requested",
    [
        {"goog:chromeOptions": {"args": [f"--user-data-dir={IN_TEMP}"]}},
        {"goog:chromeOptions": {"args": [f"user-data-dir={IN_TEMP}"]}},
        {"moz:firefoxOptions": {"args": ["-profile", IN_TEMP]}},
        {
            "capabilities": {
                "alwaysMatch": {},
                "firstMatch": [{"ms:edgeOptions": {"args": [f"--user-data-dir={IN_TEMP}"]}}],
            }
        },
        None,
    ],
    ids=["chrome", "chrome-without-dashes", "firefox", "w3c", "request-not-seen"],
)
def test_a_profile_the_user_named_is_never_ours(requested: dict[str, Any] | None) -> None:
    assert not discovery.is_temporary(IN_TEMP, requested, None)


@pytest.mark.parametrize("profile", ["/home/someone/.config/chromium", f"{IN_TEMP}/Default"])
def test_a_profile_elsewhere_is_never_ours(profile: str) -> None:
    assert not discovery.is_temporary(profile, {}, None)


def test_the_temporary_directory_of_the_driver_counts(tmp_path: Any) -> None:
    profile = str(tmp_path / "scoped_dir.1")
    assert not discovery.is_temporary(profile, {}, {})
    assert discovery.is_temporary(profile, {}, {"TMPDIR": str(tmp_path)})


@pytest.mark.parametrize(
    "executor",
    [
        SimpleNamespace(_url="http://localhost:1"),
        SimpleNamespace(_client_config=SimpleNamespace(remote_server_addr="http://localhost:1")),
    ],
    ids=["older", "newer"],
)
def test_the_endpoint_is_found_where_selenium_keeps_it(executor: object) -> None:
    driver: Any = SimpleNamespace(command_executor=executor)
    assert discovery.endpoint_of(driver) == "http://localhost:1"
