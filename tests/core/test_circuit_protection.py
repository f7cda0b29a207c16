"""A call through a circuit does what it does without one, and is reported once."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.core.circuit_protection import Guard, called, protected
from pytest_resilience.core.circuit_record import Permit
from pytest_resilience.exceptions import CircuitOpenError, ConfigurationError

PERMIT = Permit("x", 0, 0, 0.0, True)


class Circuit:
    """Writes down what is asked of it."""

    def __init__(self, *, refusing: bool = False) -> None:
        self.refusing = refusing
        self.log: list[Any] = []

    def acquire(self) -> Permit:
        if self.refusing:
            raise CircuitOpenError("x", 1.0)
        self.log.append("acquired")
        return PERMIT

    def finish(self, permit: Permit, error: BaseException | None) -> None:
        assert permit is PERMIT
        self.log.append(error)


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_later(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


class AddsLater:
    async def __call__(self, a: int, b: int = 1) -> int:
        return a + b


def task_of(a: int, b: int = 1) -> asyncio.Future[int]:
    return asyncio.ensure_future(add_later(a, b))


class Broken(Exception):  # noqa: N818
    """What a call raises."""


ERRORS = [pytest.param(Broken, id="exception"), pytest.param(KeyboardInterrupt, id="interrupt")]


class TestCalls:
    """`called`."""

    def test_it_returns_what_the_function_returns(self, circuit: Circuit) -> None:
        assert called(circuit, add, 3, b=4) == 7
        assert circuit.log == ["acquired", None]

    @pytest.mark.parametrize("kind", ERRORS)
    def test_it_raises_what_the_function_raises(
        self, circuit: Circuit, kind: type[BaseException]
    ) -> None:
        error = kind("no")

        def fail() -> None:
            raise error

        with pytest.raises(kind) as raised:
            called(circuit, fail)
        assert raised.value is error
        assert raised.value.__context__ is None
        assert circuit.log == ["acquired", error]

    def test_a_refused_call_is_not_made(self) -> None:
        circuit, calls = Circuit(refusing=True), list[int]()
        with pytest.raises(CircuitOpenError):
            called(circuit, calls.append, 1)
        assert (calls, circuit.log) == ([], [])

    @pytest.mark.parametrize(
        "function",
        [
            pytest.param(add_later, id="coroutine-function"),
            pytest.param(functools.partial(add_later), id="partial"),
            pytest.param(AddsLater(), id="object"),
        ],
    )
    def test_the_permit_of_a_coroutine_function_is_taken_when_it_is_awaited(
        self, circuit: Circuit, function: Callable[..., Any]
    ) -> None:
        result = called(circuit, function, 3, b=4)
        assert circuit.log == []
        assert asyncio.run(result) == 7
        assert circuit.log == ["acquired", None]

    def test_what_returns_an_awaitable_has_not_ended_yet(self, circuit: Circuit) -> None:
        async def run() -> tuple[list[Any], int]:
            result = called(circuit, task_of, 3, b=4)
            return list(circuit.log), await result

        assert asyncio.run(run()) == (["acquired"], 7)
        assert circuit.log == ["acquired", None]

    @pytest.mark.parametrize("kind", ERRORS[:1])
    @pytest.mark.parametrize("wrapped", [False, True], ids=["function", "awaitable"])
    def test_what_is_raised_while_it_is_awaited_is_reported(
        self, circuit: Circuit, kind: type[BaseException], wrapped: bool
    ) -> None:
        error = kind("no")

        async def fail() -> None:
            raise error

        async def run() -> None:
            await called(circuit, (lambda: fail()) if wrapped else fail)

        with pytest.raises(kind) as raised:
            asyncio.run(run())
        assert raised.value is error
        assert circuit.log == ["acquired", error]

    @pytest.mark.parametrize("wrapped", [False, True], ids=["function", "awaitable"])
    def test_a_cancelled_call_is_reported(self, circuit: Circuit, wrapped: bool) -> None:
        async def wait() -> None:
            await asyncio.sleep(60)

        async def run() -> None:
            task = asyncio.ensure_future(called(circuit, (lambda: wait()) if wrapped else wait))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())
        assert circuit.log[0] == "acquired"
        assert [type(entry) for entry in circuit.log[1:]] == [asyncio.CancelledError]


class TestGuard:
    """``with`` and ``async with``."""

    def test_a_block_is_reported_when_it_ends(self, circuit: Circuit) -> None:
        with Guard(circuit) as permit:
            assert permit is PERMIT
            assert circuit.log == ["acquired"]
        assert circuit.log == ["acquired", None]

    @pytest.mark.parametrize("kind", ERRORS)
    def test_what_a_block_raises_gets_out(
        self, circuit: Circuit, kind: type[BaseException]
    ) -> None:
        with pytest.raises(kind) as raised, Guard(circuit):
            raise kind("no")
        assert circuit.log == ["acquired", raised.value]

    def test_an_async_block_is_reported_when_it_ends(self, circuit: Circuit) -> None:
        async def run() -> None:
            async with Guard(circuit) as permit:
                assert permit is PERMIT
            with pytest.raises(Broken):
                async with Guard(circuit):
                    raise Broken

        asyncio.run(run())
        assert circuit.log[:3] == ["acquired", None, "acquired"]
        assert isinstance(circuit.log[3], Broken)


class TestDecorator:
    """`protected`."""

    def test_a_function_is_called_as_before(self, circuit: Circuit) -> None:
        decorated = protected(add, lambda: circuit)
        assert decorated(3, b=4) == 7
        assert circuit.log == ["acquired", None]
        assert (decorated.__name__, inspect.signature(decorated)) == ("add", inspect.signature(add))

    def test_a_coroutine_function_stays_one(self, circuit: Circuit) -> None:
        decorated = protected(add_later, lambda: circuit)
        assert inspect.iscoroutinefunction(decorated)
        assert decorated.__name__ == "add_later"
        assert asyncio.run(decorated(3, b=4)) == 7
        assert circuit.log == ["acquired", None]

    def test_methods_know_their_object(self, circuit: Circuit) -> None:
        class Grid:
            node = 3

            @functools.partial(protected, find=lambda: circuit)
            def ask(self, more: int) -> int:
                return self.node + more

        assert Grid().ask(4) == 7

    def test_the_circuit_is_looked_for_at_each_call(self) -> None:
        circuits = [Circuit(), Circuit()]
        waiting = list(circuits)
        decorated = protected(add, lambda: waiting.pop(0))
        assert decorated(1) + decorated(2) == 5
        assert [circuit.log for circuit in circuits] == [["acquired", None]] * 2

    def test_generators_are_refused_with_what_to_do(self, circuit: Circuit) -> None:
        def driver() -> Any:
            yield 1

        async def driver_later() -> Any:
            yield 1

        for function in (driver, driver_later):
            with pytest.raises(ConfigurationError) as refused:
                protected(function, lambda: circuit)
            assert refused.value.message == (
                f"{function.__qualname__}: a generator function cannot be decorated with a circuit,"
                " for it does its work after it has returned. Use `with circuit.guard():` inside."
            )
