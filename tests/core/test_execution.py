"""`core.execution`: a recovery gets its time and no more, and never touches a wrong thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_resilience.core import execution
from pytest_resilience.core.execution import Outcome, execute

Info = Mapping[str, Any]
#: Enough for anything that does not hang.
AMPLE_S = 60.0
SHORT_S = 0.05

both_ways = pytest.mark.parametrize("timeout_s", [None, AMPLE_S], ids=["unlimited", "limited"])


class Stage:
    """An environment that notes who touches it, and does something while it repairs."""

    shade = "blue"

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.threads: list[int] = []
        self._meanwhile = meanwhile

    def repair(self, part: str, *, well: bool = True) -> str:
        self.threads.append(threading.get_ident())
        self._meanwhile()
        return f"{part} repaired {'well' if well else 'badly'}"

    def explode(self) -> None:
        raise OSError("no such part")


@both_ways
class TestResult:
    """What comes back, with or without a time-out."""

    @pytest.mark.parametrize(
        ("answer", "success"), [(True, True), (0, False), (None, False), ("yes", True)]
    )
    def test_the_answer_is_the_success(
        self, answer: Any, success: bool, timeout_s: float | None
    ) -> None:
        assert execute(lambda _: answer, {}, timeout_s) == Outcome(success)

    def test_a_coroutine_is_awaited(self, timeout_s: float | None) -> None:
        async def action(info: Info) -> bool:
            await asyncio.sleep(0)
            return bool(info["go"])

        assert execute(action, {"go": 1}, timeout_s) == Outcome(True)

    def test_what_is_raised_is_the_detail(self, timeout_s: float | None) -> None:
        def action(info: Info) -> bool:
            return bool(info["missing"])

        assert execute(action, {}, timeout_s) == Outcome(False, "KeyError: 'missing'")

    def test_a_time_out_of_its_own_is_no_time_out_of_ours(self, timeout_s: float | None) -> None:
        async def action(_: Info) -> bool:
            await asyncio.wait_for(asyncio.sleep(AMPLE_S), 0.01)
            return True

        outcome = execute(action, {}, timeout_s)
        assert (outcome.success, outcome.timed_out) == (False, False)
        assert outcome.detail.startswith("TimeoutError")

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_who_wants_to_end_the_run_is_heard(
        self, interrupt: type[BaseException], timeout_s: float | None
    ) -> None:
        def action(_: Info) -> bool:
            raise interrupt

        with pytest.raises(interrupt):
            execute(action, {}, timeout_s)

    def test_context_variables_are_carried_over(self, timeout_s: float | None) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        token = variable.set("set")
        seen: list[str] = []
        try:
            execute(lambda _: seen.append(variable.get()), {}, timeout_s)
        finally:
            variable.reset(token)
        assert seen == ["set"]

    def test_the_environment_is_touched_by_the_thread_that_asked_for_the_recovery(
        self, timeout_s: float | None
    ) -> None:
        stage, told = Stage(), []

        def action(info: Info) -> bool:
            environment = info["environment"]
            told.append(environment.repair("wheel", well=False))
            return bool(environment.shade == "blue")

        assert execute(action, {"environment": stage}, timeout_s) == Outcome(True)
        assert told == ["wheel repaired badly"]
        assert stage.threads == [threading.get_ident()]

    def test_what_the_environment_raises_reaches_who_asked(self, timeout_s: float | None) -> None:
        def action(info: Info) -> bool:
            try:
                info["environment"].explode()
            except OSError:
                return True
            return False

        assert execute(action, {"environment": Stage()}, timeout_s) == Outcome(True)

    def test_an_interrupt_inside_the_environment_is_heard(self, timeout_s: float | None) -> None:
        class Interrupted:
            def repair(self) -> None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            execute(
                lambda info: info["environment"].repair(), {"environment": Interrupted()}, timeout_s
            )


class Bell:
    """Stands for the timer: the time is up when a test rings."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.daemon = False
        self._call: Callable[[], object] = lambda: None

    def timer(self, _seconds: float, call: Callable[[], object]) -> Bell:
        """Do what ``threading.Timer`` does."""
        self._call = call
        return self

    def ring(self) -> None:
        """Say that the time is up."""
        self._call()
        self.finished.set()

    def start(self) -> None:
        """Wait for nothing."""

    cancel = start


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> Bell:
    """Replace the timer, and leave a recovery all the time it needs to say its last words."""
    bell = Bell()
    monkeypatch.setattr(execution.threading, "Timer", bell.timer)
    monkeypatch.setattr(execution, "_GRACE_S", AMPLE_S)
    return bell


class TestTimeOut:
    """What becomes of a recovery whose time is up."""

    TOO_LATE = Outcome(False, "did not finish within 0.05 s", timed_out=True)

    def test_a_function_that_hangs_is_abandoned(self) -> None:
        released = threading.Event()
        try:
            assert execute(lambda _: released.wait(AMPLE_S), {}, SHORT_S) == self.TOO_LATE
        finally:
            released.set()

    def test_what_an_abandoned_one_still_asks_for_is_refused(self) -> None:
        stage, released, ended = Stage(), threading.Event(), threading.Event()
        refusals: list[str] = []

        def action(info: Info) -> bool:
            released.wait(AMPLE_S)
            try:
                info["environment"].repair("wheel")
            except RuntimeError as error:
                refusals.append(str(error))
            ended.set()
            return True

        assert execute(action, {"environment": stage}, SHORT_S) == self.TOO_LATE
        released.set()
        assert ended.wait(AMPLE_S)
        assert refusals == ["the recovery was given up after 0.05 s"]
        assert stage.threads == []

    def test_a_coroutine_that_hangs_is_cancelled(self) -> None:
        ended = threading.Event()

        async def action(_: Info) -> bool:
            try:
                await asyncio.sleep(AMPLE_S)
            finally:
                ended.set()
            return True

        assert execute(action, {}, SHORT_S) == self.TOO_LATE
        assert ended.wait(AMPLE_S)

    def test_one_that_ends_with_what_the_environment_did_meanwhile_has_ended(
        self, bell: Bell
    ) -> None:
        stage = Stage(bell.ring)
        action: Callable[[Info], Any] = lambda info: info["environment"].repair("wheel")  # noqa: E731
        assert execute(action, {"environment": stage}, SHORT_S) == Outcome(True)

    def test_one_that_wants_more_of_the_environment_after_its_time_gets_no_more(
        self, bell: Bell
    ) -> None:
        stage = Stage(bell.ring)

        def action(info: Info) -> bool:
            info["environment"].repair("wheel")
            info["environment"].repair("door")
            return True

        assert execute(action, {"environment": stage}, SHORT_S) == self.TOO_LATE
        assert len(stage.threads) == 1


def test_the_error_info_of_the_caller_is_left_as_it_is() -> None:
    stage = Stage()
    info = {"environment": stage}
    execute(lambda _: True, info, AMPLE_S)
    assert info == {"environment": stage}
