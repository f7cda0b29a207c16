"""The processes that a fault strikes, and waiting until it has."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil


def main_process(driver: Any) -> list[psutil.Process]:
    """Return the browser's main process."""
    named = driver.capabilities.get("goog:processID") or driver.capabilities["moz:processID"]
    return [psutil.Process(named)]


def driver_process(driver: Any) -> list[psutil.Process]:
    """Return the WebDriver executable's process."""
    return [psutil.Process(driver.service.process.pid)]


def renderers(driver: Any) -> list[psutil.Process]:
    """Return what renders pages in a Chromium; one is in reserve."""
    return _children(driver, "--type=renderer")


def graphics_process(driver: Any) -> list[psutil.Process]:
    """Return the graphics process of a Chromium."""
    return _children(driver, "--type=gpu-process")


def content_processes(driver: Any) -> list[psutil.Process]:
    """Return the processes in which Firefox shows pages."""
    return _children(driver, "-isForBrowser")


def _children(driver: Any, argument: str) -> list[psutil.Process]:
    found = []
    for process in main_process(driver)[0].children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if argument in " ".join(process.cmdline()):
                found.append(process)
    return found


def ended(process: psutil.Process) -> bool:
    """Return whether a process is dead."""
    # A signal to another processor takes a moment to arrive.
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def until(condition: Callable[[], bool]) -> None:
    """Wait for what makes a fault."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the fault did not strike")
        time.sleep(0.005)


def signalled(victims: list[psutil.Process], by: signal.Signals) -> None:
    """Send a signal to what is to be struck; one of several may have ended by itself."""
    assert victims, "there is nothing to strike"
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(by)


def is_stopped(process: psutil.Process) -> bool:
    """Return whether a process is stopped."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_STOPPED
    return False
