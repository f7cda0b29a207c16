"""When commands are looked at, and which are ended: with a clock and evidence of our own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_resilience.browser import hangs
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.watchdog import HANG_TIMEOUT_S, Watchdog
from pytest_resilience.config import Settings
from pytest_resilience.core.evidence import Evidence, ProbeResult

STOPPED = Evidence([ProbeResult("browser_process", "stopped", "pid 1")])
SILENT = Evidence([ProbeResult("driver_status", "silent")])
HEALTHY = Evidence([ProbeResult("browser_process", "alive"), ProbeResult("driver_status", "ok")])
TIMEOUT_S = 8.0
Eventually = Callable[..., bool]


class Line:
    """Stands for the connections of a session."""

    def __init__(self, open_connections: int = 1) -> None:
        self.cuts = 0
        self.on_cut: Callable[[], object] = lambda: None
        self.adjustments: list[str] = []
        self._open = open_connections

    def cut(self) -> int:
        self.cuts += 1
        self.on_cut()
        return self._open


def session() -> DriverSession:
    made = DriverSession(
        session_id="1",
        browser="chrome",
        browser_version="",
        endpoint="http://there",
        remote=False,
        wire=None,  # type: ignore[arg-type]
        requested=None,
        capabilities={},
    )
    made.care.line = Line()  # type: ignore[assignment]
    return made


class World:
    """A clock, sessions and what is found out about them, and a watchdog amid them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sessions = [session()]
        self.evidence = STOPPED
        self.looks: list[float] = []
        self.dog = Watchdog(
            lambda: self.sessions, monotonic=lambda: self.now, hang_timeout_s=TIMEOUT_S
        )

    @property
    def session(self) -> DriverSession:
        return self.sessions[0]

    @property
    def cuts(self) -> int:
        line: Any = self.session.care.line
        return int(line.cuts)

    @property
    def first_cut_s(self) -> float:
        """Seconds from the last command to the first time it was cut."""
        return self._cut_at[0] - self._sent_at

    def examine(self, _session: DriverSession) -> Evidence:
        self.looks.append(self.now - 100)
        return self.evidence

    def send(self, command: str = "get") -> None:
        self._sent_at, self._cut_at = self.now, list[float]()
        line: Any = self.session.care.line
        if line is not None:
            line.on_cut = lambda: self._cut_at.append(self.now)
        self.session.begin(command, 0, self.now)

    def live(self, seconds: float) -> None:
        """Let time pass as the thread does: from one look to the next."""
        end, sleepless = self.now + seconds, 0
        while (pause := self.dog.look()) is not None and self.now + pause <= end:
            sleepless = 0 if pause > 0 else sleepless + 1
            assert sleepless < 3, "the thread would not sleep"
            self.now += pause
        self.now = end


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(hangs, "examine", world.examine)
    return world


def test_a_command_on_a_stopped_browser_is_ended(world: World) -> None:
    """After its deadline and a second look, with what was seen kept."""
    world.send()
    world.live(TIMEOUT_S + 0.5)
    assert (world.looks, world.cuts) == ([TIMEOUT_S], 0)
    world.live(1.0)
    assert (world.looks, world.cuts) == ([TIMEOUT_S, TIMEOUT_S + 1], 1)
    hang = world.session.care.hang
    assert hang is not None
    assert (hang.command, hang.seconds) == ("get", TIMEOUT_S + 1)
    assert tuple(hang.evidence) == tuple(STOPPED)
    error = world.session.care.explained(world.session, OSError("cut"))
    assert isinstance(error, hangs.CommandHung)
    assert (
        error.msg == "get: ended after 9.0 s: the browser process (pid 1) is stopped [hung-command]"
    )


