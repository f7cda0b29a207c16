"""Commands that were lost on the wire and sent again, as the report tells of them.

Invariant: a test during which a command had to be sent again never counts as simply
passed; nothing here raises, and a test that loses no command costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.core.levels import ProgressiveRecoveryLevel
from pytest_resilience.core.ports import Clock, EventSink

if TYPE_CHECKING:
    from pytest_resilience.browser.resend import Resent
    from pytest_resilience.plugin.desk import Case

#: Name under which this recovery, which the browser room makes by itself, is recorded.
COMMAND_RETRY = "command_retry"
_TYPE = ErrorType.CONNECTION


class CommandRetries:
    """Hears of every command that was sent again.

    Attributes:
        case: The item that runs at the moment, None if none does.
    """

    def __init__(
        self, sink: EventSink, clock: Clock, *, guard: Callable[[Exception], None], worker: str
    ) -> None:
        self.case: Case | None = None
        #: Returns what was injected into the present attempt of an item, "" if nothing was, and
        #: whether anything is to be learned from that.
        self.injected: Callable[[Any], tuple[str, bool]] = _nothing
        self._sink = sink
        self._clock = clock
        self._guard = guard
        self._worker = worker

    def __call__(self, resent: Resent) -> None:
        """Record `resent`, and note on the item that runs that it was mended."""
        try:
            self._record(resent)
            case = self.case
            if case is not None and resent.success:
                case.mended = self._attempt(resent)
                # An item with a history, if an empty one, is not one that simply passed.
                case.failures = case.history
        except Exception as fault:  # noqa: BLE001 - see the invariant
            self._guard(fault)

    def _record(self, resent: Resent) -> None:
        case = self.case
        injected, learn = self.injected(case.item) if case is not None else ("", True)
        record = RecoveryPerformanceRecord(
            strategy_id=COMMAND_RETRY,
            strategy_name="Command retry",
            error_type=_TYPE.label,
            execution_time=resent.seconds,
            success=resent.success,
            affected_tasks=1,
            recovered_tasks=int(resent.success),
            timestamp_us=self._clock.now_us() - round(resent.seconds * 1e6),
            cost_s=resent.seconds,
            context={
                "nodeid": case.item.nodeid if case is not None else "",
                "attempt": case.number if case is not None else 0,
                "recovery_level": int(ProgressiveRecoveryLevel.BASIC),
                "detail": _told(resent),
                **({"injected": injected, "learn": learn} if injected else {}),
            },
        )
        self._sink.emit(events.RECOVERY, record.to_dict())

    def _attempt(self, resent: Resent) -> Attempt:
        evidence = (resent.evidence.to_dict(),) if resent.evidence is not None else ()
        return Attempt(
            worker=self._worker,
            error_type=_TYPE.label,
            infrastructure=True,
            severity=ErrorSeverity.LOW.value,
            exception=type(resent.error).__name__,
            message=str(resent.error)[:1000],
            evidence=evidence,
            strategy=COMMAND_RETRY,
            level=int(ProgressiveRecoveryLevel.BASIC),
            recovery_s=resent.seconds,
            reason=_told(resent),
            browser=resent.session.browser,
            injected=self.injected(self.case.item)[0] if self.case is not None else "",
        )


def _nothing(_item: object) -> tuple[str, bool]:
    return "", True


def _told(resent: Resent) -> str:
    times = "once" if resent.times == 1 else f"{resent.times} times"
    ending = "answered" if resent.success else "lost again"
    return f"{resent.command} was lost on the wire, sent again {times}, and {ending}"
