"""Could a session be had again like one that was asked for before?

Invariant: neither question raises, both are answered in bounded time, and nothing is left
of a session that was tried; no living browser, no profile and no log of the user is touched.
"""

from __future__ import annotations

import atexit
import copy
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import answers, throwaway
from pytest_resilience.browser.discovery import PROFILE_ARGUMENTS
from pytest_resilience.browser.rebirth import free_port
from pytest_resilience.browser.throwaway import Local, Remote, ThrowAway, replaced, said
from pytest_resilience.core.evidence import (
    BUSY,
    DEAD,
    EMPTY,
    ERROR,
    FREE,
    GRID,
    MISFIT,
    NODE,
    OK,
    REFUSED,
    SILENT,
    Evidence,
)

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.starts import FailedStart, Launch
    from pytest_resilience.browser.wire import Reply, Wire

#: Seconds the question whether a trial is worth while may take, and those of its request.
READY_LIMIT_S, _STATUS_LIMIT_S = 2.0, 1.5
#: Seconds it may take to clear up after a trial that was cut off.
CLEAR_UP_LIMIT_S = 8.0
_PAUSE_S = 0.05
_ATTACHING = "--connect-existing"
_DEBUGGING_PORTS = ("--remote-debugging-port", "remote-debugging-port")


class Trial:
    """The recipe of a session, to find out whether another one could be had.

    Args:
        name: What is tried, for people.
        request: The body of the request for the session.
        way: The way to the grid that has the browsers; None if they are on this machine.
        launch: How a driver on this machine is started; None if there is a `way`.
    """

    def __init__(
        self,
        name: str,
        request: Mapping[str, Any],
        *,
        way: Wire | None = None,
        launch: Launch | None = None,
    ) -> None:
        if (way is None) == (launch is None):
            raise ValueError("a trial needs a way to a grid, or a driver to start; not both")
        #: What is tried, for people.
        self.name = name
        self._request = request
        self._way = way
        self._launch = launch
        self._turn = threading.Lock()
        self._cancelled = threading.Event()
        self._running: _Run | None = None

    @classmethod
    def of_session(cls, session: DriverSession) -> Trial | None:
        """Return how a session like `session` is tried, whatever became of that one.

        None if nobody saw its request, if it was attached to a browser that somebody else had
        started, or if its driver cannot be started a second time.
        """
        return _recipe(
            session.requested, session.browser, session.endpoint, session.wire, session.launch
        )

    @classmethod
    def of_failed_start(cls, failed: FailedStart) -> Trial | None:
        """Return how a session that could not be started is tried again; None as above."""
        return _recipe(
            failed.requested, failed.browser, failed.endpoint, failed.wire, failed.launch
        )

    def is_ready(self) -> tuple[bool, str]:
        """Ask whether a trial is worth while, and why not; takes 2 s at most.

        A grid must have a free slot that could fit; one that does not describe itself gets
        the benefit of the doubt. Of a driver on this machine it is asked whether it exists.
        """
        if self._launch is not None:
            return _exists(self._launch)
        answer: list[tuple[bool, str]] = []
        answered = threading.Event()

        def ask() -> None:
            try:
                reply = self._status()
                answer.append(self._judged(reply))
            except Exception as error:  # noqa: BLE001 - grids describe themselves in many ways
                answer.append((False, f"it cannot be understood: {error!r}"[:200]))
                return
            finally:
                answered.set()
            self._end_leftovers(reply)

        if not _started("resilience-status", ask):
            return False, _NO_THREAD
        # A look-up of a name knows no time-out of its own.
        answered.wait(READY_LIMIT_S)
        return answer[0] if answer else (False, f"no answer within {READY_LIMIT_S:g} s")

    def succeeds(self, limit_s: float) -> tuple[bool, str]:
        """Start a session, have it run an empty script, and end it; say what did not work.

        Blocks; may be called from any thread. Nothing of it is left behind, nor seen by the
        registry of sessions.

        Args:
            limit_s: Seconds it may take. If they are over, or it is cancelled, clearing up
                may take up to `CLEAR_UP_LIMIT_S` more (usually less than one).
        """
        if not self._turn.acquire(blocking=False):
            return False, f"{self.name} is being tried already"
        try:
            return self._try(limit_s)
        finally:
            self._running = None
            self._turn.release()

    def cancel(self) -> None:
        """End a trial that runs, and begin none any more; returns when nothing is left of it.

        Takes `CLEAR_UP_LIMIT_S` at most; may be called from any thread, and twice.
        """
        self._cancelled.set()
        running = self._running
        if running is not None:
            running.stop()

    def _try(self, limit_s: float) -> tuple[bool, str]:
        running = self._running = _Run(self._throw_away(limit_s), limit_s)
        # Looked at after it can be seen by `cancel`, so that one of the two ends it.
        if self._cancelled.is_set() or not _started("resilience-trial", running.work):
            running.done.set()
            return False, _CANCELLED if self._cancelled.is_set() else _NO_THREAD
        # The end of the process would not wait for the thread, and leave a browser behind.
        atexit.register(running.stop)
        try:
            in_time = running.done.wait(limit_s)
        finally:
            # Also when a Ctrl-C arrives here.
            running.stop()
            atexit.unregister(running.stop)
        if self._cancelled.is_set():
            return False, _CANCELLED
        if not in_time:
            return False, f"no working session within {limit_s:g} s"
        return not running.why, running.why

    def _throw_away(self, limit_s: float) -> ThrowAway:
        if self._launch is not None:
            return Local(self._launch, self._request)
        assert self._way is not None
        return Remote(self._way, self._request, limit_s=limit_s)

    def _status(self) -> Reply:
        assert self._way is not None
        return self._way.ask("GET", "/status", limit_s=_STATUS_LIMIT_S)

    def _end_leftovers(self, status: Reply) -> None:
        """End what came of trials that were given up, once nobody can be using it."""
        assert self._way is not None
        throwaway.end_all(self._way, throwaway.leftovers(status))

    def _judged(self, reply: Reply) -> tuple[bool, str]:
        answer, detail = answers.grid_answer(reply, None, self._request)
        if answer == ERROR and 400 <= reply.status < 500:
            return True, ""
        if answer not in (OK, FREE):
            return False, f"{_NOT_READY.get(answer, 'it cannot be asked')}: {detail or said(reply)}"
        value = reply.value if isinstance(reply.value, Mapping) else {}
        if "nodes" not in value and value.get("ready") is False:
            return False, str(value.get("message", "")) or "it says that it is not ready"
        return True, ""


