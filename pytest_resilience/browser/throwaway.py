"""Sessions that are started to see whether they can be, and ended at once.

Invariant: however the other end behaves, and whenever it is cut off, `run` leaves no process
and no file of its session behind, and no slot of a grid that tells which sessions it has.
Nothing of selenium is used, so nobody who watches the user's sessions sees one of these.
"""

from __future__ import annotations

import copy
import os
import secrets
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import psutil
import urllib3

from pytest_resilience.browser import answers, processes
from pytest_resilience.browser.client import Line
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.rebirth import free_port
from pytest_resilience.browser.target import GATEWAY_STATUSES
from pytest_resilience.browser.wire import Reply, Wire
from pytest_resilience.core.evidence import OK

if TYPE_CHECKING:
    from pytest_resilience.browser.starts import Launch

#: The capability by which such a session is known in a grid: a name, and until when it lives.
MARK = "se:resilienceTrial"
#: Seconds a grid or driver gets to say how it is.
_STATUS_LIMIT_S = 1.5
#: Seconds it gets to end a session.
_END_LIMIT_S = 5.0
#: Seconds a session is waited for that may come late, and how long none must be in sight.
_LATE_LIMIT_S, _QUIET_S = 5.0, 0.6
#: Seconds by which the clock of whoever else tries sessions there may differ from ours.
_CLOCKS_S = 10
_PAUSE_S = 0.05
#: What a driver without web pages says to a script; it has answered.
_NO_SCRIPTS = ("unknown command", "unknown method", "unsupported operation")
_PORTS = ("--port", "-p")
_LOGS = ("--log-path", "--log-file")
_SEVERED = "it was cut off"


class ThrowAway(Protocol):
    """One session that is started and ended, once."""

    def run(self, deadline: float) -> str:
        """Start it, ask it something, and end it; return what did not work, "" if all did.

        Args:
            deadline: Monotonic seconds at which to give up. Clearing up comes on top, as does
                whatever cannot be given a limit, such as looking up a name: see `cut`.
        """

    def cut(self) -> None:
        """Let `run` end soon, from any thread; to be repeated until it has."""


class Local:
    """A session of a driver process of its own, in a temporary directory of its own.

    Args:
        launch: How such a driver is started; see `can_start`.
        request: The body of the request for the session.
    """

    def __init__(self, launch: Launch, request: Mapping[str, Any]) -> None:
        self._launch = launch
        self._request = request
        self._severed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._driver: ProcessId | None = None

    def run(self, deadline: float) -> str:
        """Run it; see `ThrowAway`."""
        with tempfile.TemporaryDirectory(
            prefix="pr-", dir=self._root(), ignore_cleanup_errors=True
        ) as folder:
            try:
                way = Wire(f"http://localhost:{self._start(folder)}")
                return self._missing(way, deadline) or _try(way, way, self._request, deadline)[0]
            except OSError as error:
                return f"the driver cannot be started: {error}"
            finally:
                self._end(folder)

    def cut(self) -> None:
        """Kill it; see `ThrowAway`."""
        self._severed.set()
        processes.kill(reversed(self._members()))

    def _root(self) -> str | None:
        """Return where its directory has to be: some browsers may not write anywhere else."""
        surroundings = self._launch.environment or {}
        return option(self._launch.command, "--profile-root") or surroundings.get("TMPDIR")

    def _start(self, folder: str) -> str:
        port = str(free_port())
        own = {
            **dict.fromkeys(_PORTS, port),
            **dict.fromkeys(_LOGS),
            "--websocket-port": str(free_port()),
            "--profile-root": folder,
        }
        keywords = {
            **self._launch.keywords,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "start_new_session": True,
        }
        keywords.pop("process_group", None)
        surroundings = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
        self._child = subprocess.Popen(
            list(replaced(self._launch.command, own)),
            env={**(self._launch.environment or os.environ), **surroundings},
            **keywords,
        )
        self._driver = processes.identify(self._child.pid)
        return port

    def _missing(self, way: Wire, deadline: float) -> str:
        """Wait for the driver; return why it is of no use, "" if it answers."""
        while self._child is not None and not self._severed.is_set():
            status = self._child.poll()
            if status is not None:
                return f"the driver ended at once, with status {status}"
            if way.ask("GET", "/status", limit_s=_STATUS_LIMIT_S).good:
                return ""
            if time.monotonic() >= deadline:
                return "the driver does not answer"
            time.sleep(_PAUSE_S)
        return _SEVERED

    def _members(self, folder: str = "") -> list[ProcessId]:
        roots = [*(_given(folder) if folder else ()), *([self._driver] if self._driver else ())]
        found = dict.fromkeys(member for root in roots for member in processes.family(root))
        if self._driver is not None:
            found.update(dict.fromkeys(processes.group(self._driver)))
        return list(found)

    def _end(self, folder: str) -> None:
        processes.exterminate(lambda: self._members(folder))
        processes.reap_child(self._child)


