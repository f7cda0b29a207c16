"""A browser and an application to injure: what a fault did shows in what the test can see.

Invariant: a playground starts a browser of its own only when it has none that works, and
leaves none behind.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from pytest_resilience.browser import processes, windows
from pytest_resilience.browser.faults import Applied, FaultKit
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from tests.acceptance.suites.faulty_app import Server
from tests.browser import proofs
from tests.browser.conftest import CHROME_ARGUMENTS, found

FETCH = """const [path, method, done] = arguments;
fetch(path, {method}).then(async a => done([a.status, await a.text()]), e => done([0, String(e)]))
"""
START_DRAWING = """
window.lost = 0; window.restored = 0;
const canvas = document.body.appendChild(document.createElement('canvas'));
window.gl = canvas.getContext('webgl');
canvas.addEventListener('webglcontextlost', event => {event.preventDefault(); lost++});
canvas.addEventListener('webglcontextrestored', () => restored++);
return !!gl
"""


class Playground:
    """One driver, whose browser is replaced when it is of no use any more.

    Args:
        registry: Watches its sessions.
        start: Starts a driver.
        url: Address of the application.
    """

    def __init__(
        self, registry: SessionRegistry, start: Callable[[], webdriver.Remote], url: str
    ) -> None:
        self.registry = registry
        self.url = url
        self._start = start
        self.driver: Any = None
        self.kit = FaultKit(registry)
        #: What was made to happen since it was prepared.
        self.applied: list[Applied] = []

    @property
    def session(self) -> DriverSession:
        """The session of the driver."""
        session = self.registry.session_of(self.driver)
        assert session is not None
        return session

    def prepare(self) -> None:
        """Have a browser that works, at the application's home page, and a new kit."""
        if self.driver is None or not self._is_well():
            if self.driver is not None:
                self.registry.discard(self.session)
            self.driver = self._start()
        self.driver.set_page_load_timeout(60)
        self.driver.get(self.url)
        self.kit = FaultKit(self.registry, self.session)
        self.applied = []

    def apply(self, name: str, **options: Any) -> Applied:
        """Make a fault happen."""
        applied = self.kit.apply(name, **options)
        self.applied.append(applied)
        return applied

    def throttle(self) -> Applied:
        """Leave the page a part of its processor time, and see that it has less.

        What slows it down needs processor time, too; on a machine that does much else, it may
        get too little of it for once.
        """
        for _ in range(10):
            applied = self.apply("throttle_cpu")
            if applied.evidence()["slowdown"] > 1.5:
                return applied
            applied.undo()
        raise AssertionError("the page is not slowed down")

    def leave(self, item: Any) -> None:
        """Undo whatever a test has left in force, and see that it has proven what it says."""
        self.kit.undo_all()
        proofs.check(item, self.applied)

    def soon(self, name: str) -> threading.Thread:
        """Make a fault happen to the next command while it is under way; return who does it."""

        def strike() -> None:
            while not self.session.in_flight:
                time.sleep(0.01)
            # From the moment it is noted to the one at which it is on the wire.
            time.sleep(0.3)
            self.apply(name, during=True)

        thread = threading.Thread(target=strike, daemon=True)
        thread.start()
        return thread

    def fetch(self, method: str = "GET") -> list[Any]:
        """Return status and text of what a script of the page gets from the application."""
        answer: list[Any] = self.driver.execute_async_script(FETCH, "/api", method)
        return answer

    def fetch_s(self) -> float:
        """Return the seconds that takes."""
        begun = time.monotonic()
        self.fetch()
        return time.monotonic() - begun

    def new_tab(self) -> None:
        """Go to another tab, for the one at hand has crashed."""
        from pytest_resilience.core.evidence import CRASHED, SESSION, Evidence, ProbeResult

        assert windows.is_all_that_died(
            self.session, Evidence([ProbeResult(SESSION, CRASHED, "", 0.0)])
        )
        assert windows.replace_dead_tab(self.session)

    def _is_well(self) -> bool:
        session = self.session
        if session.closed:
            return False
        body = {"script": "return 1", "args": []}
        path = f"/session/{session.session_id}/execute/sync"
        return session.wire.ask("POST", path, limit_s=5, body=body).good


@contextmanager
def playground(start: Callable[..., webdriver.Remote], *arguments: str) -> Iterator[Playground]:
    """Yield a playground; whatever was done there, nothing may be left."""
    # Chromium puts a socket in it, whose path must be short.
    temporary, server = Path(tempfile.mkdtemp(prefix="pr-")), Server().start()
    registry = SessionRegistry(quit_limit_s=4.0)
    seen: list[DriverSession] = []
    registry.on_created = seen.append
    registry.watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        ground = Playground(registry, lambda: start(*arguments), server.url)
        try:
            yield ground
        finally:
            ground.kit.undo_all()
            registry.reap_all()
            registry.unwatch()
            server.stop()
    left = [p for s in seen if s.driver_process for p in processes.group(s.driver_process)]
    shutil.rmtree(temporary, ignore_errors=True)
    assert left == []


def start_chromium(*arguments: str) -> webdriver.Chrome:
    """Start a Chromium, as a user would."""
    service = webdriver.ChromeService(found("chromedriver"))
    return webdriver.Chrome(options=chromium_options(*arguments), service=service)


def chromium_options(*arguments: str) -> webdriver.ChromeOptions:
    """Return options for a Chromium that runs anywhere."""
    options = webdriver.ChromeOptions()
    for argument in (*CHROME_ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.binary_location = found("chromium", "chromium-browser", "google-chrome")
    return options
