"""Browsers and drivers of a worker, written down so that they can be ended when it is lost.

They lead process groups of their own, and outlive a worker that is killed.

Invariant: a driver is written down before it is asked for a browser, and a browser as soon as
it is there, by one write that survives the death of the writer.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: In a worker's input: where it writes down what it has started.
INPUT = "resilience_wards"


def attend(config: pytest.Config, registry: SessionRegistry) -> None:
    """Write down what `registry` hears of, if this is a worker that was told where."""
    path = getattr(config, "workerinput", {}).get(INPUT)
    if path:
        Wards(path).attend(registry)


class Wards:
    """The worker's part.

    Args:
        path: Where to write.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1

    def attend(self, registry: SessionRegistry) -> None:
        """Write down what `registry` hears of, besides what is done about it already."""
        created, may_start = registry.on_created, registry.guard.may_start

        def starting(session: DriverSession | None) -> None:
            may_start(session)
            if session is not None and session.driver_process is not None:
                self._note(session)

        def opened(session: DriverSession) -> None:
            self._note(session)
            if created is not None:
                created(session)

        registry.on_created, registry.guard.may_start = opened, starting

    def _note(self, session: DriverSession) -> None:
        from pytest_resilience.browser import orphans

        # On another machine there may be no such place; then nobody would read it either.
        with contextlib.suppress(OSError, ValueError):
            if self._file < 0:
                flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
                self._file = os.open(self._path, flags, 0o600)
            os.write(self._file, (json.dumps(orphans.told(session)) + "\n").encode())


class Wardens:
    """The controller's part: ends what lost workers have left."""

    def __init__(self, session_id: str) -> None:
        self._base = Path(tempfile.gettempdir()) / f"pytest-resilience-{session_id}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where to write, if it is on this machine."""
        if getattr(node.gateway.spec, "popen", False):
            node.workerinput[INPUT] = str(self._of(node))

    def reap(self, node: Any) -> int:
        """End what the worker `node`, which is gone, has left; return of how many sessions."""
        if INPUT not in node.workerinput:
            return 0
        from pytest_resilience.browser import orphans

        # xdist puts these into the environment of a worker, whose children inherit it.
        environment = {
            "PYTEST_XDIST_TESTRUNUID": node.workerinput["testrunuid"],
            "PYTEST_XDIST_WORKER": node.workerinput["workerid"],
        }
        return orphans.end(_read(self._of(node)), environment)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        for path in self._base.parent.glob(f"{self._base.name}-*"):
            path.unlink(missing_ok=True)

    def _of(self, node: Any) -> Path:
        return self._base.with_name(f"{self._base.name}-{node.gateway.id}.jsonl")


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    for line in path.read_bytes().splitlines() if path.exists() else ():
        # The last one may have been cut off.
        with contextlib.suppress(ValueError):
            yield json.loads(line)