def _given(folder: str) -> Iterator[ProcessId]:
    """Yield the processes that were given `folder`, in their environment or as an argument.

    The handlers of a Chromium's crashes leave its process group, and have no parent.
    """
    yield from processes.mentioning(folder)
    for process in psutil.process_iter():
        try:
            if folder in process.environ().values():
                yield ProcessId(process.pid, process.create_time())
        except (psutil.Error, OSError):
            continue


class Remote:
    """A session of a grid, or of a driver that somebody else has started.

    Args:
        way: The way there.
        request: The body of the request for the session.
        limit_s: Seconds after which nobody can be using the session any more.
    """

    def __init__(self, way: Wire, request: Mapping[str, Any], *, limit_s: float) -> None:
        self._way = way
        self._severable = SeverableWire(way)
        self._request = request
        self._mark = f"{secrets.token_hex(8)} until {int(time.time() + limit_s) + 1}"

    def run(self, deadline: float) -> str:
        """Run it; see `ThrowAway`."""
        status = self._status()
        if status.answer != OK:
            return said(status)
        if not (isinstance(status.value, Mapping) and "nodes" in status.value):
            # Whatever it is, it may not like our mark, and would not show it.
            return _try(self._severable, self._way, self._request, deadline)[0]
        self._end_ours(status)
        settled = False
        try:
            request = _marked(self._request, self._mark)
            why, settled = _try(self._severable, self._way, request, deadline)
            return why
        finally:
            if not settled:
                self._end_late()

    def cut(self) -> None:
        """Close its connections, so that a grid drops its request; see `ThrowAway`."""
        self._severable.sever()

    def _status(self) -> Reply:
        return self._way.ask("GET", "/status", limit_s=_STATUS_LIMIT_S)

    def _end_ours(self, status: Reply) -> bool:
        """End what was left of this trial or of earlier ones; return whether there was any."""
        found = leftovers(status, mark=self._mark)
        end_all(self._way, found)
        return bool(found)

    def _end_late(self) -> None:
        """End the session if it comes after nobody waits for it any more."""
        until, quiet_since = time.monotonic() + _LATE_LIMIT_S, time.monotonic()
        while time.monotonic() < min(until, quiet_since + _QUIET_S):
            status = self._status()
            if status.answer != OK:
                return
            if self._end_ours(status) or _is_starting(status):
                quiet_since = time.monotonic()
            time.sleep(_PAUSE_S)


class SeverableWire(Wire):
    """A way like another one, all of whose connections can be cut from another thread."""

    def __init__(self, way: Wire) -> None:
        self._severed = threading.Event()
        self._line = Line(repeats=True, nests=False)
        self._line.severed_if(self._severed.is_set)
        make = way._make_pool or urllib3.PoolManager
        super().__init__(way._endpoint, headers=way._headers, make_pool=lambda: self._watched(make))

    def sever(self) -> None:
        """Cut what is open, and open nothing any more."""
        self._severed.set()
        self._line.cut()

    def _watched(self, make: Any) -> urllib3.PoolManager:
        pool: urllib3.PoolManager = make()
        self._line.install(_Sender(pool))
        return pool


class _Sender:
    """What a `Line` expects of those who send: a pool of connections."""

    def __init__(self, pool: urllib3.PoolManager) -> None:
        self._conn = pool


