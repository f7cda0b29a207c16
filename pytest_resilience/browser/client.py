"""The HTTP connections over which selenium sends the commands of a driver.

They can be cut while a command hangs, repeat no request behind the user's back (what is
sent again is told), and give up after the driver's own time-outs, not before and not never.

Invariant: what the user set is left as it is, selenium's and urllib3's objects keep their
settings (each request is adapted on its way), and `release` undoes everything.
"""

from __future__ import annotations

import functools
import socket
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import deadlines

if TYPE_CHECKING:
    from pytest_resilience.browser.resend import Resender

_ABSENT = object()
_KEPT_AS = "_resilience_line"
_MAKE = "_get_connection_manager"


class Line:
    """The connections of one executor, selenium's object that sends commands.

    Args:
        repeats: Whether urllib3 may send a GET or DELETE three times more, unasked.
        nests: Whether a client time-out is set where there is none, and selenium's own is
            raised above time-outs the user set for the driver.

    Attributes:
        adjustments: What was changed, in words, each once.
        resender: Sends requests again that were lost; None to let them be lost.
    """

    def __init__(self, *, repeats: bool = False, nests: bool = True) -> None:
        self.adjustments: list[str] = []
        self.resender: Resender | None = None
        self._repeats = repeats
        self._nests = nests
        self._limit_s: float | None = deadlines.NEW_SESSION_CLIENT_S
        self._floor_s = 0.0
        self._is_severed: Callable[[], bool] = lambda: False
        self._connections: tuple[weakref.ref[Any], ...] = ()
        self._undo: list[Callable[[], object]] = []

    def install(self, executor: Any) -> None:
        """Take over the connections `executor` makes from now on."""
        executor.__dict__[_KEPT_AS] = self
        reference = weakref.ref(executor)
        self._undo.append(lambda: _forget(reference(), _KEPT_AS))
        manager = getattr(executor, "_conn", None)
        make = getattr(executor, "_get_connection_manager", None)
        if manager is not None:
            classes = self._adopt(manager)
            self._undo.append(functools.partial(_restore, manager, classes))
        elif make is not None:
            # Without keep-alive each request has a manager of its own.
            executor.__dict__[_MAKE] = functools.wraps(make)(lambda: self._adopted(make()))
            self._undo.append(lambda: _forget(reference(), _MAKE))

    def release(self) -> None:
        """Give the executor its own kinds of connections back."""
        while self._undo:
            self._undo.pop()()

    def nest(self, set_ms: Mapping[str, Any], granted_ms: Mapping[str, Any]) -> None:
        """Note the time-outs of the driver: those the user has set, and all it began with."""
        self._limit_s = deadlines.client_limit(set_ms, granted_ms)
        self._floor_s = deadlines.client_limit(set_ms, {}) or 0.0

    def severed_if(self, condition: Callable[[], bool]) -> None:
        """Let no new connection be opened while `condition` holds."""
        self._is_severed = condition

    def cut(self) -> int:
        """Shut all open connections down, from any thread; return how many there were."""
        severed = 0
        for reference in self._connections:
            sock = getattr(reference(), "sock", None)
            if sock is not None:
                severed += _shut_down(sock)
        return severed

    def _adopt(self, manager: Any) -> Any:
        classes = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {s: self._guarded(c) for s, c in classes.items()}
        manager.clear()
        return classes

    def _adopted(self, manager: Any) -> Any:
        self._adopt(manager)
        return manager

    def _guarded(self, pool_class: Any) -> type:
        """Return a class of pools like `pool_class`, by the same name, that we look after."""
        line, connection_class = self, pool_class.ConnectionCls

        def connect(connection: Any) -> None:
            if line._is_severed():
                raise ConnectionAbortedError("the command was ended")
            connection_class.connect(connection)
            line._note_open(connection)

        def urlopen(pool: Any, method: str, url: str, *rest: Any, **named: Any) -> Any:
            if not rest:
                line._adapt(pool, named)
            try:
                return pool_class.urlopen(pool, method, url, *rest, **named)
            except Exception as lost:
                # Whoever lets urllib3 repeat has had it repeated.
                again = line.resender if named.get("retries") is False else None
                if again is None or not again.may(lost, method, url):
                    raise
                send = functools.partial(pool_class.urlopen, pool, method, url, *rest, **named)
                return again.answer(lost, send)

        guarded = _subclass(connection_class, connect=connect)
        return _subclass(pool_class, ConnectionCls=guarded, urlopen=urlopen)

    def _note_open(self, connection: Any) -> None:
        living = (ref for ref in self._connections if ref() not in (None, connection))
        self._connections = (*living, weakref.ref(connection))

    def _adapt(self, pool: Any, request: dict[str, Any]) -> None:
        chosen = pool.retries is not getattr(type(pool.retries), "DEFAULT", None)
        if not (self._repeats or chosen) and request.get("retries") is None:
            request["retries"] = False
            self._tell("urllib3's repetition of GET and DELETE switched off")
        if self._nests:
            self._nest_request(pool, request)

    def _nest_request(self, pool: Any, request: dict[str, Any]) -> None:
        given = request.get("timeout", _ABSENT)
        if given is _ABSENT:
            given = getattr(pool.timeout, "read_timeout", _ABSENT)
        if given is None and self._limit_s is not None:
            request["timeout"] = self._limit_s
            self._tell(f"client time-out set to {self._limit_s:g} s, there was none")
        elif given == deadlines.SELENIUM_CLIENT_S < self._floor_s:
            request["timeout"] = self._floor_s
            self._tell(f"client time-out raised from {given:g} s to {self._floor_s:g} s")

    def _tell(self, adjustment: str) -> None:
        if adjustment not in self.adjustments:
            self.adjustments.append(adjustment)


class Lines:
    """The lines of all drivers, each kept by its executor.

    Args:
        repeats: See `Line`.
        nests: See `Line`.
    """

    def __init__(self, *, repeats: bool = False, nests: bool = True) -> None:
        self._make = functools.partial(Line, repeats=repeats, nests=nests)
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()

    def of(self, executor: Any) -> Line:
        """Return the line of `executor`, which is taken over if it was not yet."""
        line: Line | None = executor.__dict__.get(_KEPT_AS)
        if line is None or line not in self._lines:
            line = self._make()
            line.install(executor)
            self._lines.add(line)
        return line

    def release(self) -> None:
        """Undo all of it."""
        for line in list(self._lines):
            line.release()
        self._lines.clear()


def _forget(owner: Any, attribute: str) -> None:
    if owner is not None:
        owner.__dict__.pop(attribute, None)


def _subclass(base: Any, **members: Any) -> type:
    # The names appear in the messages of urllib3's exceptions.
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base.__name__, (base,), {**names, **members})


def _restore(manager: Any, classes: Any) -> None:
    manager.pool_classes_by_scheme = classes
    manager.clear()


def _shut_down(sock: Any) -> int:
    try:
        # An encrypted socket would take its state apart under the thread that reads from it.
        if isinstance(sock, socket.socket):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        return 0
    return 1
