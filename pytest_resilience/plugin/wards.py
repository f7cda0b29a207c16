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

from pytest_resilience.plugin.sharing import is_here

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: In a worker's input: where it writes down what it has started.
INPUT = "resilience_wards"
#: In the environment of all that a session starts: which one that was.
MARK = "RESILIENCE_SESSION"
_SIGNED = pytest.StashKey[Path]()


def attend(config: pytest.Config, registry: SessionRegistry) -> None:
    """Write down what `registry` hears of, where this process was told, or has told itself."""
    path = getattr(config, "workerinput", {}).get(INPUT) or config.stash.get(_SIGNED, None)
    if path:
        Wards(str(path)).attend(registry)


class Signature:
    """Signs what a session starts, so that it is known again when the session was killed."""

    def __init__(self, config: pytest.Config, session_id: str) -> None:
        self._base = _base(session_id)
        self._before = os.environ.get(MARK)
        os.environ[MARK] = session_id
        config.stash[_SIGNED] = _file(self._base, "main")

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        os.environ.pop(MARK, None)
        if self._before is not None:
            os.environ[MARK] = self._before
        _remove(self._base)


def are_left(session_id: str) -> bool:
    """Return whether a session has left notes of what it started on this machine."""
    return bool(_files(_base(session_id)))


def reap(session_id: str) -> int:
    """End what a session that was killed has left on this machine; return of how many drivers."""
    from pytest_resilience.browser import orphans

    base = _base(session_id)
    notes = [note for path in _files(base) for note in _read(path)]
    ended = orphans.end(notes, {MARK: session_id})
    _remove(base)
    return ended


def _base(session_id: str) -> Path:
    return Path(tempfile.gettempdir()) / f"pytest-resilience-{session_id}"


def _file(base: Path, worker: str) -> Path:
    return base.with_name(f"{base.name}-{worker}.jsonl")


def _files(base: Path) -> list[Path]:
    return sorted(base.parent.glob(f"{base.name}-*.jsonl"))


def _remove(base: Path) -> None:
    for path in _files(base):
        path.unlink(missing_ok=True)


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
        self._base = _base(session_id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where to write, if it is on this machine."""
        if is_here(node.gateway.spec):
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
        _remove(self._base)

    def _of(self, node: Any) -> Path:
        return _file(self._base, node.gateway.id)


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    for line in path.read_bytes().splitlines() if path.exists() else ():
        # The last one may have been cut off.
        with contextlib.suppress(ValueError):
            yield json.loads(line)