@pytest.mark.parametrize("idle_s", [0.0, 0.5, 4.0, 7.9])
def test_by_default_a_command_that_hangs_is_ended_within_fifteen_seconds(
    idle_s: float, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all that can be asked stays silent for as long as is waited for an answer."""

    def examine(_session: DriverSession) -> Evidence:
        world.now += hangs.ANSWER_LIMIT_S
        return SILENT

    monkeypatch.setattr(hangs, "examine", examine)
    assert Settings().hang_timeout == HANG_TIMEOUT_S
    world.dog = Watchdog(lambda: world.sessions, monotonic=lambda: world.now)
    world.live(idle_s)
    world.send()
    world.live(30)
    hang = world.session.care.hang
    assert hang is not None
    assert HANG_TIMEOUT_S < world.first_cut_s <= 15.0


def test_nobody_looks_before_the_deadline(world: World) -> None:
    """Neither at an idle session nor at commands that are answered in time."""
    for _ in range(20):
        world.send()
        world.live(TIMEOUT_S - 0.1)
        world.session.in_flight = ""
        world.live(0.2)
    assert world.looks == []


def test_a_slow_page_is_left_alone(world: World) -> None:
    """For as long as it likes, and it is looked at again and again, ever less often."""
    world.evidence = HEALTHY
    world.send()
    world.live(400)
    assert world.cuts == 0
    pauses = [b - a for a, b in zip(world.looks, world.looks[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert 5 < len(world.looks) < 50


def test_what_stops_while_a_page_is_slow_is_noticed(world: World) -> None:
    world.evidence = HEALTHY
    world.send()
    world.live(100)
    world.evidence = STOPPED
    world.live(TIMEOUT_S + 4)
    assert world.cuts >= 1


def test_a_short_stop_is_left_alone(world: World) -> None:
    """Two looks in a row must blame the same."""
    world.send()
    for evidence in (STOPPED, HEALTHY, SILENT, STOPPED, HEALTHY):
        world.evidence = evidence
        before = len(world.looks)
        while len(world.looks) == before:
            world.live(0.5)
    assert world.cuts == 0


def test_a_command_that_ends_while_it_is_looked_at_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send()
    world.live(TIMEOUT_S + 0.5)

    def examine(_session: DriverSession) -> Evidence:
        world.send("getTitle")
        return STOPPED

    monkeypatch.setattr(hangs, "examine", examine)
    world.live(1)
    assert (world.cuts, world.session.care.hang) == (0, None)


def test_the_next_command_has_its_own_deadline(world: World) -> None:
    """What was thought of the one before it is forgotten."""
    world.send()
    world.live(TIMEOUT_S + 0.5)
    world.send("getTitle")
    world.live(TIMEOUT_S - 0.5)
    assert world.looks == [TIMEOUT_S]
    world.live(1.0)
    assert (len(world.looks), world.cuts) == (2, 0)


def test_in_a_session_that_hung_the_next_command_is_ended_soon(world: World) -> None:
    """Teardowns send several; the whole deadline for each would take minutes."""
    world.session.timeouts["pageLoad"] = 60_000
    world.send()
    world.live(62)
    assert world.cuts == 1
    world.session.in_flight = ""
    world.live(30)
    world.send("getTitle")
    world.live(3)
    assert world.cuts >= 2
    world.session.failed(hangs.CommandHung(world.session.care.hang))  # type: ignore[arg-type]
    assert world.session.hang_evidence == tuple(STOPPED)
    world.send("get")
    world.session.answered("get", {"url": "about:blank"}, {})
    assert world.session.hang_evidence == ()


def test_the_users_time_outs_and_slow_predecessors_are_waited_for(world: World) -> None:
    world.session.care.requested_timeouts = {"pageLoad": 20_000}
    world.session.timeouts["script"] = 40_000
    world.session.care.took("getTitle", 4.0, 4.0)
    looked = []
    for command in ("get", "w3cExecuteScript", "getTitle", "findElement"):
        world.now, world.looks[:] = 100.0, []
        world.send(command)
        world.live(40.5)
        looked.append(world.looks[0])
        world.session.in_flight, world.session.care.hang = "", None
    assert looked == [20, 40, 12, 8]


def test_a_command_that_does_not_end_is_cut_again(world: World) -> None:
    world.send()
    world.live(TIMEOUT_S + 20)
    assert world.cuts > 2


def test_what_cannot_be_cut_ends_with_its_processes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a local session; those of a grid are not ours."""
    ended: list[Any] = []
    monkeypatch.setattr("pytest_resilience.browser.endings.end_processes", ended.append)
    world.session.care.line = None
    world.send()
    world.live(TIMEOUT_S + 1.5)
    assert ended == [world.session]


@pytest.mark.parametrize("state", ["quitting", "idle"])
def test_there_is_nothing_to_look_at_in_a_session_that_is(world: World, state: str) -> None:
    if state == "quitting":
        world.send()
        world.session.quitting = True
    world.live(100)
    assert world.looks == []


def test_without_a_session_there_is_nothing_to_do(world: World) -> None:
    world.sessions.clear()
    assert world.dog.look() is None


def watchdogs() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "resilience-watchdog" and t.is_alive()]


