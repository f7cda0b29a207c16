"""Runs a recovery within its time-out, whoever wrote it and whatever it does.

Invariant: what a recovery raises is its result; and whatever thread it runs in, the
environment is touched by the thread that asked for the recovery alone, which is where
pytest's fixtures must be torn down.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Key of an ``error_info`` under which the environment stands.
ENVIRONMENT = "environment"
#: Seconds in which a recovery may still end whose time ran out while the environment was
#: doing what it had been asked to.
_GRACE_S = 0.5

Action = Callable[[Mapping[str, Any]], Any]


class Outcome(NamedTuple):
    """What became of the execution of a strategy.

    Attributes:
        success: Whether it reports success; whether it cured anything the next attempt tells.
        detail: What there is to say about it, "" if nothing.
        timed_out: True if it had not ended when its time was up.
    """

    success: bool
    detail: str = ""
    timed_out: bool = False


def execute(action: Action, error_info: Mapping[str, Any], timeout_s: float | None) -> Outcome:
    """Run `action`, a function or a coroutine function, on `error_info`.

    Args:
        timeout_s: Seconds it may take; None for as long as it wants. With a time-out it runs
            in a thread of its own, which is abandoned when the time is up: what it still asks
            of the environment is then refused, and a coroutine is cancelled. What the
            environment is doing at that moment is not interrupted.

    Raises:
        KeyboardInterrupt, SystemExit: Somebody wants to end the run.
    """
    if timeout_s is None:
        return _outcome(lambda: _run(action, error_info, None))
    return _Supervised(action, error_info, timeout_s).outcome()


def describe(error: BaseException) -> str:
    """Return type and text of `error`, whatever its ``__str__`` does."""
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def _outcome(run: Callable[[], bool]) -> Outcome:
    try:
        return Outcome(run())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a failing recovery is a result
        return Outcome(False, describe(error))


def _run(action: Action, error_info: Mapping[str, Any], timeout_s: float | None) -> bool:
    result = action(error_info)
    if inspect.isawaitable(result):
        import asyncio

        async def bounded() -> Any:
            return await asyncio.wait_for(result, timeout_s)

        result = asyncio.run(bounded())
    return bool(result)


class _Call(NamedTuple):
    """Something a recovery asks of the environment."""

    function: Callable[[], Any]
    answer: Future[Any]

    def carry_out(self) -> None:
        """Do it, and hand over what it returns or raises."""
        try:
            self.answer.set_result(self.function())
        except BaseException as error:
            self.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def refuse(self, why: str) -> None:
        """Do not do it."""
        self.answer.set_exception(RuntimeError(why))


class _TimeUp:
    """What the timer says."""


class _Supervised:
    """A recovery in a thread of its own, and the thread that waits for it."""

    def __init__(self, action: Action, error_info: Mapping[str, Any], timeout_s: float) -> None:
        self._action = action
        self._timeout_s = timeout_s
        self._inbox: queue.SimpleQueue[_Call | _TimeUp | Outcome | BaseException] = (
            queue.SimpleQueue()
        )
        self._closed = False
        self._gate = threading.Lock()
        self._error_info = dict(error_info)
        environment = self._error_info.get(ENVIRONMENT)
        if environment is not None:
            self._error_info[ENVIRONMENT] = _StandIn(environment, self._ask)

    def outcome(self) -> Outcome:
        """Start it, and do what it asks of the environment until it ends or has to."""
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._live,), daemon=True, name="resilience-recovery"
        ).start()
        timer = threading.Timer(self._timeout_s, lambda: self._inbox.put(_TimeUp()))
        timer.daemon = True
        timer.start()
        try:
            return self._attend(timer)
        finally:
            timer.cancel()
            self._close()

    def _attend(self, timer: threading.Timer) -> Outcome:
        while True:
            message = self._inbox.get()
            if isinstance(message, _Call):
                message.carry_out()
                if timer.finished.is_set():
                    return self._last_words()
            elif isinstance(message, Outcome):
                return message
            elif isinstance(message, BaseException):
                raise message
            else:
                return self._too_late()

    def _last_words(self) -> Outcome:
        """What it asked for took until its time was up, and may have been all it wanted."""
        with contextlib.suppress(queue.Empty):
            while not isinstance(message := self._inbox.get(timeout=_GRACE_S), _Call):
                if isinstance(message, Outcome):
                    return message
                if isinstance(message, BaseException):
                    raise message
            message.refuse(self._given_up)
        return self._too_late()

    def _too_late(self) -> Outcome:
        return Outcome(False, f"did not finish within {self._timeout_s:g} s", timed_out=True)

    def _close(self) -> None:
        """Refuse what is still asked for, and what will be."""
        with self._gate:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, _Call):
                    message.refuse(self._given_up)

    @property
    def _given_up(self) -> str:
        return f"the recovery was given up after {self._timeout_s:g} s"

    # What follows runs in the other thread.

    def _live(self) -> None:
        # Cancelling a coroutine comes second, so that who waits is always the first to know.
        limit_s = self._timeout_s + _GRACE_S
        try:
            self._inbox.put(_outcome(lambda: _run(self._action, self._error_info, limit_s)))
        except BaseException as interrupt:  # noqa: BLE001 - raised where it is heard
            self._inbox.put(interrupt)

    def _ask(self, function: Callable[[], Any]) -> Any:
        # It comes with loggers, and for each logger there is pytest does more for each test.
        from concurrent.futures import Future

        call = _Call(function, Future())
        with self._gate:
            if self._closed:
                raise RuntimeError(self._given_up)
            self._inbox.put(call)
        return call.answer.result()


class _StandIn:
    """Stands for the environment in a thread that must not touch it."""

    def __init__(self, environment: object, ask: Callable[[Callable[[], Any]], Any]) -> None:
        self._environment = environment
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._environment, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._ask(lambda: value(*args, **kwargs))
