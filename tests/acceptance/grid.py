"""A real Selenium Grid on this machine, whose parts can be stopped and killed.

Invariant: only processes that have the grid's temporary directory in their environment or
arguments are killed, and none of them outlives `close`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.acceptance import lab
from tests.acceptance.inner import kill_all, processes_left
from tests.ports import free_port

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-resilience"
JAR = CACHE / "selenium-server.jar"
#: Seconds a part gets to be ready, on a machine that does much else.
_START_LIMIT_S = 180.0
#: What nodes show when they come, and whoever drains them.
_SECRET = "open sesame"


class Grid:
    """A hub and its nodes, or a standalone server that is both.

    Args:
        folder: Where the parts write their logs.
        temporary: Temporary directory of all its processes, and of nobody else's: that is
            how they are known; its path must be short.
        arguments: Options of the hub, or of the standalone server.
        slots: Sessions a standalone server has room for; 0 for a hub, whose nodes have it.
    """

    def __init__(self, folder: Path, temporary: Path, *arguments: str, slots: int = 0) -> None:
        java = shutil.which("java")
        if java is None or not JAR.exists():
            pytest.fail(f"these tests need java and {JAR}: scripts/test brings both")
        self._java = java
        self._folder = folder
        self._temporary = temporary
        self._bus_ports = (free_port(), free_port())
        self.url = f"http://127.0.0.1:{free_port()}"
        self.nodes: list[subprocess.Popen[bytes]] = []
        if slots:
            self.hub = self._start("standalone", self.url, *self._offer(slots), *arguments)
            self._wait_for_nodes(1, self.hub)
        else:
            self.hub = self._start("hub", self.url, *self._bus(), *arguments)

    def add_node(self, *, sessions: int = 8, mark: str = "") -> subprocess.Popen[bytes]:
        """Start a node, and wait until the hub knows it.

        Args:
            mark: What it offers as ``node:id``, "" for nothing that tells it from others.
        """
        known = len(self.nodes_up())
        url = f"http://127.0.0.1:{free_port()}"
        node = self._start("node", url, *self._bus(), *self._offer(sessions, mark))
        self.nodes.append(node)
        self._wait_for_nodes(known + 1, node)
        return node

    def drain(self, only: str = "") -> None:
        """Let no node take another session, or the one with the id `only`; without one it ends."""
        for node in self.nodes_up():
            if only not in ("", node["id"]):
                continue
            request = urllib.request.Request(
                f"{self.url}/se/grid/distributor/node/{node['id']}/drain",
                method="POST",
                headers={"X-REGISTRATION-SECRET": _SECRET},
            )
            with urllib.request.urlopen(request, timeout=30):
                pass

    def nodes_up(self) -> list[Any]:
        """Return what the hub says of its nodes that are up."""
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(f"{self.url}/status", timeout=30) as answer:
                nodes = json.load(answer)["value"].get("nodes", [])
            return [node for node in nodes if node["availability"] == "UP"]
        return []

    def sessions(self) -> int:
        """Return how many sessions the nodes that are up have."""
        return sum(s["session"] is not None for n in self.nodes_up() for s in n["slots"])

    def is_full(self) -> bool:
        """Return whether the hub has no room for another Chromium."""
        return not any(
            slot["session"] is None
            for node in self.nodes_up()
            for slot in node["slots"]
            if slot["stereotype"]["browserName"] == "chrome"
        )

    def node_of(self, browser_pid: int) -> subprocess.Popen[bytes]:
        """Return the node that a browser belongs to."""
        ancestors = {process.pid for process in psutil.Process(browser_pid).parents()}
        return next(node for node in self.nodes if node.pid in ancestors)

    def log(self, name: str) -> str:
        """Return the end of what the parts called `name` have said."""
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")[-3000:]

    def end_browsers(self) -> None:
        """Kill all that a standalone server has started: sessions that nobody has quit."""
        left = psutil.Process(self.hub.pid).children(recursive=True)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, 10)

    def close(self) -> None:
        """Kill all of it, whatever state it is in, and what was left by parts that died."""
        # A part that is about to die may be starting another process.
        for _ in range(3):
            kill_all(self._temporary)
            if not processes_left(self._temporary, within_s=10):
                break
        for part in (self.hub, *self.nodes):
            part.wait(10)

    def _bus(self) -> tuple[str, ...]:
        published, subscribed = (f"tcp://127.0.0.1:{port}" for port in self._bus_ports)
        return "--publish-events", published, "--subscribe-events", subscribed

    def _wait_for_nodes(self, wanted: int, part: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while len(self.nodes_up()) < wanted:
            if part.poll() is not None or time.monotonic() > deadline:
                role = "node" if part in self.nodes else "standalone"
                pytest.fail(f"no node came up:\n{self.log(role)}")
            time.sleep(0.2)

    def _offer(self, sessions: int, mark: str = "") -> tuple[str, ...]:
        """Return the options of something that runs up to so many Chromiums.

        It also has Firefox, which few ask for: a grid where only that is free has no Chromium to
        offer.
        """
        drivers = {"chrome": shutil.which("chromedriver"), "firefox": lab.geckodriver()}
        kinds = [
            _KIND.format(
                name=name,
                sessions=sessions,
                driver=driver,
                mark=f', "node:id": "{mark}"' if mark else "",
            )
            for name, driver in drivers.items()
        ]
        configuration = self._folder / f"offer-{sessions}{mark}.toml"
        configuration.write_text("".join(kinds), "utf-8")
        # Otherwise there are never more than there are processors.
        limit = ("--max-sessions", str(sessions + 1), "--override-max-sessions", "true")
        return ("--config", str(configuration), "--detect-drivers", "false", *limit)

    def _start(self, role: str, url: str, *arguments: str) -> subprocess.Popen[bytes]:
        port = url.rpartition(":")[2]
        where = ("--host", "127.0.0.1", "--port", port, "--registration-secret", _SECRET)
        # Started often and used little: the quick compiler is enough.
        flags = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
        with (self._folder / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [self._java, *flags, "-jar", str(JAR), role, *where, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self._temporary)},
                start_new_session=True,
            )


_KIND = """
[[node.driver-configuration]]
display-name = "{name}"
max-sessions = {sessions}
webdriver-executable = "{driver}"
stereotype = '{{"browserName": "{name}"{mark}}}'
"""


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes, and let them go on at the end if they still live."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def acquaint(registry: SessionRegistry, session: DriverSession) -> None:
    """Wait until the watchdog has heard of all that is behind a session: else none is missed."""
    watchdog = registry.guard._watchdog
    assert watchdog is not None
    deadline = time.monotonic() + _START_LIMIT_S
    while session not in watchdog._heard:
        assert time.monotonic() < deadline, "the watchdog has not looked at the session"
        time.sleep(0.05)
    assert session.care.tunnel is not None, "no way to the browser was found"
