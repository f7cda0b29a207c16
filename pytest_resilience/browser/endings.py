"""Ends sessions: quits within bounds, discards at once, and clears up what was left.

Invariant: whatever state driver and browser are in, every way out of here is bounded in
time, ends only processes of that session, and deletes only a profile the driver made.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import latch, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.core.evidence import ALIVE, LIFELESS, STOPPED

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, FailedStart

_log = logging.getLogger("pytest_resilience")

#: Seconds a grid gets to free the slot of a discarded session.
FREE_SLOT_LIMIT_S = 3.0
#: Seconds a driver gets to clear up after its browser was killed.
_CLEAR_UP_LIMIT_S = 0.5
#: A grid may have to stop a container: it gets this many times what a local quit gets.
_REMOTE_FACTOR = 3.0
#: All that is in the directory a Chromium keeps beside its profile.
_SOCKET_FILES = frozenset({"SingletonSocket", "SingletonCookie"})


class Deadline:
    """Runs `strike` from another thread if the block is not left within `limit_s` seconds.

    Attributes:
        struck: True once it did.
    """

    def __init__(self, limit_s: float, strike: Callable[[], object]) -> None:
        self.struck = False
        self._strike = strike
        self._timer = threading.Timer(limit_s, self._run)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        # No thread can be started while the interpreter shuts down.
        with contextlib.suppress(RuntimeError):
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self.struck:
            # What comes next must find the work done, not half done.
            self._timer.join()

    def _run(self) -> None:
        self.struck = True
        try:
            self._strike()
        except Exception:  # noqa: BLE001 - observing must not harm the test
            _log.warning("a hanging driver could not be ended", exc_info=True)


def bounded_quit(session: DriverSession, call: Callable[[], Any], *, limit_s: float) -> Any:
    """Run `call`, a quit of the driver of `session`, and clear up after it.

    If the processes can be seen to be beyond an answer, or do not give one within
    `limit_s` seconds, they are killed; what the quit then says about the lost connection
    is of our making and swallowed. Otherwise it returns or raises as it would have.
    """
    __tracebackhide__ = True
    session.quitting = True
    try:
        if session.remote:
            return _quit_remote(session, call, limit_s * _REMOTE_FACTOR)
        return _quit_local(session, call, limit_s)
    finally:
        session.quitting = False


def _quit_local(session: DriverSession, call: Callable[[], Any], limit_s: float) -> Any:
    __tracebackhide__ = True
    cut = session.discarded or is_beyond_answering(session)
    if cut:
        _end_unresponsive(session)
    deadline = Deadline(limit_s, functools.partial(end_processes, session))
    try:
        with deadline:
            return call()
    except Exception as error:
        if (cut or deadline.struck) and _comes_of_our_kill(error):
            return None
        raise
    finally:
        # A class may keep its browser for later instead of quitting it.
        if session.closed or _state(session.driver_process) in LIFELESS:
            _guarded(lambda: _clear_up(session, rough=cut or deadline.struck))


def _quit_remote(session: DriverSession, call: Callable[[], Any], limit_s: float) -> Any:
    __tracebackhide__ = True
    if session.discarded or session.hang_evidence:
        # What did not answer just now will hardly answer this; asked it is all the same.
        limit_s = min(limit_s, FREE_SLOT_LIMIT_S)
    begun = time.monotonic()
    try:
        with _client_limit(session, limit_s):
            return call()
    except Exception as error:
        late = time.monotonic() - begun >= limit_s
        if (session.discarded or late) and _comes_of_our_kill(error):
            return None
        raise
    finally:
        session.reaped = session.closed


def bounded_stop(child: subprocess.Popen[bytes], call: Callable[[], Any], *, limit_s: float) -> Any:
    """Run `call`, a stop of the driver service whose process is `child`, within bounds.

    As with `bounded_quit`, what it says about a process we had to kill is swallowed.
    """
    __tracebackhide__ = True
    process = processes.identify(child.pid) if child.poll() is None else None
    if process is None:
        return call()
    grouped = processes.leads_group(process)

    def end() -> None:
        processes.exterminate(lambda: belonging_to(process, grouped))

    cut = processes.state(process) == STOPPED
    if cut:
        end()
    deadline = Deadline(limit_s, end)
    try:
        with deadline:
            return call()
    except Exception as error:
        if (cut or deadline.struck) and _comes_of_our_kill(error):
            processes.reap_child(child)
            return None
        raise


def discard(session: DriverSession) -> None:
    """End `session` at once and clear up after it; does nothing if that was done; never raises."""
    if session.reaped:
        return
    session.closed = session.discarded = True
    _guarded(lambda: _discard(session))


def _discard(session: DriverSession) -> None:
    if session.remote:
        session.wire.ask("DELETE", f"/session/{session.session_id}", limit_s=FREE_SLOT_LIMIT_S)
        session.reaped = True
        return
    _end_unresponsive(session)
    if _state(session.driver_process) == ALIVE:
        session.wire.ask("DELETE", f"/session/{session.session_id}", limit_s=_CLEAR_UP_LIMIT_S)
    _clear_up(session, rough=True)


def clear_failed_start(failed: FailedStart) -> None:
    """End what a driver left that could not start a session; never raises."""
    process = failed.driver_process
    if process is not None:
        _guarded(lambda: _clear_failed_start(failed, process))
        processes.reap_child(failed.child)


def _clear_failed_start(failed: FailedStart, driver: ProcessId) -> None:
    from pytest_resilience.browser import discovery

    named: set[str] = set()

    def members() -> tuple[ProcessId, ...]:
        found = belonging_to(driver, failed.leads_group)
        # Without a session nobody says where the profile is, but the browser was told.
        named.update(processes.option(each, discovery.PROFILE_ARGUMENTS) for each in found)
        return found

    processes.exterminate(members)
    profiles = [p for p in named if p and discovery.is_temporary(p, failed.requested, None)]
    # Only now: until it was ended, the browser may have made one.
    sockets = [discovery.socket_dir_of(profile) for profile in profiles]
    for path in (*profiles, *(s for s in sockets if s is not None and is_socket_dir(s))):
        remove(path)


def is_beyond_answering(session: DriverSession) -> bool:
    """Return whether the driver is gone, or it or its browser is stopped; costs 0.2 ms."""
    driver = _state(session.driver_process)
    return driver in LIFELESS or STOPPED in (driver, _state(session.browser_process))


def end_processes(session: DriverSession) -> tuple[ProcessId, ...]:
    """Kill every process of `session`; return those that outlived it."""
    return processes.exterminate(lambda: _members(session, thorough=True))


def _end_unresponsive(session: DriverSession) -> None:
    """Kill the browser, and the driver unless it can still remove its temporary files."""
    browser = session.browser_process
    if browser is not None and _state(session.driver_process) == ALIVE:
        processes.exterminate(lambda: processes.family(browser))
    else:
        end_processes(session)


def refresh_relatives(session: DriverSession) -> None:
    """Take note of the processes that are in the driver's tree now."""
    if session.driver_process is not None:
        session.relatives |= frozenset(processes.family(session.driver_process))


