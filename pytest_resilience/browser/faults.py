"""Makes the faults of the catalogue happen, for real, and undoes them.

Invariant: a fault that could not be made to happen is an error and leaves nothing behind;
whatever happened is undone by `FaultKit.undo_all`, which the end of this process calls, too.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_resilience.browser import (
    fault_graphics,
    fault_history,
    fault_network,
    fault_pages,
    fault_processes,
    fault_wire,
)
from pytest_resilience.browser.fault_applied import Applied as Applied
from pytest_resilience.browser.fault_applied import Arrange as Arrange
from pytest_resilience.browser.fault_applied import FaultError as FaultError
from pytest_resilience.browser.fault_applied import InjectedError as InjectedError
from pytest_resilience.browser.fault_simulation import simulate
from pytest_resilience.core.injection import CATALOGUE, Fault, Platform, faults

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, SessionRegistry

#: What makes each fault of the catalogue happen, by its name.
DEEDS: Mapping[str, Callable[[Applied], None]] = {
    deed.__name__: deed
    for deed in (
        fault_network.slow_network,
        fault_wire.reset_one_command,
        fault_network.go_offline,
        fault_wire.cut_driver_connection,
        fault_pages.throttle_cpu,
        fault_pages.fill_heap,
        fault_processes.limit_memory,
        fault_pages.exhaust_memory,
        fault_graphics.lose_webgl_context,
        fault_graphics.crash_gpu_process,
        fault_graphics.relaunch_without_gpu,
        fault_network.answer_503_once,
        fault_network.answer_500,
        fault_network.reset_requests,
        fault_wire.delay_commands,
        fault_network.stall_page_load,
        fault_pages.stall_script,
        fault_processes.kill_renderer,
        fault_pages.open_kill_page,
        fault_pages.crash_tab,
        fault_processes.kill_content_process,
        fault_processes.kill_browser,
        fault_pages.crash_browser,
        fault_processes.pause_renderer,
        fault_pages.occupy_page,
        fault_processes.freeze_browser,
        fault_wire.hold_commands,
        fault_processes.freeze_driver,
        fault_pages.open_hang_page,
        fault_processes.pause_driver,
        fault_processes.terminate_driver,
        fault_processes.kill_driver,
        fault_processes.pause_worker,
        fault_processes.exit_worker,
        fault_processes.kill_worker,
        fault_history.lock_history,
        fault_history.fail_application_database,
        fault_history.corrupt_history,
    )
} | dict.fromkeys(("raise_in_observer", "raise_error", "raise_in_hook"), fault_history.raise_here)


class FaultKit:
    """Makes faults happen to one session, and undoes them.

    Args:
        registry: The sessions of this process.
        session: The one to strike; None if there is no browser.
        history: The history file, None if there is none.
        arrange: Makes the application's database fail; None if nobody can.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        session: DriverSession | None = None,
        *,
        history: Path | None = None,
        arrange: Arrange | None = None,
    ) -> None:
        self._registry = registry
        self._session = session
        self._history = history
        self._arrange = arrange
        self._applied: list[Applied] = []
        self._pid = os.getpid()
        self._awaits_exit = False

    @property
    def session(self) -> DriverSession | None:
        """The session to strike: the one that its driver object has now."""
        known = self._session
        driver = known.driver if known is not None else None
        return self._registry.session_of(driver) or known if driver is not None else known

    @property
    def platform(self) -> Platform:
        """Where that session runs."""
        session = self.session
        if session is None:
            return Platform.NO_BROWSER
        return Platform.of(session.browser, remote=session.remote)

    @property
    def applied(self) -> tuple[Applied, ...]:
        """The faults that happened and are not undone yet."""
        return tuple(applied for applied in self._applied if not applied.undone)

    def names(self) -> tuple[str, ...]:
        """Return the names of the faults that the platform of the session allows."""
        return tuple(fault.name for fault in faults(self.platform))

    def apply(self, name: str, *, during: bool = False) -> Applied:
        """Make the fault `name` happen.

        Args:
            during: Whether a command of the session is under way in another thread.

        Raises:
            FaultError: It is not possible here, or did not come about; the message says why,
                and names those that are possible.
            InjectedError: That is the fault.
        """
        fault = self._fault(name)
        if during and not fault.during:
            strikes = ", ".join(f.name for f in faults(self.platform) if f.during)
            raise FaultError(
                f"{name} cannot strike while a command is under way; what can: {strikes}."
            )
        applied = Applied(
            fault, self._registry, self.session, self.platform,
            during=during, history=self._history, arrange=self._arrange,
        )  # fmt: skip
        self._await_exit()
        # Known before it happens: an interrupt may come in the middle.
        self._applied.append(applied)
        try:
            DEEDS[name](applied)
        except Exception as error:
            applied.undo()
            self._applied.remove(applied)
            if isinstance(error, FaultError | InjectedError):
                raise
            raise FaultError(f"{name}: {type(error).__name__}: {error}") from error
        return applied

    def simulate(self, name: str) -> NoReturn:
        """Raise what a test would see of the fault `name`, of any platform.

        Raises:
            FaultError: There is no such fault, or nothing to see of it.
        """
        __tracebackhide__ = True
        known = [f for f in CATALOGUE if f.name == name and f.simulation is not None]
        # Its own browser's words where it has some, else any browser's.
        known.sort(key=lambda fault: not fault.platforms & self.platform)
        simulation = known[0].simulation if known else None
        if simulation is None:
            possible = ", ".join(dict.fromkeys(f.name for f in CATALOGUE if f.simulation))
            raise FaultError(f"{name} cannot be simulated; what can: {possible}.")
        simulate(simulation, self.session)

    def undo_all(self) -> None:
        """Undo all faults, the last one first; may be called again; never raises."""
        if os.getpid() != self._pid:
            # A forked copy of this process has changed nothing.
            return
        for applied in reversed(self._applied):
            applied.undo()
        self._applied.clear()
        if self._awaits_exit:
            self._awaits_exit = False
            atexit.unregister(self.undo_all)

    def __enter__(self) -> FaultKit:
        return self

    def __exit__(self, *_error: object) -> None:
        self.undo_all()

    def _await_exit(self) -> None:
        if not self._awaits_exit:
            self._awaits_exit = True
            atexit.register(self.undo_all)

    def _fault(self, name: str) -> Fault:
        platform = self.platform
        for fault in faults(platform):
            if fault.name == name:
                return fault
        if name not in DEEDS:
            raise FaultError(f"there is no fault {name!r}; possible here: {self._possible()}.")
        where = self.session.endpoint if self.session is not None else "no browser"
        raise FaultError(
            f"{name} is not possible on {platform.label} ({where}); possible there: "
            f"{self._possible()}."
        )

    def _possible(self) -> str:
        return ", ".join(dict.fromkeys(self.names()))
