"""Calls through a circuit: as a block, as a call, as a decorator; sync and async.

Invariant: what a protected call returns or raises is what it returned or raised by itself; only
a call that was not made raises `CircuitOpenError`. Each permit is given back once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from pytest_resilience.core.circuit_record import Permit
from pytest_resilience.exceptions import ConfigurationError

Function = TypeVar("Function", bound=Callable[..., Any])


class Circuit(Protocol):
    """What is needed of a circuit to send a call through it."""

    def acquire(self) -> Permit:
        """Return a permit, or raise `CircuitOpenError`."""

    def finish(self, permit: Permit, error: BaseException | None) -> None:
        """Take in how the permitted call ended; never raises."""


class Guard:
    """A block of code that goes through a circuit; for one ``with`` or ``async with``."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._permit: Permit

    def __enter__(self) -> Permit:
        self._permit = self._circuit.acquire()
        return self._permit

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._circuit.finish(self._permit, error)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._circuit.finish(self._permit, error)


def called(circuit: Circuit, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call `function` through `circuit`, and return what it returns.

    For a coroutine function, or one that returns an awaitable, an awaitable is returned; the
    permit of a coroutine function is taken when that is awaited.
    """
    if _is_coroutine_function(function):
        return _awaited_call(circuit, function, *args, **named)
    permit = circuit.acquire()
    try:
        result = function(*args, **named)
    except BaseException as error:
        circuit.finish(permit, error)
        raise
    if inspect.isawaitable(result):
        return _awaited(circuit, permit, result)
    circuit.finish(permit, None)
    return result


def protected(function: Function, find: Callable[[], Circuit]) -> Function:
    """Return `function` so that each call goes through the circuit that `find` returns then.

    Raises:
        ConfigurationError: It is a generator function, whose work is not done when it returns.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{function.__qualname__}: a generator function cannot be decorated with a circuit, "
            f"for it does its work after it has returned. Use `with circuit.guard():` inside."
        )
    wrapper: Callable[..., Any]
    if _is_coroutine_function(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **named: Any) -> Any:
            return await _awaited_call(find(), function, *args, **named)

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **named: Any) -> Any:
            return called(find(), function, *args, **named)

    return cast("Function", wrapper)


async def _awaited_call(
    circuit: Circuit, function: Callable[..., Any], *args: Any, **named: Any
) -> Any:
    async with Guard(circuit):
        return await function(*args, **named)


async def _awaited(circuit: Circuit, permit: Permit, result: Awaitable[Any]) -> Any:
    try:
        value = await result
    except BaseException as error:
        circuit.finish(permit, error)
        raise
    circuit.finish(permit, None)
    return value


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    # An object may be called, too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )
