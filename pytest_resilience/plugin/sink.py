"""The clock of this machine, and the way of events out of the plugin.

Invariant: an event reaches the spool before any hook hears of it, and no listener changes a
verdict.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.store.spool import Spool


class SystemClock:
    """The real time; see `core.ports.Clock`."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def now_us() -> int:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000


class HookedSink:
    """Writes events to the spool, and offers them to the hooks of other plugins.

    Args:
        spool: None where no history is kept.
    """

    def __init__(self, spool: Spool | None, config: pytest.Config, faults: FaultReporter) -> None:
        self._spool = spool
        self._hook = config.hook.pytest_resilience_event
        self._faults = faults
        self._heard = True

    def listen(self) -> None:
        """All plugins are known now: look once whether any of them listens."""
        self._heard = bool(self._hook.get_hookimpls())

    def emit(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Record an event; see `core.ports.EventSink`."""
        self.emit_many(((kind, payload),))

    def emit_many(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Record events; see `core.ports.EventSink`."""
        if self._spool is not None:
            self._spool.emit_many(events)
        if self._heard:
            for kind, payload in events:
                self._tell(kind, payload)

    def _tell(self, kind: str, payload: Mapping[str, Any]) -> None:
        try:
            self._hook(kind=kind, payload=payload)
        except Exception as fault:  # noqa: BLE001 - a listener must not change a verdict
            self._faults(fault)