def _clear_up(session: DriverSession, *, rough: bool) -> None:
    leader = session.driver_process
    if leader is None:
        return
    try:
        if rough or not session.leads_group or processes.group_exists(leader):
            survivors = processes.exterminate(lambda: _members(session, thorough=rough))
            if survivors:
                _log.warning("processes of a browser could not be ended: %s", survivors)
    finally:
        if not session.shares_driver:
            processes.reap_child(session.child)
    if session.profile_is_ours and session.profile_dir is not None:
        remove(session.profile_dir)
        if session.socket_dir is not None and is_socket_dir(session.socket_dir):
            remove(session.socket_dir)
    session.reaped = True


def _members(session: DriverSession, *, thorough: bool) -> list[ProcessId]:
    """Return the processes of `session`, driver first; `thorough` looks at all command lines."""
    driver, browser = session.driver_process, session.browser_process
    if session.shares_driver:
        return list(processes.family(browser)) if browser is not None else []
    found: dict[ProcessId, None] = {}
    if driver is not None:
        found.update(dict.fromkeys(belonging_to(driver, session.leads_group)))
    if browser is not None:
        found.update(dict.fromkeys(processes.family(browser)))
    found.update(dict.fromkeys(session.relatives))
    if thorough and session.profile_is_ours and session.profile_dir is not None:
        found.update(dict.fromkeys(processes.mentioning(session.profile_dir)))
    return list(found)


def belonging_to(driver: ProcessId, grouped: bool) -> tuple[ProcessId, ...]:
    members = processes.family(driver)
    return (*members, *processes.group(driver)) if grouped else members


def _comes_of_our_kill(error: Exception) -> bool:
    fact = latch.fact_of(error)
    answers = ("WebDriverException", "InvalidSessionIdException")
    return latch.is_wire_failure(fact) or fact.type_name in answers


def _state(process: ProcessId | None) -> str:
    return processes.state(process) if process is not None else ALIVE


def _guarded(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:  # noqa: BLE001 - observing must not harm the test
        _log.warning("a browser session could not be cleared up", exc_info=True)


def is_socket_dir(path: str) -> bool:
    try:
        return _SOCKET_FILES.issuperset(os.listdir(path))
    except OSError:
        return False


def remove(path: str) -> None:
    # A process that was just killed may still have been writing.
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        time.sleep(0.02)


@contextlib.contextmanager
def _client_limit(session: DriverSession, limit_s: float) -> Iterator[None]:
    """Let commands of a remote driver wait for `limit_s` seconds at most, and not thrice."""
    executor = getattr(session.driver, "command_executor", None)
    config = getattr(executor, "client_config", None)
    pool = getattr(executor, "_conn", None)
    keywords = getattr(pool, "connection_pool_kw", {})
    before, before_pool = getattr(config, "timeout", None), dict(keywords)
    if config is not None:
        config.timeout = min(before or limit_s, limit_s)
    if pool is not None:
        keywords.update(timeout=min(before or limit_s, limit_s), retries=False)
        pool.clear()
    try:
        yield
    finally:
        if config is not None:
            config.timeout = before
        if pool is not None:
            keywords.clear()
            keywords.update(before_pool)
            pool.clear()
