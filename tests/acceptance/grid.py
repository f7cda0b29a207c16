"""A real Selenium Grid on this machine, whose parts can be stopped and killed.

Invariant: every part is in a process group of its own, and nothing of it outlives `close`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-resilience"
JAR = CACHE / "selenium-server.jar"
#: Seconds a part gets to be ready, on a machine that does much else.
_START_LIMIT_S = 180.0


class Grid:
    """A hub and its nodes.

    Args:
        folder: Where the parts write their logs.
        temporary: Temporary directory of the nodes' browsers; its path must be short.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        java = shutil.which("java")
        if java is None or not JAR.exists():
            pytest.fail(f"these tests need java and {JAR}: scripts/test brings both")
        self._java = java
        self._folder = folder
        self._temporary = temporary
        self._bus = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
        self.url = f"http://127.0.0.1:{free_port()}"
        self.hub = self._start("hub", self.url)
        self.nodes: list[subprocess.Popen[bytes]] = []

    def add_node(self, *, sessions: int = 8) -> subprocess.Popen[bytes]:
        """Start a node, and wait until the hub knows it."""
        known = len(self.nodes_up())
        driver = shutil.which("chromedriver")
        configuration = (
            "--driver-configuration",
            "display-name=chromium",
            f"max-sessions={sessions}",
            f"webdriver-executable={driver}",
            'stereotype={"browserName": "chrome"}',
        )
        node = self._start(
            "node",
            f"http://127.0.0.1:{free_port()}",
            *("--detect-drivers", "false", *configuration),
            # Otherwise there are never more than there are processors.
            *("--max-sessions", str(sessions), "--override-max-sessions", "true"),
        )
        self.nodes.append(node)
        deadline = time.monotonic() + _START_LIMIT_S
        while len(self.nodes_up()) <= known:
            if node.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no node came up:\n{self.log('node')}")
            time.sleep(0.2)
        return node

    def nodes_up(self) -> list[Any]:
        """Return what the hub says of its nodes that are up."""
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(f"{self.url}/status", timeout=5) as answer:
                nodes = json.load(answer)["value"].get("nodes", [])
            return [node for node in nodes if node["availability"] == "UP"]
        return []

    def node_of(self, browser_pid: int) -> subprocess.Popen[bytes]:
        """Return the node that a browser belongs to."""
        ancestors = {process.pid for process in psutil.Process(browser_pid).parents()}
        return next(node for node in self.nodes if node.pid in ancestors)

    def log(self, name: str) -> str:
        """Return the end of what the parts called `name` have said."""
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")[-3000:]

    def close(self) -> None:
        """Kill all of it, whatever state it is in."""
        parts = [self.hub, *self.nodes]
        families = [p for part in parts for p in _family(part.pid)]
        for process in families:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for part in parts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.pid, signal.SIGKILL)
            part.wait(10)

    def _start(self, role: str, url: str, *arguments: str) -> subprocess.Popen[bytes]:
        port = url.rpartition(":")[2]
        where = ("--host", "127.0.0.1", "--port", port)
        bus = ("--publish-events", self._bus[0], "--subscribe-events", self._bus[1])
        # Started often and used little: the quick compiler is enough.
        flags = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
        with (self._folder / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [self._java, *flags, "-jar", str(JAR), role, *where, *bus, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self._temporary)},
                start_new_session=True,
            )


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


def free_port() -> int:
    """Return a port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return []
