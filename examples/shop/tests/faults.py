"""Real faults for the demonstration: with ``--with-faults``, marked tests lose their browser.

Invariant: a test suffers its fault once in a session, whichever process runs it again; and only
processes that descend from this one are ever killed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from selenium.webdriver import Chrome


def browser_killed(driver: Chrome) -> None:
    """The browser dies between two commands, as if the kernel had run out of memory."""
    for process in _browser(driver):
        process.kill()


def chromedriver_killed(driver: Chrome) -> None:
    """The driver process dies, and its browser is left behind."""
    driver.service.process.kill()
    driver.service.process.wait()


def tab_crashed(driver: Chrome) -> None:
    """The page's process dies; the browser around it lives on and shows a sad face."""
    for browser in _browser(driver):
        for process in browser.children(recursive=True):
            # Others come and go by themselves.
            with suppress(psutil.NoSuchProcess):
                if any(argument.startswith("--type=renderer") for argument in process.cmdline()):
                    process.kill()


FAULTS = {fault.__name__: fault for fault in (browser_killed, chromedriver_killed, tab_crashed)}


class DemoFaults:
    """Breaks the browser where a ``demo_fault`` marker says so, and tidies up at the end."""

    def __init__(self, config: pytest.Config) -> None:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        self._is_owner = not worker
        self._claims = Path(worker.get("faults") or tempfile.mkdtemp(prefix="shop-faults-"))
        self._left_behind: list[psutil.Process] = []
        self._profiles: list[str] = []
        self._item: pytest.Item | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let the workers of pytest-xdist know together which faults have happened."""
        node.workerinput["faults"] = str(self._claims)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._item = item

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        self._strike(fixturedef.argname)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self._strike("call")

    def pytest_unconfigure(self) -> None:
        for process in self._left_behind:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self._left_behind, timeout=5)
        for profile in self._profiles:
            shutil.rmtree(profile, ignore_errors=True)
        if self._is_owner:
            shutil.rmtree(self._claims, ignore_errors=True)

    def _strike(self, moment: str) -> None:
        item = self._item
        marker = item.get_closest_marker("demo_fault") if item else None
        if not item or not marker or marker.kwargs.get("at", "call") != moment:
            return
        if self._claim(item.nodeid):
            driver = _driver_of(item)
            self._remember(driver)
            FAULTS[marker.args[0]](driver)

    def _claim(self, nodeid: str) -> bool:
        claim = self._claims / hashlib.sha256(nodeid.encode()).hexdigest()
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _remember(self, driver: Chrome) -> None:
        # A browser whose driver is gone is nobody's child: without this it would live for ever.
        for browser in _browser(driver):
            self._left_behind += [browser, *browser.children(recursive=True)]
            self._profiles.append(driver.capabilities["chrome"]["userDataDir"])


def _driver_of(item: pytest.Item) -> Chrome:
    cls = getattr(item, "cls", None)
    driver: Chrome = getattr(cls, "driver", None) or item.funcargs["driver"]  # type: ignore[attr-defined]
    return driver


def _browser(driver: Chrome) -> list[psutil.Process]:
    """Return the browser's main process, or nothing if it is dead already."""
    pid = driver.capabilities.get("goog:processID")
    if pid is None:
        return [p for p in _descendants() if p.ppid() == driver.service.process.pid]
    return [process for process in _descendants() if process.pid == pid]


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
