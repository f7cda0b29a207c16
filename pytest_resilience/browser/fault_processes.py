"""Faults that strike processes: killed, stopped, short of memory.

Invariant: only processes that a session is known to have are struck, or this very one; what
is stopped goes on when the fault is undone, and also when this process ends, however it does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psutil

from pytest_resilience.browser import processes
from pytest_resilience.browser.fault_applied import Applied, FaultError, until
from pytest_resilience.browser.fault_devtools import Pages
from pytest_resilience.browser.fault_pages import CRASH_LIMIT_S, crash_when
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.core.evidence import LIFELESS, STOPPED

#: Seconds a process gets to end, or to stop.
STATE_LIMIT_S = 10.0
#: Seconds a process gets to be stopped, or to go on.
_SIGNAL_LIMIT_S = 2.0
#: Bytes of data that a process may have; any process has more.
_MEMORY_LIMIT = 1 << 20
#: Exit status of a worker that ends at once.
_EXIT_STATUS = 70

_WANT = (
    "void setTimeout(() => {const more = [];"
    " for (let i = 0; i < 64; i++) more.push(new Uint8Array(4194304).fill(1))}, 0)"
)


def kill_renderer(applied: Applied) -> None:
    """Kill the processes that render the pages."""
    _end(applied, _renderers(applied), signal.SIGKILL)


def kill_content_process(applied: Applied) -> None:
    """Kill the processes that show the pages of a Firefox, which ends with them."""
    browser = _browser(applied)
    _end(applied, _renderers(applied), signal.SIGKILL)
    until(lambda: processes.state(browser) in LIFELESS, within_s=STATE_LIMIT_S)
    applied.look(lambda: {"browser": processes.state(browser)})


def kill_browser(applied: Applied) -> None:
    """Kill the browser."""
    _end(applied, [_browser(applied)], signal.SIGKILL)


def kill_driver(applied: Applied) -> None:
    """Kill the driver, and leave its browser behind."""
    _end(applied, [_driver(applied)], signal.SIGKILL)


def terminate_driver(applied: Applied) -> None:
    """Tell the driver to end."""
    _end(applied, [_driver(applied)], signal.SIGTERM)


def freeze_browser(applied: Applied) -> None:
    """Stop the browser."""
    _stop(applied, [_browser(applied)])


def freeze_driver(applied: Applied) -> None:
    """Stop the driver."""
    _stop(applied, [_driver(applied)])


def pause_renderer(applied: Applied) -> None:
    """Stop the processes that show the pages for a while."""
    _pause(applied, _renderers(applied))


def pause_driver(applied: Applied) -> None:
    """Stop the driver for a while."""
    _pause(applied, [_driver(applied)])


def limit_memory(applied: Applied) -> None:
    """Let the processes that render the pages get no more memory, and one of them want some."""
    victims = _renderers(applied)
    applied.look(lambda: _states(victims))
    lifts: list[Callable[[], None]] = []

    def starve(pages: Pages, page: str) -> None:
        # Not before the connection is there: a page could die of being asked anything.
        lifts.extend(_limit_memory(applied, victim) for victim in victims)
        pages.talk.tell("Runtime.evaluate", {"expression": _WANT}, sessionId=page)

    crashed = crash_when(applied.session, starve, limit_s=CRASH_LIMIT_S)
    if crashed:
        # The processes of other tabs, and the one in reserve, are spared.
        for lift in lifts:
            lift()
    applied.prove(limit_bytes=_MEMORY_LIMIT, crashed=crashed)


def pause_worker(applied: Applied) -> None:
    """Stop this process, a worker, for a while."""
    _require_worker(applied)
    seconds = applied.fault.lasts_s or 0.0
    waker = _Waker([os.getpid()], after_s=seconds)
    begun = last = time.monotonic()
    os.kill(os.getpid(), signal.SIGSTOP)
    longest = 0.0
    # The signal need not have arrived when it was sent; a stop shows as time that is missing.
    while last - begun < seconds:
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        time.sleep(0.005)
    waker.dismiss()
    applied.prove(seconds=round(longest, 3))


def exit_worker(applied: Applied) -> None:
    """End this process, a worker, without any clean-up."""
    _require_worker(applied)
    _leave_no_orphans(applied)
    os._exit(_EXIT_STATUS)


def kill_worker(applied: Applied) -> None:
    """Kill this process, a worker."""
    _require_worker(applied)
    _leave_no_orphans(applied)
    os.kill(os.getpid(), signal.SIGKILL)


def _require_worker(applied: Applied) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        raise FaultError(
            f"{applied.name} needs tests that run in workers of pytest-xdist (-n); "
            "without them it would be the end of the whole run."
        )


def _leave_no_orphans(applied: Applied) -> None:
    """Let the browsers of this process be ended once it is no more; nobody else will."""
    ours = [s for s in applied.registry.living() if s.driver_process and s.leads_group]
    leaders = " ".join(str(session.driver_pid) for session in ours)
    profiles = [s.profile_dir for s in ours if s.profile_dir and s.profile_is_ours]
    if ours:
        _await_our_end(_BURY, leaders, *profiles)


def _driver(applied: Applied) -> ProcessId:
    process = applied.session.driver_process
    if process is None:
        raise FaultError(
            f"{applied.name} needs a driver that runs on this machine; this one is behind "
            f"{applied.session.endpoint}."
        )
    return _living(applied, [process])[0]


def _browser(applied: Applied) -> ProcessId:
    process = applied.session.browser_process
    if process is None:
        raise FaultError(
            f"{applied.name} needs a browser that its driver has started on this machine; of "
            "this one no process is known."
        )
    return _living(applied, [process])[0]


def _renderers(applied: Applied) -> list[ProcessId]:
    members = processes.family(_browser(applied))
    return _living(applied, [p for p in members if processes.role(p) == processes.RENDERER])


def _living(applied: Applied, found: Iterable[ProcessId]) -> list[ProcessId]:
    living = [process for process in found if processes.state(process) not in LIFELESS]
    if not living:
        raise FaultError(f"{applied.name}: the process that it strikes does not run any more.")
    return living


def _states(victims: Iterable[ProcessId]) -> dict[str, Any]:
    return {"states": {str(victim.pid): processes.state(victim) for victim in victims}}


def _signal(victims: Iterable[ProcessId], number: signal.Signals) -> None:
    for victim in victims:
        if processes.state(victim) in LIFELESS:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, number)


def _end(applied: Applied, victims: Sequence[ProcessId], number: signal.Signals) -> None:
    applied.prove(signal=number.name)
    applied.look(lambda: _states(victims))
    _signal(victims, number)
    if not until(
        lambda: all(processes.state(v) in LIFELESS for v in victims), within_s=STATE_LIMIT_S
    ):
        raise FaultError(f"{applied.name}: {number.name} has not ended pid {_pids(victims)}.")


def _stop(applied: Applied, victims: Sequence[ProcessId]) -> Callable[[], None]:
    """Stop processes until the fault is undone, or until what is returned is called."""
    waker = _Waker([victim.pid for victim in victims])

    def go_on() -> None:
        _signal((v for v in victims if processes.state(v) == STOPPED), signal.SIGCONT)
        waker.dismiss()
        until(lambda: STOPPED not in map(processes.state, victims), within_s=_SIGNAL_LIMIT_S)

    applied.when_undone(go_on)
    applied.prove(signal=signal.SIGSTOP.name)
    applied.look(lambda: _states(victims))
    _signal(victims, signal.SIGSTOP)
    stopped = (STOPPED, *LIFELESS)
    if not until(
        lambda: all(processes.state(v) in stopped for v in victims), within_s=_SIGNAL_LIMIT_S
    ):
        raise FaultError(f"{applied.name}: pid {_pids(victims)} could not be stopped.")
    return go_on


def _pause(applied: Applied, victims: Sequence[ProcessId]) -> None:
    seconds = applied.fault.lasts_s or 0.0
    go_on, begun = _stop(applied, victims), time.monotonic()

    def end() -> None:
        go_on()
        applied.prove(seconds=round(time.monotonic() - begun, 3))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    applied.when_undone(timer.cancel)


def _limit_memory(applied: Applied, victim: ProcessId) -> Callable[[], None]:
    if not hasattr(psutil.Process, "rlimit"):
        raise FaultError(f"{applied.name} is possible on Linux alone.")
    try:
        process = psutil.Process(victim.pid)
        soft, hard = process.rlimit(psutil.RLIMIT_DATA)
        # The hard limit stays: only the superuser could raise it again.
        process.rlimit(psutil.RLIMIT_DATA, (_MEMORY_LIMIT, hard))
    except psutil.NoSuchProcess:
        # It has ended meanwhile, as one in reserve may.
        return lambda: None
    except (psutil.Error, OSError) as error:
        raise FaultError(
            f"{applied.name}: the memory of pid {victim.pid} cannot be limited ({error}); the "
            "sandbox of a browser forbids it, unless the user is root."
        ) from error

    def lift() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_DATA, (soft, hard))

    applied.when_undone(lift)
    return lift


def _pids(victims: Iterable[ProcessId]) -> str:
    return ", ".join(str(victim.pid) for victim in victims)


class _Waker:
    """A process that lets others go on when this one ends, in whatever way.

    Args:
        pids: Those that are stopped.
        after_s: Seconds after which it wakes them in any case; None for never.

    Raises:
        FaultError: It could not be started; then nothing must be stopped.
    """

    def __init__(self, pids: Iterable[int], *, after_s: float | None = None) -> None:
        limit = "" if after_s is None else f"{after_s:g}"
        self._child = _await_our_end(_WAKE, limit, *map(str, pids))

    def dismiss(self) -> None:
        """Do without it; may be called again."""
        with contextlib.suppress(OSError):
            self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STATE_LIMIT_S)
        if self._child.stdin is not None:
            self._child.stdin.close()


_WAKE = 'if [ -n "$0" ]; then sleep "$0"; else read -r end; fi; kill -CONT "$@" 2>/dev/null'
_BURY = 'read -r end; for leader in $0; do kill -KILL "-$leader"; done; sleep 1; rm -rf -- "$@"'


def _await_our_end(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a shell whose standard input ends when this process does."""
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # What interrupts the tests must not interrupt this.
            start_new_session=True,
        )
    except OSError as error:
        raise FaultError(f"this needs /bin/sh, which cannot be started: {error}") from error
