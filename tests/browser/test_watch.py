"""How selenium is observed: lazily, and without leaving a trace."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pytest_resilience.browser.sessions import SessionRegistry

HEAVY = ("selenium", "psutil", "urllib3")


def run(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_watching_imports_nothing_heavy() -> None:
    """Neither importing the registry nor watching loads selenium, psutil or urllib3."""
    out = run(
        "import sys\n"
        "from pytest_resilience.browser.sessions import SessionRegistry\n"
        "registry = SessionRegistry(); registry.watch()\n"
        "assert registry.living() == [] and registry.reap_all() == []\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert out == "[]"


def test_selenium_is_wrapped_when_it_is_imported_later() -> None:
    """The module ends up as if nobody had waited for it, but for the wrapped methods."""
    out = run(
        "import sys\n"
        "from pytest_resilience.browser.sessions import SessionRegistry\n"
        "finders = list(sys.meta_path)\n"
        "registry = SessionRegistry(); registry.watch()\n"
        "from selenium.webdriver.remote import webdriver\n"
        "from selenium.webdriver.common import service\n"
        "import inspect\n"
        "assert sys.meta_path == finders, sys.meta_path\n"
        "assert type(webdriver.__loader__).__name__ == 'SourceFileLoader'\n"
        "assert webdriver.__spec__.loader is webdriver.__loader__\n"
        "assert 'class WebDriver' in inspect.getsource(webdriver)\n"
        "wrapped = [webdriver.WebDriver.execute, webdriver.WebDriver.quit, service.Service.stop]\n"
        "print([hasattr(method, '__wrapped__') for method in wrapped])\n"
        "registry.unwatch()\n"
        "print([hasattr(webdriver.WebDriver.execute, '__wrapped__')])"
    )
    assert out.splitlines() == ["[True, True, True]", "[False]"]


def test_a_finder_that_waits_in_vain_is_taken_away() -> None:
    out = run(
        "import sys\n"
        "from pytest_resilience.browser.sessions import SessionRegistry\n"
        "finders = list(sys.meta_path)\n"
        "registry = SessionRegistry(); registry.watch(); registry.unwatch(); registry.unwatch()\n"
        "print(sys.meta_path == finders)\n"
        "import selenium.webdriver.remote.webdriver as module\n"
        "print(hasattr(module.WebDriver.execute, '__wrapped__'))"
    )
    assert out.splitlines() == ["True", "False"]


def patched_attributes() -> dict[str, Any]:
    from selenium.webdriver.chrome.webdriver import WebDriver as Chrome
    from selenium.webdriver.common.service import Service
    from selenium.webdriver.remote.webdriver import WebDriver

    owners = {*Chrome.__mro__, WebDriver, Service} - {object}
    names = ("start_session", "execute", "quit", "_start_process", "start", "stop")
    return {
        f"{owner.__module__}.{owner.__name__}.{name}": owner.__dict__[name]
        for owner in owners
        for name in names
        if name in owner.__dict__
    }


def test_unwatching_puts_the_very_same_objects_back() -> None:
    before = patched_attributes()
    registry = SessionRegistry()
    registry.watch()
    during = patched_attributes()
    registry.watch()
    assert patched_attributes() == during != before
    registry.unwatch()
    registry.unwatch()
    after = patched_attributes()
    assert all(after[name] is original for name, original in before.items())


def test_two_watches_are_undone_in_turn() -> None:
    before = patched_attributes()
    outer, inner = SessionRegistry(), SessionRegistry()
    outer.watch()
    between = patched_attributes()
    inner.watch()
    inner.unwatch()
    assert patched_attributes() == between
    outer.unwatch()
    assert patched_attributes() == before


def test_a_wrapper_somebody_has_wrapped_over_becomes_inert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking it away would undo the other's work, so it stays and lets everything pass."""
    from selenium.webdriver.remote.webdriver import WebDriver

    original = WebDriver.__dict__["execute"]
    registry = SessionRegistry()
    registry.watch()
    ours = WebDriver.__dict__["execute"]

    def theirs(*arguments: Any) -> Any:
        return ours(*arguments)

    monkeypatch.setattr(WebDriver, "execute", theirs)
    registry.unwatch()
    assert WebDriver.__dict__["execute"] is theirs
    driver: Any = FakeDriver()
    assert ours(driver, "getTitle")["value"] == "sent getTitle"
    assert registry.session_of(driver) is None
    monkeypatch.undo()
    WebDriver.execute = original  # type: ignore[method-assign]


class FakeDriver:
    """Looks enough like a driver for `execute` to send something."""

    session_id = None

    def __init__(self) -> None:
        from types import SimpleNamespace

        self.command_executor = SimpleNamespace(
            execute=lambda command, _params: {"value": f"sent {command}"}
        )
        self.error_handler = SimpleNamespace(check_response=lambda _response: None)

    def _wrap_value(self, value: Any) -> Any:
        return value

    _unwrap_value = _wrap_value

    def __eq__(self, other: object) -> bool:
        raise AssertionError("drivers are told apart by identity")

    __hash__ = None  # type: ignore[assignment]