_CANCELLED = "it was cancelled"
_NO_THREAD = "no thread can be started"
_NOT_READY = {
    BUSY: "all slots are taken",
    EMPTY: "no node is up",
    MISFIT: "no node has such a browser",
    REFUSED: "nobody listens there",
    SILENT: "it does not answer",
}


class _Run:
    """One trial on a thread of its own."""

    def __init__(self, session: ThrowAway, limit_s: float) -> None:
        self.done = threading.Event()
        self.why = "it was never begun"
        self._session = session
        self._deadline = time.monotonic() + limit_s

    def work(self) -> None:
        """Try it."""
        try:
            self.why = self._session.run(self._deadline)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, it did not work
            self.why = f"{type(error).__name__}: {error}"[:200]
        finally:
            self.done.set()

    def stop(self) -> None:
        """Return when it has ended, which is at once if it has; cut it off otherwise."""
        until = time.monotonic() + CLEAR_UP_LIMIT_S
        while not self.done.is_set() and time.monotonic() < until:
            self._session.cut()
            self.done.wait(_PAUSE_S)


def _started(name: str, work: Callable[[], object]) -> bool:
    try:
        threading.Thread(target=work, daemon=True, name=name).start()
    except RuntimeError:
        # There are too many, or the interpreter is about to end.
        return False
    return True