def _try(way: Wire, ender: Wire, request: Mapping[str, Any], deadline: float) -> tuple[str, bool]:
    """Start a session, ask it for something, end it.

    Returns:
        What did not work, "" if all did; and whether it is certain that there is no session.
    """
    reply = way.ask("POST", "/session", limit_s=_left(deadline), body=request)
    session_id = reply.value.get("sessionId") if isinstance(reply.value, Mapping) else None
    if not reply.good or not session_id:
        answered = reply.answer == OK and reply.status not in GATEWAY_STATUSES
        return f"no session was started: {said(reply)}", answered
    place, script = f"/session/{session_id}", {"script": "return 1;", "args": []}
    asked = way.ask("POST", f"{place}/execute/sync", limit_s=_left(deadline), body=script)
    ended = ender.ask("DELETE", place, limit_s=_END_LIMIT_S)
    if answers.session_answer(asked)[0] != OK and asked.error not in _NO_SCRIPTS:
        return f"the session does not work: {said(asked)}", ended.good
    return ("" if ended.good else f"the session could not be ended: {said(ended)}"), ended.good


def said(reply: Reply) -> str:
    """Return in a few words what `reply` says."""
    text = reply.detail or reply.error or (f"HTTP {reply.status}" if reply.status else reply.answer)
    return text.strip().splitlines()[0][:200] if text.strip() else reply.answer


def _left(deadline: float) -> float:
    return max(0.05, deadline - time.monotonic())


# Sessions of a grid


def leftovers(status: Reply, *, mark: str = "") -> list[str]:
    """Return the sessions a grid has that are throw-away ones and should not be there.

    Args:
        status: Its `/status`.
        mark: The mark of one that should not be there any more, besides those too old.
    """
    found = []
    for session in filter(_has_begun, _held(status)):
        granted = session.get("capabilities")
        carried = granted.get(MARK) if isinstance(granted, Mapping) else None
        if carried is not None and (carried == mark or _is_over(str(carried))):
            found.append(str(session.get("sessionId")))
    return found


def end_all(way: Wire, session_ids: Iterable[str]) -> None:
    """End sessions."""
    for session_id in session_ids:
        way.ask("DELETE", f"/session/{session_id}", limit_s=_END_LIMIT_S)


def _is_over(mark: str) -> bool:
    until = mark.rpartition(" ")[2]
    return until.isdigit() and int(until) + _CLOCKS_S < time.time()


def _is_starting(status: Reply) -> bool:
    return any(not _has_begun(session) for session in _held(status))


def _has_begun(session: Mapping[str, Any]) -> bool:
    # A grid fills a slot with this name while the browser is being started.
    return session.get("sessionId") != "reserved"


def _held(status: Reply) -> Iterator[Mapping[str, Any]]:
    for node in _mappings(status.value, "nodes"):
        for slot in _mappings(node, "slots"):
            session = slot.get("session")
            if isinstance(session, Mapping):
                yield session


def _mappings(owner: object, name: str) -> list[Mapping[str, Any]]:
    found = owner.get(name) if isinstance(owner, Mapping) else None
    return [m for m in found if isinstance(m, Mapping)] if isinstance(found, list) else []


def _marked(request: Mapping[str, Any], mark: str) -> dict[str, Any]:
    marked: dict[str, Any] = copy.deepcopy(dict(request))
    always = marked["capabilities"].get("alwaysMatch") or {}
    marked["capabilities"]["alwaysMatch"] = {**always, MARK: mark}
    return marked


# Command lines


def can_start(launch: Launch) -> bool:
    """Return whether another driver can be started so, on a port of its own."""
    return any(option(launch.command, name) for name in _PORTS)


def option(arguments: Iterable[str], name: str) -> str:
    """Return the value of an option, "" if it is not given."""
    rest = deque(arguments)
    while rest:
        found, joined, value = rest.popleft().partition("=")
        if found == name:
            return value if joined else (rest[0] if rest else "")
    return ""


def replaced(arguments: Iterable[str], values: Mapping[str, str | None]) -> Iterator[str]:
    """Yield `arguments` with other values for some options; one whose value is None is left out."""
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        name, joined, _value = argument.partition("=")
        if name not in values:
            yield argument
            continue
        follows = not joined and rest and not rest[0].startswith("-")
        if follows:
            rest.popleft()
        value = values[name]
        if value is not None:
            yield from [f"{name}={value}"] if joined else [name, value] if follows else [name]
