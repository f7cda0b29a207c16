"""The driver sessions of this process: which there are, who made them, what befell them.

Invariant: a session is known from the moment its driver object got it until its processes
are ended, whoever made it and wherever it is kept. This loads no selenium, psutil or urllib3.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import latch, starts
from pytest_resilience.browser.guard import TOLD, Care, Guard
from pytest_resilience.browser.starts import FailedStart as FailedStart
from pytest_resilience.browser.watch import Watch
from pytest_resilience.browser.watchdog import HANG_TIMEOUT_S
from pytest_resilience.core.evidence import ProbeResult
from pytest_resilience.core.failures import ExceptionFact

if TYPE_CHECKING:
    import subprocess

    from selenium.webdriver.remote.webdriver import WebDriver

    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.wire import Wire

_log = logging.getLogger("pytest_resilience")

#: Seconds a `quit` may take; selenium itself waits up to 10 for an open BiDi connection.
QUIT_LIMIT_S = 15.0
#: Ended sessions that are remembered, so that a failure can still be laid to them.
_ENDED_KEPT = 32

# Commands that only a living page can answer; the others also work on a crashed tab.
_PROOFS_OF_LIFE = frozenset({"get", "refresh", "findElement", "findElements", "w3cExecuteScript"})
_QUIT, _CLOSE_WINDOW, _SET_TIMEOUTS, _GET = "quit", "close", "setTimeouts", "get"
#: Commands whose answer changes more than what is in flight.
TELLING_ANSWERS = frozenset({_CLOSE_WINDOW, _SET_TIMEOUTS, _GET}) | TOLD


@dataclass(eq=False, slots=True, kw_only=True)
class DriverSession:
    """Everything known of one driver session.

    Attributes:
        session_id: As the driver named it.
        browser: Browser name in lower case, such as ``chrome``.
        browser_version: As the driver reported it, "" if it did not.
        endpoint: URL of the driver or grid.
        remote: True if no local driver process serves it.
        wire: The way to the endpoint, apart from the user's own connection.
        requested: Capabilities as they were requested; None if nobody saw the request.
        capabilities: Capabilities as they were granted.
        driver_process: Identity of the local driver, None if `remote`.
        browser_process: Identity of the browser, None if it is not ours or unknown.
        child: The driver process as our child, to take its exit status.
        launch: How the local driver was started, None if `remote`.
        leads_group: True if everything the driver starts is in a process group of its own.
        shares_driver: True if the driver process outlives the session by the user's wish.
        relatives: Processes seen in the driver's tree so far.
        gpu: Identity of its graphics process as seen last, None if it was not looked for.
        profile_dir: The browser's profile directory, None if unknown.
        profile_is_ours: True if the driver made that directory and it may be deleted.
        socket_dir: Where a Chromium keeps its socket, which its driver leaves behind, or None.
        owner: Whatever the creation callback stored: the fixture that holds the session.
        created_mark: Commands of the registry before this session was created.
        last_mark: Commands of the registry up to this session's last one.
        last_command: Name of the last command, "" before the first.
        in_flight: Name of the command that runs now, "" if none.
        in_flight_since: Monotonic seconds at which it was sent.
        commands: Number of commands so far.
        first_failure: Since which one it did not work; forgotten when the page answers again.
        asked_for: The address it was told to load last, "" if none.
        reached: Origins that answered any session of the registry so far.
        oom_kills: Processes killed for lack of memory before it, by where they are counted.
        timeouts: Timeouts set so far, in milliseconds, as they were sent.
        care: What the guard knows of its commands and connections.
        closed: True if it was ended, by the test or by us.
        closed_by_test: True if the test quit it, or closed its last window or its browser.
        discarded: True if we ended it.
        quitting: True while a `quit` runs.
        first_quit: True if the latest `quit` was sent to a session nobody had ended.
        reaped: True if nothing is left of it that is ours to end.
    """

    session_id: str
    browser: str
    browser_version: str
    endpoint: str
    remote: bool
    wire: Wire = field(repr=False)
    requested: dict[str, Any] | None = field(repr=False)
    capabilities: dict[str, Any] = field(repr=False)
    driver_process: ProcessId | None = None
    browser_process: ProcessId | None = None
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    launch: starts.Launch | None = field(default=None, repr=False)
    leads_group: bool = False
    shares_driver: bool = False
    relatives: frozenset[ProcessId] = field(default=frozenset(), repr=False)
    gpu: ProcessId | None = None
    profile_dir: str | None = None
    profile_is_ours: bool = False
    socket_dir: str | None = None
    owner: Any = None
    created_mark: int = 0
    last_mark: int = 0
    last_command: str = ""
    in_flight: str = ""
    in_flight_since: float = 0.0
    commands: int = 0
    first_failure: ExceptionFact | None = None
    asked_for: str = ""
    reached: set[str] = field(default_factory=set, repr=False)
    oom_kills: dict[str, int] = field(default_factory=dict, repr=False)
    timeouts: dict[str, Any] = field(default_factory=dict)
    care: Care = field(default_factory=Care, repr=False)
    closed: bool = False
    closed_by_test: bool = False
    discarded: bool = False
    quitting: bool = False
    first_quit: bool = False
    reaped: bool = False
    reference: Callable[[], Any] = field(default=lambda: None, repr=False)

    @property
    def driver(self) -> WebDriver | None:
        """The driver object, None if it was garbage collected."""
        driver: WebDriver | None = self.reference()
        return driver

    @property
    def driver_pid(self) -> int | None:
        """Pid of the local driver process."""
        return self.driver_process.pid if self.driver_process is not None else None

    @property
    def driver_created(self) -> float | None:
        """Creation time of the local driver process, seconds since the epoch."""
        return self.driver_process.created if self.driver_process is not None else None

    @property
    def browser_pid(self) -> int | None:
        """Pid of the browser's main process."""
        return self.browser_process.pid if self.browser_process is not None else None

    @property
    def hang_evidence(self) -> tuple[ProbeResult, ...]:
        """What was found out while its last hanging command hung; () once it works again."""
        hang = self.care.hang if self.first_failure is not None else None
        return tuple(hang.evidence) if hang is not None else ()

    @property
    def adjustments(self) -> list[str]:
        """What was changed about its connections, in words."""
        return self.care.line.adjustments if self.care.line is not None else []

    def begin(self, command: str, mark: int, now: float) -> None:
        """Note that `command` is sent now."""
        self.commands += 1
        self.last_mark = mark
        self.in_flight_since = now
        self.last_command = self.in_flight = command
        if command == _QUIT:
            self.first_quit = not (self.closed or self.closed_by_test)
            self.closed_by_test = self.closed_by_test or not self.closed
            self.closed = True

    def answered(self, command: str, parameters: dict[str, Any], response: Any) -> None:
        """Note that `command` was answered well.

        Need not be called, if nothing failed before and it is not in `TELLING_ANSWERS`.
        """
        if self.first_failure is not None and command in _PROOFS_OF_LIFE:
            self.first_failure = self.care.hang = None
        self.care.answered(self, command, parameters)
        if command == _GET:
            from pytest_resilience.browser.target import origin

            self.reached.add(origin(parameters.get("url")))
            self.care.furnished |= bool(self.owner and self.owner.is_being_set_up())
        elif command == _SET_TIMEOUTS:
            self.timeouts.update(parameters)
            self.care.nest(self)
        elif command == _CLOSE_WINDOW and isinstance(response, dict):
            # The answer lists the windows that are left.
            self.closed_by_test = response.get("value") == []

    def failed(self, error: BaseException) -> None:
        """Note that the command in flight raised `error`."""
        # The first `quit` that finds nothing to end shows that the session had been lost.
        found_lost = self.first_quit and self.last_command == _QUIT
        usable = found_lost or not (self.closed or self.closed_by_test)
        if self.first_failure is None and usable:
            fact = latch.fact_of(error)
            if latch.is_worth_keeping(fact):
                self.first_failure = fact
                self.closed_by_test = self.closed_by_test and not found_lost


