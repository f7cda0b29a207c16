"""Looks after the commands of sessions: their connections, their time-outs, their hangs.

Invariant: nothing here raises, and what it does to selenium's connections is undone by
`release`. Importing this module loads neither selenium nor psutil nor urllib3.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_resilience.browser import deadlines, own_acts
from pytest_resilience.browser.client import Line, Lines
from pytest_resilience.browser.view import MOVES, SAID, View
from pytest_resilience.browser.watchdog import Hang, Watchdog
from pytest_resilience.core.evidence import ALIVE
from pytest_resilience.core.provenance import is_of_stack, is_stamped

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from pytest_resilience.browser.endpoints import Endpoints
    from pytest_resilience.browser.nodes import Nodes
    from pytest_resilience.browser.resend import Resent
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.tunnel import Tunnel

_log = logging.getLogger("pytest_resilience")

#: Seconds from which on a command is slow enough to be remembered for the next deadline.
SLOW_S = 1.0
#: How a client says that it has waited in vain, and how long.
_WAITED = re.compile(r"read timeout=(\d+(?:\.\d+)?)\)")
#: In what a driver says of a DevTools command that the browser refuses.
_REFUSED = "inspector error"
#: Share of that time which has passed then, whatever the clocks.
_ALL_OF_IT = 0.9
#: Commands of whose answer `Care` is to be told.
TOLD = MOVES | own_acts.ACTS


@dataclass(eq=False, slots=True)
class Care:
    """What is known of the commands and connections of one session.

    Attributes:
        line: Its connections, None if they are not selenium's usual ones.
        tunnel: A way to a browser behind a grid, None if there is none.
        view: The way to the page of a local Chromium.
        requested_timeouts: Time-outs its request asked for, milliseconds.
        last_error: Number of the last command that raised, and the class of what it raised.
        broken_off: Number of the last command that something else than the driver has ended here;
            the driver may be at it still.
        slowest: The longest each command has taken that ever was slow, seconds.
        slow_until: Monotonic seconds at which the last slow one was answered.
        furnished: Whether the fixture that made the session has also opened a page for its tests.
        network: What the test has made of the network of the browser: ``cut``, ``slowed``, or "";
            also where it has given it back, until a page is loaded by that.
        given_back: Whether it has given it back.
        closing: Whether the command in flight closes the browser, which lived until then.
        hang: The last command that was ended, None if there was none or the session has
            worked since.
        patience: What the time-outs for pages and scripts are multiplied by at the moment.
    """

    line: Line | None = None
    tunnel: Tunnel | None = None
    view: View = field(default_factory=View)
    requested_timeouts: dict[str, Any] = field(default_factory=dict)
    last_error: tuple[int, str] = (0, "")
    broken_off: int = -1
    slowest: dict[str, float] = field(default_factory=dict)
    slow_until: float = 0.0
    furnished: bool = False
    network: str = ""
    given_back: bool = False
    closing: bool = False
    hang: Hang | None = None
    patience: float = 1.0

    def own_timeouts(self, session: DriverSession) -> dict[str, Any]:
        """Return the time-outs as the user has set them for the driver, milliseconds."""
        return {**self.requested_timeouts, **session.timeouts}

    def user_timeouts(self, session: DriverSession) -> dict[str, Any]:
        """Return those time-outs as they are in force, milliseconds."""
        if self.patience == 1.0:
            return self.own_timeouts(session)
        from pytest_resilience.browser.patience import stretched

        return stretched(self.own_timeouts(session), self.patience)

    def nest(self, session: DriverSession) -> None:
        """Fit the client's time-out to those of the driver, which have changed."""
        granted = session.capabilities.get("timeouts")
        if self.line is not None:
            self.line.nest(
                self.user_timeouts(session), granted if isinstance(granted, dict) else {}
            )

    def took(self, command: str, seconds: float, until: float) -> None:
        """Note that `command` took `seconds`, which is slow, up to monotonic `until`."""
        self.slow_until = until
        if seconds > self.slowest.get(command, 0.0):
            self.slowest[command] = seconds

    def closes(self, session: DriverSession) -> None:
        """Note that the command about to be sent closes the browser; a dead one it does not."""
        from pytest_resilience.browser import processes

        browser = session.browser_process
        self.closing = browser is None or processes.state(browser) == ALIVE

    def answered(self, session: DriverSession, command: str, parameters: Mapping[str, Any]) -> None:
        """Note that `command` was answered well; of `TOLD`, all have to be told."""
        self.view.moved(command, parameters)
        if self.closing:
            self.closing, session.closed_by_test = False, True
        network = own_acts.network(command, parameters)
        if network is not None:
            self.given_back = not network
            self.network = network or self.network
        elif self.given_back and command in own_acts.LOADS:
            self.given_back, self.network = False, ""

    def raised(self, session: DriverSession, error: BaseException) -> bool:
        """Note that the command in flight raised `error`; return False if that broke it off."""
        self.last_error = session.commands, type(error).__name__
        self.view.raised(session, error)
        own = is_of_stack(error) and not _came_early(session, error)
        if self.closing:
            # It may be gone before it has answered; or it was told wrongly, and lives.
            self.closing = False
            refused = own and (type(error).__name__ in SAID or _REFUSED in str(error))
            session.closed_by_test |= not refused
        if not own:
            self.broken_off = session.commands
        return own

    def is_busy(self, session: DriverSession) -> bool:
        """Return whether the driver is at a command, so that it could not answer."""
        return bool(session.in_flight) or self.broken_off == session.commands

    def is_severed(self, session: DriverSession) -> bool:
        """Return whether the command in flight was ended."""
        return self.hang is not None and self.hang.number == session.commands

    def explained(self, session: DriverSession, error: Exception) -> Exception:
        """Return the reason why a command raised `error`: that it was ended, or `error`."""
        if self.hang is None or self.hang.number != session.commands:
            return error
        from pytest_resilience.browser import hangs

        return hangs.CommandHung(self.hang)


