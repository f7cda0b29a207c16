"""Faults of the connection between selenium and the driver or grid.

They strike in the client's own connections, where a proxy would: what was sent was sent, and
what comes back is late, or does not come.

Invariant: other connections to the same driver, such as those by which it is diagnosed, are
left alone; selenium's objects are as they were once the fault is undone.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import urllib3

from pytest_resilience.browser.fault_applied import Applied, FaultError

#: Seconds by which an answer is late.
DELAY_S = 1.0
#: Seconds for which answers are held back.
HOLD_S = 5.0

_MAKE = "_get_connection_manager"
#: Told of a connection before it is made, or before an answer is read from it.
_Strike = Callable[[Any], object]


class _Counts:
    """Counts what befell connections and answers."""

    def __init__(self, **counts: int) -> None:
        self._counts = counts
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def seen(self) -> dict[str, int]:
        return dict(self._counts)


def cut_driver_connection(applied: Applied) -> None:
    """Cut all connections to the driver, and refuse new ones."""
    counts = _Counts(refused=0)
    reason = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    def refuse(connection: Any) -> None:
        counts.add("refused")
        raise urllib3.exceptions.NewConnectionError(
            connection, f"Failed to establish a new connection: {reason}"
        ) from reason

    applied.prove(cut=_cut(applied))
    _impose(applied, dial=refuse)
    applied.look(counts.seen)


def reset_one_command(applied: Applied) -> None:
    """Reset the connection under the command that is under way, or else under the next one."""
    if applied.during and _cut(applied):
        applied.prove(reset=1)
        return
    counts = _Counts(reset=0)
    armed = threading.Lock()

    def reset(connection: Any) -> None:
        if not armed.acquire(blocking=False):
            return
        counts.add("reset")
        _abort(connection)
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    _impose(applied, read=reset)
    applied.look(counts.seen)


def delay_commands(applied: Applied) -> None:
    """Let every answer come late."""
    _delay(applied, lambda: DELAY_S)


def hold_commands(applied: Applied) -> None:
    """Hold all answers back for a while."""
    until = time.monotonic() + HOLD_S
    _delay(applied, lambda: until - time.monotonic())


def _delay(applied: Applied, pause_s: Callable[[], float]) -> None:
    counts = _Counts(delayed=0)
    released = threading.Event()

    def delay(connection: Any) -> None:
        seconds = pause_s()
        if seconds <= 0 or released.is_set():
            return
        counts.add("delayed")
        limit_s = connection.timeout
        if isinstance(limit_s, int | float) and limit_s < seconds:
            released.wait(limit_s)
            raise TimeoutError("timed out")
        released.wait(seconds)

    applied.when_undone(released.set)
    _impose(applied, read=delay)
    applied.look(counts.seen)
    if applied.during and pause_s() > 0:
        # Whoever strikes during a command does not let it return before this does.
        counts.add("delayed")
        released.wait(pause_s())


def _cut(applied: Applied) -> int:
    line = applied.session.care.line
    return line.cut() if line is not None else 0


def _impose(applied: Applied, *, dial: _Strike | None = None, read: _Strike | None = None) -> None:
    """Let the executor of a session make connections that are struck, until all is undone."""
    executor: Any = getattr(applied.session.driver, "command_executor", None)
    manager, make = getattr(executor, "_conn", None), getattr(executor, _MAKE, None)
    if manager is not None:
        applied.when_undone(_adopt(manager, dial, read))
    elif make is not None:
        # Without keep-alive each request has a manager of its own.
        def struck() -> Any:
            made = make()
            _adopt(made, dial, read)
            return made

        before = executor.__dict__.get(_MAKE)
        executor.__dict__[_MAKE] = functools.wraps(make)(struck)
        applied.when_undone(lambda: _put_back(executor, struck, before))
    else:
        raise FaultError("the driver is not spoken to over selenium's usual kind of connection.")


def _put_back(executor: Any, ours: Any, before: Any) -> None:
    if executor.__dict__.get(_MAKE) is not ours:
        return
    if before is None:
        executor.__dict__.pop(_MAKE, None)
    else:
        executor.__dict__[_MAKE] = before


def _adopt(manager: Any, dial: _Strike | None, read: _Strike | None) -> Callable[[], None]:
    """Let a manager of urllib3 make struck connections; return what undoes that."""
    before = manager.pool_classes_by_scheme
    ours = {scheme: _struck(kind, dial, read) for scheme, kind in before.items()}
    manager.pool_classes_by_scheme = ours
    manager.clear()

    def restore() -> None:
        if manager.pool_classes_by_scheme is ours:
            manager.pool_classes_by_scheme = before
            manager.clear()

    return restore


def _struck(pool_class: Any, dial: _Strike | None, read: _Strike | None) -> type:
    """Return a class of pools like `pool_class`, by the same name, that is struck."""
    usual = pool_class.ConnectionCls

    def connect(connection: Any) -> None:
        if dial is not None:
            dial(connection)
        usual.connect(connection)

    def getresponse(connection: Any, *rest: Any, **named: Any) -> Any:
        if read is not None:
            read(connection)
        return usual.getresponse(connection, *rest, **named)

    struck = _subclass(usual, connect=connect, getresponse=getresponse)
    return _subclass(pool_class, ConnectionCls=struck)


def _subclass(base: Any, **members: Any) -> type:
    # The names appear in the messages of urllib3's exceptions.
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base.__name__, (base,), {**names, **members})


def _abort(connection: Any) -> None:
    """Close a connection with RST instead of FIN."""
    sock = connection.sock
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