@pytest.fixture
def alone(eventually: Eventually) -> Iterator[None]:
    """Other tests may have left a thread that is about to end."""
    assert eventually(lambda: watchdogs() == [])
    yield
    assert eventually(lambda: watchdogs() == [])


@pytest.mark.usefixtures("alone")
def test_a_thread_runs_while_there_are_sessions(eventually: Eventually) -> None:
    """One, however many there are; it ends with the last of them, and may come again."""
    sessions = [session(), session()]
    dog = Watchdog(lambda: sessions, monotonic=time.monotonic, hang_timeout_s=0.1)
    assert watchdogs() == []
    for _ in range(2):
        sessions[:] = [session(), session()]
        dog.attend()
        dog.attend()
        assert len(watchdogs()) == 1
        assert all(thread.daemon for thread in watchdogs())
        sessions.clear()
        assert eventually(lambda: watchdogs() == [])
    dog.stop()


@pytest.mark.usefixtures("alone")
def test_the_thread_can_be_stopped() -> None:
    dog = Watchdog(lambda: [session()], monotonic=time.monotonic, hang_timeout_s=60)
    dog.attend()
    dog.stop()
    dog.stop()


@pytest.mark.usefixtures("alone")
def test_a_hang_is_found_by_the_thread(
    world: World, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("pytest_resilience.browser.watchdog.CONFIRM_S", 0.05)
    dog = Watchdog(lambda: world.sessions, monotonic=time.monotonic, hang_timeout_s=0.1)
    dog.attend()
    world.session.begin("get", 0, time.monotonic())
    assert eventually(lambda: world.cuts > 0)
    dog.stop()


@pytest.mark.usefixtures("alone")
def test_a_fault_of_ours_does_not_end_the_thread(
    world: World, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    faults: list[int] = []

    def examine(_session: DriverSession) -> Evidence:
        faults.append(1)
        raise RuntimeError("of our own making")

    monkeypatch.setattr(hangs, "examine", examine)
    dog = Watchdog(lambda: world.sessions, monotonic=time.monotonic, hang_timeout_s=0.05)
    world.session.begin("get", 0, time.monotonic())
    dog.attend()
    assert eventually(lambda: len(faults) > 2)
    assert world.cuts == 0
    dog.stop()


@pytest.mark.usefixtures("alone")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing to fork with on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_looks_after_nothing() -> None:
    """It has its parent's connections: to cut one would end the parent's command."""
    dog = Watchdog(lambda: [session()], monotonic=time.monotonic, hang_timeout_s=60)
    dog.attend()
    child = os.fork()
    if child == 0:
        dog.attend()
        dog.stop()
        os._exit(len(watchdogs()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(watchdogs()) == 1
    dog.stop()


def test_a_way_to_a_browser_that_is_opened_when_all_is_over_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends it does not wait for that, and nobody else would close it."""
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Way:
        def close(self) -> None:
            closed.set()

    def listen(session: DriverSession) -> frozenset[str]:
        begun.set()
        assert go_on.wait(60)
        way: Any = Way()
        session.care.tunnel = way
        return frozenset()

    monkeypatch.setattr(hangs, "listen", listen)
    world.dog.attend()
    assert begun.wait(60)
    world.dog.stop()
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(60)
