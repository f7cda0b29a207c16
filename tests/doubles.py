"""Stand-ins for the ports: time that passes when told, a sink to read, browsers made of nothing.

Invariant: a double does nothing on its own account; whatever it answers, a test said so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_resilience.core.ports import Environment


class FakeClock:
    """Time that passes only when told to, or while something sleeps."""

    def __init__(self, epoch_us: int = 1_700_000_000_000_000) -> None:
        self.seconds = 1_000.0
        self._offset_us = epoch_us - 1_000_000_000

    def monotonic(self) -> float:
        return self.seconds

    def now_us(self) -> int:
        return self._offset_us + round(self.seconds * 1_000_000)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class ListSink:
    """Keeps what it is given, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, kind: str, payload: Mapping[str, Any]) -> None:
        self.emit_many([(kind, payload)])

    def emit_many(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self.events += [(kind, dict(payload)) for kind, payload in events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of all events of `kind`."""
        return [payload for event, payload in self.events if event == kind]


class FakeEnvironment:
    """Surroundings that answer what they are told to, and otherwise that nothing is so.

    Args:
        answer: What a restart of browsers answers, or raises.
        clock: Passes `seconds` while browsers are restarted.
        answers: What other methods of the port answer, by name; one of a list after the other.
    """

    def __init__(
        self,
        answer: bool | BaseException = True,
        *,
        clock: FakeClock | None = None,
        seconds: float = 0.0,
        **answers: bool | list[bool],
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._seconds = seconds
        self._answers = answers
        #: The value of `with_driver` of every restart asked for.
        self.restarts: list[bool] = []
        #: Names of the methods called, in order.
        self.calls: list[str] = []

    def restart_browsers(self, *, with_driver: bool) -> bool:
        self.calls.append("restart_browsers")
        self.restarts.append(with_driver)
        if self._clock is not None:
            self._clock.sleep(self._seconds)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return bool(self._answers.get("restart_browsers", self._answer))

    def __getattr__(self, name: str) -> Callable[..., bool]:
        if name.startswith("_") or name not in vars(Environment):
            raise AttributeError(name)

        def answer(*_args: object, **_keywords: object) -> bool:
            self.calls.append(name)
            told = self._answers.get(name, False)
            return told.pop(0) if isinstance(told, list) else told

        return answer
