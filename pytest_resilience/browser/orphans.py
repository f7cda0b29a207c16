"""Browsers and drivers whose process of tests is gone: told as plain values, and ended.

Invariant: what is ended is named by its pid and the time it was created, or says in its own
environment who has started it; a name alone ends nothing.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psutil

from pytest_resilience.browser import discovery, endings, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.evidence import ALIVE, LIFELESS

#: Sessions at grids that are given up for one process, the latest ones.
_REMOTE_KEPT = 20
#: Seconds a driver gets to start the browser that it was asked for.
_START_LIMIT_S = 2.0
_LOOK_AGAIN_S = 0.05
#: Drivers can be told from a user's own programs only by what they are called.
_DRIVERS = frozenset({"chromedriver", "geckodriver", "msedgedriver", "WebKitWebDriver"})


class _Nobody:
    """Stands for the way to a driver that need not be asked any more."""

    def ask(self, *_args: object, **_keywords: object) -> None:
        """Say nothing."""


def told(session: DriverSession) -> dict[str, Any]:
    """Return, as plain values, what is needed to end `session` from another process."""
    driver = session.driver_process
    named = session.requested is None or discovery.names_profile(session.requested)
    return {
        "driver": driver,
        "browser": session.browser_process,
        "group": driver is not None and processes.leads_group(driver),
        "relatives": sorted(session.relatives),
        "profile": session.profile_dir if session.profile_is_ours else None,
        # Where its driver makes one if it was not given one; that a browser starts is all that
        # is known of it then.
        "temporary": [] if named else [tempfile.gettempdir()],
        "socket": session.socket_dir if session.profile_is_ours else None,
        # One that was taken over is somebody else's.
        "endpoint": session.endpoint if session.remote and session.requested else "",
        "id": session.session_id,
    }


def end(left: Iterable[Mapping[str, Any]], environment: Mapping[str, str]) -> int:
    """End what is left of the sessions of a process that is gone; return of how many.

    Args:
        left: What `told` returned for each of them.
        environment: Variables by which it can be seen that the process has started a driver:
            its own, which nobody else has.
    """
    left = [each for each in left if each.get("driver") or each.get("endpoint")]
    profiles = _profiles(left)
    sessions = [_session(each) for each in left]
    local = [s for s in sessions if not s.remote and _is_left(s)]
    remote = [s for s in sessions if s.remote and s.session_id][-_REMOTE_KEPT:]
    known = {s.driver_process for s in local}
    drivers = [driver for driver in _drivers(environment) if driver not in known]
    begun = [_session({"driver": driver, "group": True}) for driver in drivers]
    for session in (*local, *remote, *begun):
        endings.discard(session)
    for profile in profiles:
        # Its browser may have made that meanwhile.
        socket = discovery.socket_dir_of(profile)
        for path in (profile, socket if socket and endings.is_socket_dir(socket) else None):
            if path is not None:
                endings.remove(path)
    return len(local) + len(remote) + len(begun)


def _is_left(session: DriverSession) -> bool:
    """Return whether there is anything to be ended or removed; costs microseconds."""
    driver, browser = session.driver_process, session.browser_process
    if any(p is not None and processes.state(p) not in LIFELESS for p in (driver, browser)):
        return True
    if driver is not None and session.leads_group and processes.group(driver):
        return True
    # A driver that quits removes the profile, but not what its browser has beside it.
    return any(path and os.path.lexists(path) for path in (session.profile_dir, session.socket_dir))


def _profiles(left: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the directories that drivers have made for browsers that start at this moment.

    Nobody has said yet where they are, but the browser is told. A driver that has not come to
    that gets a moment: it makes the directory before.
    """
    opened = {tuple(each["driver"]) for each in left if each.get("id") and each.get("driver")}
    starting = [each for each in left if each.get("temporary") and each.get("driver")]
    starting = [each for each in starting if tuple(each["driver"]) not in opened]
    found: set[str] = set()
    deadline = time.monotonic() + _START_LIMIT_S
    while starting:
        for each in list(starting):
            driver = ProcessId(*each["driver"])
            profiles = _named_by(driver, each) if processes.state(driver) == ALIVE else None
            if profiles is None or profiles:
                starting.remove(each)
                found.update(profiles or ())
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_AGAIN_S)
    return found


def _named_by(driver: ProcessId, of: Mapping[str, Any]) -> set[str]:
    """Return the temporary profiles that processes of a driver were told to use."""
    members = endings.belonging_to(driver, bool(of.get("group")))
    named = {processes.option(process, discovery.PROFILE_ARGUMENTS) for process in members}
    return {path for path in named if os.path.dirname(path) in of["temporary"]}


def _session(of: Mapping[str, Any]) -> DriverSession:
    endpoint, profile = of.get("endpoint", ""), of.get("profile")
    wire: Any = Wire(endpoint) if endpoint else _Nobody()
    return DriverSession(
        session_id=of.get("id", ""),
        browser="",
        browser_version="",
        endpoint=endpoint,
        remote=not of["driver"],
        wire=wire,
        requested={},
        capabilities={},
        driver_process=_process(of["driver"]),
        browser_process=_process(of.get("browser")),
        leads_group=bool(of.get("group")),
        relatives=frozenset(filter(None, map(_process, of.get("relatives", ())))),
        profile_dir=profile,
        profile_is_ours=profile is not None,
        socket_dir=of.get("socket"),
    )


def _process(of: Iterable[Any] | None) -> ProcessId | None:
    return ProcessId(*of) if of else None


def _drivers(environment: Mapping[str, str]) -> list[ProcessId]:
    """Return the drivers that have all of `environment` in theirs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() in _DRIVERS and environment.items() <= process.environ().items():
                found.append(processes.identify(process.pid))
    return [process for process in found if process is not None]
