"""A session of a real Chromium: its processes, its evidence, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from selenium import webdriver

from pytest_resilience.browser import probes, processes
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.evidence import Evidence

PAGE = "data:text/html,<title>shop</title><p id=p>hello"
Chrome = Callable[..., webdriver.Chrome]
Eventually = Callable[..., bool]

#: Selenium alone needs more than 150 s to quit what is frozen.
FAR_TOO_LONG_S = 120.0


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """See to it that what is done here is bounded."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < FAR_TOO_LONG_S


def session_of(registry: SessionRegistry, driver: object) -> DriverSession:
    session = registry.session_of(driver)
    assert session is not None
    return session


def evidence_of(session: DriverSession) -> Evidence:
    return Evidence(probes.probe(session))


def send(session: DriverSession, name: str, sign: signal.Signals) -> None:
    """Send `sign` to the driver or the browser of `session`."""
    pid = session.driver_pid if name == "driver" else session.browser_pid
    assert pid is not None
    os.kill(pid, sign)


def remains(session: DriverSession) -> list[str]:
    """Name what is left of `session`: living processes, and its profile."""
    assert session.driver_process is not None
    left = [str(p.pid) for p in processes.group(session.driver_process)]
    if session.profile_dir is not None and os.path.exists(session.profile_dir):
        left.append(session.profile_dir)
    return left