class SessionRegistry:
    """All driver sessions of this process, from `watch` on.

    Args:
        on_created: Called with each new session, as soon as it is known; may set `owner`.
        monotonic: Clock for `in_flight_since`, seconds.
        quit_limit_s: Seconds a `quit` may take before its processes are killed.
        hang_timeout_s: Seconds a command gets before it is looked after, which ends it if
            something it needs is stopped, silent or gone; None for never.
        nest_timeouts: Whether a client that would wait for ever gets a time-out, longer
            than those of its driver.
        repeat_requests: Whether urllib3 may repeat a lost GET or DELETE three times.
    """

    def __init__(
        self,
        on_created: Callable[[DriverSession], None] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        quit_limit_s: float = QUIT_LIMIT_S,
        hang_timeout_s: float | None = HANG_TIMEOUT_S,
        nest_timeouts: bool = True,
        repeat_requests: bool = False,
    ) -> None:
        self.on_created = on_created
        self.monotonic = monotonic
        self.quit_limit_s = quit_limit_s
        self._mark = 0
        self._pid = os.getpid()
        #: Sessions by the `id` of their driver object, while that exists.
        self.by_driver: dict[int, DriverSession] = {}
        self._sessions: list[DriverSession] = []
        self._ended: deque[DriverSession] = deque(maxlen=_ENDED_KEPT)
        self._failed_starts: deque[FailedStart] = deque(maxlen=_ENDED_KEPT)
        self._reached: set[str] = set()
        self._watch = Watch(self)
        #: Looks after the commands in flight.
        self.guard = Guard(
            self.living,
            monotonic=monotonic,
            hang_timeout_s=hang_timeout_s,
            nest_timeouts=nest_timeouts,
            repeat_requests=repeat_requests,
        )

    def watch(self) -> None:
        """Begin to observe driver sessions; selenium need not be imported yet."""
        self._watch.begin()

    def unwatch(self) -> None:
        """Stop observing and leave selenium as it was; may be called twice."""
        self._watch.end()
        self.guard.release()

    def next_mark(self) -> int:
        """Count one command; return how many there were with it."""
        self._mark += 1
        return self._mark

    def session_of(self, driver: object) -> DriverSession | None:
        """Return the session that `driver` has or had last."""
        return self.by_driver.get(id(driver))

    def opened(self, driver: WebDriver, requested: dict[str, Any] | None) -> DriverSession | None:
        """Take in the session that `driver` has just got, None if it cannot be understood."""
        try:
            from pytest_resilience.browser import discovery

            session = discovery.describe(driver, requested)
        except Exception:  # noqa: BLE001 - observing must not harm the test
            _log.warning("a driver session could not be observed", exc_info=True)
            return None
        session.reached = self._reached
        session.launch = starts.Launch.of(getattr(driver, "service", None))
        session.created_mark, session.last_mark = self._mark, self.next_mark()
        self._remember(driver, session)
        self.guard.opened(driver, session)
        if self.on_created is not None:
            try:
                self.on_created(session)
            except Exception:  # noqa: BLE001 - observing must not harm the test
                _log.warning("the owner of a driver session could not be noted", exc_info=True)
        return session

    def start_failed(self, failed: FailedStart) -> None:
        """Take in a session that could not be started, and end what it left."""
        self._failed_starts.append(failed)
        from pytest_resilience.browser import endings

        endings.clear_failed_start(failed)

    def _remember(self, driver: WebDriver, session: DriverSession) -> None:
        key, by_driver = id(driver), self.by_driver

        def collected(_reference: object) -> None:
            # The id may be another driver's by now only after this was called.
            if by_driver.get(key) is session:
                del by_driver[key]

        session.reference = weakref.ref(driver, collected)
        by_driver[key] = session
        self._sessions.append(session)

    def mark(self) -> int:
        """Return how many commands all sessions have had so far."""
        return self._mark

    def living(self) -> list[DriverSession]:
        """Return the sessions that nobody has ended and somebody can use."""
        return [s for s in self._sessions if not s.closed and s.driver is not None]

    def used_since(self, mark: int) -> list[DriverSession]:
        """Return the sessions that had a command after `mark`, ended ones included."""
        return [s for s in (*self._sessions, *self._ended) if s.last_mark > mark]

    def failed_starts_since(self, mark: int) -> list[FailedStart]:
        """Return the sessions that could not be started after `mark`."""
        return [failed for failed in self._failed_starts if failed.mark > mark]

    def forget(self, session: DriverSession) -> None:
        """Drop every trace of `session`; its processes are not touched."""
        session.care.view.close()
        for kept in (self._sessions, self._ended):
            with contextlib.suppress(ValueError):
                kept.remove(session)
        for key, known in list(self.by_driver.items()):
            if known is session:
                del self.by_driver[key]

    def settle(self, session: DriverSession) -> None:
        """Move a session of which nothing is left to those that are only remembered."""
        if session.reaped and session in self._sessions:
            self._sessions.remove(session)
            self._ended.append(session)
            self.guard.left(session)

    def discard(self, session: DriverSession) -> None:
        """End `session` at once, whatever state it is in; never raises.

        Local: its process tree is killed and its temporary profile removed. Remote: the
        grid is asked, for a few seconds, to free the slot.
        """
        from pytest_resilience.browser import endings

        endings.discard(session)
        self.settle(session)

    def rebirth(self, session: DriverSession) -> DriverSession | None:
        """Give the driver object of `session` a new browser, keeping its identity.

        Returns None if no new session could be started, which is then found in
        `failed_starts_since`, or if the driver object or its request is not known any more.
        """
        from pytest_resilience.browser import rebirth

        driver = session.driver
        if driver is None or session.requested is None:
            return None
        self.discard(session)
        try:
            rebirth.start_again(driver, session)
        except Exception:  # noqa: BLE001 - observing must not harm the test
            _log.info("no new session for an old driver object", exc_info=True)
            return None
        reborn = self.session_of(driver)
        if reborn is None or reborn is session:
            return None
        reborn.owner = reborn.owner or session.owner
        return reborn

    def reap_failed_starts(self) -> None:
        """End what sessions left that could not be started."""
        for failed in self._failed_starts:
            from pytest_resilience.browser import endings

            endings.clear_failed_start(failed)

    def reap_all(self, *, unused: bool = False) -> list[DriverSession]:
        """Discard every session that still lives or is half dead; return those that did.

        With `unused` only those that nobody can use any more; never sessions that were taken
        over and have no local process. A forked copy of this process ends nothing.
        """
        if os.getpid() != self._pid:
            return []
        self.reap_failed_starts()
        used = self.living() if unused else []
        left = [s for s in self._sessions if (s.requested or not s.remote) and s not in used]
        for session in left:
            self.discard(session)
        return left