class Turnstile(Protocol):
    """Lets sessions in one by one."""

    def enter(self) -> Any:
        """Return the turn of a session about to be asked for; may wait, or refuse by raising."""

    def entered(self, turn: Any, session: DriverSession | None) -> None:
        """The session with `turn` was started; None if it could not be."""

    def left(self, session: DriverSession) -> None:
        """Nothing is left of `session`."""


class Guard:
    """Guards the sessions that `living` returns, and those being started.

    Args:
        living: Returns the sessions that are in use.
        monotonic: Clock, seconds.
        hang_timeout_s: See `SessionRegistry`.
        nest_timeouts: See `SessionRegistry`.
        repeat_requests: See `SessionRegistry`.
    """

    def __init__(
        self,
        living: Callable[[], Iterable[DriverSession]],
        *,
        monotonic: Callable[[], float],
        hang_timeout_s: float | None,
        nest_timeouts: bool,
        repeat_requests: bool,
    ) -> None:
        #: What the time-outs for pages and scripts of new sessions are multiplied by.
        self.patience = 1.0
        #: The grids that may stand in for each other, None if there is no choice.
        self.endpoints: Endpoints | None = None
        #: The nodes of grids that are avoided, None as long as there are none.
        self.nodes: Nodes | None = None
        #: Called with each session about to be asked for; raises `CircuitOpenError` if it must
        #: not be.
        self.may_start: Callable[[DriverSession | None], object] = _anything
        #: Lets sessions in, None where any number may be started.
        self.turnstile: Turnstile | None = None
        #: Called with each command that was lost and sent again.
        self.on_resent: Callable[[Resent], object] | None = None
        self._living = living
        self._monotonic = monotonic
        self._starting: list[DriverSession] = []
        self._lines = Lines(repeats=repeat_requests, nests=nest_timeouts)
        self._watchdog: Watchdog | None = None
        if hang_timeout_s is not None:
            self._watchdog = Watchdog(
                lambda: [*self._starting, *living()],
                monotonic=monotonic,
                hang_timeout_s=hang_timeout_s,
            )

    def starting(self, driver: WebDriver, requested: Any) -> DriverSession | None:
        """Look after the request for a new session; None if that cannot be done."""
        try:
            from pytest_resilience.browser import discovery

            if self.endpoints is not None:
                self.endpoints.direct(driver, discovery.endpoint_of(driver))
            session = discovery.anticipate(driver, requested)
            self._take_over(driver, session)
            session.begin("newSession", 0, self._monotonic())
            self._starting.append(session)
            self._attend()
        except Exception:  # noqa: BLE001 - observing must not harm the test
            _log.warning("the start of a session cannot be looked after", exc_info=True)
            return None
        return session

    def completed(self, awaited: DriverSession | None, capabilities: Any) -> Any:
        """Return the `capabilities` to ask for, which may avoid a node of a grid."""
        if awaited is None or self.nodes is None or not isinstance(capabilities, Mapping):
            return capabilities
        try:
            added = self.nodes.addition(awaited)
        except Exception:  # noqa: BLE001 - choosing must not harm the test
            _log.warning("no node can be chosen for a session", exc_info=True)
            return capabilities
        return {**capabilities, **added} if added else capabilities

    def started(self, session: DriverSession | None) -> None:
        """The request for `session` has ended, well or not."""
        if session in self._starting:
            self._starting.remove(session)

    def opened(self, driver: WebDriver, session: DriverSession) -> None:
        """Look after a session that `driver` has got."""
        try:
            session.care.requested_timeouts = deadlines.requested_timeouts(session.requested)
            self._take_over(driver, session)
            session.care.nest(session)
            if self.patience != 1.0:
                from pytest_resilience.browser import patience

                patience.stretch(session, self.patience)
            self._attend()
        except Exception:  # noqa: BLE001 - observing must not harm the test
            _log.warning("a driver session cannot be looked after", exc_info=True)

    def left(self, session: DriverSession) -> None:
        """Nothing is left of `session`."""
        session.care.view.close()
        if self.turnstile is not None:
            self.turnstile.left(session)

    def release(self) -> None:
        """Look after nothing any more."""
        if self._watchdog is not None:
            self._watchdog.stop()
        self._lines.release()
        for session in self._living():
            session.care.view.close()

    def _take_over(self, driver: WebDriver, session: DriverSession) -> None:
        from pytest_resilience.browser.resend import Resender

        line = self._lines.of(driver.command_executor)
        line.resender = Resender(session, self._hear)
        line.severed_if(lambda: session.care.is_severed(session))
        session.care.line = line

    def _hear(self, resent: Resent) -> None:
        if self.on_resent is not None:
            self.on_resent(resent)

    def _attend(self) -> None:
        if self._watchdog is not None:
            self._watchdog.attend()


def _came_early(session: DriverSession, error: BaseException) -> bool:
    """Return whether a client that says it has waited in vain was not given the time for it.

    A time limit that a test sets with a signal raises what a socket does that waits too long.
    """
    if is_stamped(error) or not str(type(error).__module__).startswith("urllib3."):
        return False
    waited = _WAITED.search(str(error))
    if waited is None:
        return False
    return time.monotonic() - session.in_flight_since < _ALL_OF_IT * float(waited[1])


def _anything(_session: DriverSession | None) -> None:
    """Where there are no circuits, any session may be asked for."""