def _exists(launch: Launch) -> tuple[bool, str]:
    program, surroundings = launch.command[0], launch.environment or os.environ
    if shutil.which(program, path=surroundings.get("PATH")) is None:
        return False, f"there is no driver {program} that could be executed"
    return True, ""


# Recipes


def _recipe(
    requested: object, browser: str, endpoint: str, way: Wire | None, launch: Launch | None
) -> Trial | None:
    request = request_like(requested)
    if request is None:
        return None
    if launch is not None:
        attaches = any(argument.startswith(_ATTACHING) for argument in launch.command)
        if attaches or not throwaway.can_start(launch):
            return None
        return Trial(f"a {browser or 'browser'} on this machine", request, launch=launch)
    if way is None:
        return None
    return Trial(f"a {browser or 'browser'} at {endpoint}", request, way=way)


def request_like(requested: object) -> dict[str, Any] | None:
    """Return the body of a request for a session like `requested`, flat or in its W3C form.

    It gets profile and debugging port of its own, for a browser that has those may be living,
    and does not outlive its session.

    Returns:
        None if nothing is known to be requested, or a living browser.
    """
    if not isinstance(requested, Mapping):
        return None
    kept = copy.deepcopy(dict(requested))
    body = kept if isinstance(kept.get("capabilities"), dict) else _w3c(kept)
    port = str(free_port())
    own = {**dict.fromkeys(PROFILE_ARGUMENTS), **dict.fromkeys(_DEBUGGING_PORTS, port)}
    for options in _options(body["capabilities"]):
        if "debuggerAddress" in options:
            return None
        options.pop("detach", None)
        if isinstance(options.get("args"), list):
            options["args"] = list(replaced(map(str, options["args"]), own))
    return body


def _w3c(flat: dict[str, Any]) -> dict[str, Any]:
    return {"capabilities": {"firstMatch": [{}], "alwaysMatch": flat}}


def _options(capabilities: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the options of all browsers that a request is content with."""
    first = capabilities.get("firstMatch")
    for match in (capabilities.get("alwaysMatch"), *(first if isinstance(first, list) else ())):
        if isinstance(match, dict):
            yield from (value for value in match.values() if isinstance(value, dict))


# What needs no trial


def hard_down(evidence: Evidence, endpoint: str = "") -> str:
    """Return why no session can be had from a grid for now, "" if one might be.

    Pure. Says so only where the next session would fail whatever it is; a session that was
    lost by a grid which has other nodes, or taken slots, say nothing of the sort.

    Args:
        evidence: What probes answered after an attempt had failed.
        endpoint: Address of the grid, for the text.
    """
    grid = f"the grid at {endpoint}" if endpoint else "the grid"
    detail = evidence.detail(GRID)
    why = _DOWN.get(evidence.answer(GRID), "")
    if evidence.answer(GRID) == ERROR and _GATEWAY.match(detail):
        why = "is not behind its gateway"
    if not why and evidence.answer(NODE) in _LOST and _other_nodes(evidence) == 0:
        why, detail = "has no node that answers", evidence.detail(NODE)
    return f"{grid} {why}" + (f" ({detail})" if detail else "") if why else ""


_DOWN = {
    EMPTY: "has no node that is up",
    REFUSED: "refuses connections",
    SILENT: "does not answer",
}
_LOST = frozenset({DEAD, REFUSED, SILENT})
_GATEWAY = re.compile(r"HTTP 50[234]\b")
_NODES_UP = re.compile(r"(\d+) of \d+ nodes up")


def _other_nodes(evidence: Evidence) -> int | None:
    """Return how many nodes are up besides the one that was lost, None if that is not known."""
    counted = _NODES_UP.search(evidence.detail(GRID))
    if counted is None:
        return None
    # A grid believes for a while in a node that does not answer.
    return max(0, int(counted[1]) - (evidence.answer(NODE) != DEAD))
