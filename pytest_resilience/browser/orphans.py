"""Browsers and drivers whose process of tests is gone: told as plain values, and ended.

Invariant: what is ended is named by its pid and the time it was created, or says in its own
environment who has started it; a name alone ends nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from pytest_resilience.browser import endings, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.evidence import LIFELESS

#: Sessions at grids that are given up for one process, the latest ones.
_REMOTE_KEPT = 20
#: Drivers can be told from a user's own programs only by what they are called.
_DRIVERS = frozenset({"chromedriver", "geckodriver", "msedgedriver", "WebKitWebDriver"})


class _Nobody:
    """Stands for the way to a driver that need not be asked any more."""

    def ask(self, *_args: object, **_keywords: object) -> None:
        """Say nothing."""


def told(session: DriverSession) -> dict[str, Any]:
    """Return, as plain values, what is needed to end `session` from another process."""
    driver = session.driver_process
    return {
        "driver": driver,
        "browser": session.browser_process,
        "group": driver is not None and processes.leads_group(driver),
        "relatives": sorted(session.relatives),
        "profile": session.profile_dir if session.profile_is_ours else None,
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
    sessions = [_session(each) for each in left if each.get("driver") or each.get("endpoint")]
    local = [s for s in sessions if not s.remote and _is_left(s)]
    remote = [s for s in sessions if s.remote and s.session_id][-_REMOTE_KEPT:]
    begun = [_session({"driver": driver, "group": True}) for driver in _drivers(environment)]
    for session in (*local, *remote, *begun):
        endings.discard(session)
    return len(local) + len(remote) + len(begun)


def _is_left(session: DriverSession) -> bool:
    """Return whether there is anything to be ended or removed; costs microseconds."""
    driver, browser = session.driver_process, session.browser_process
    if any(p is not None and processes.state(p) not in LIFELESS for p in (driver, browser)):
        return True
    if driver is not None and session.leads_group and processes.group(driver):
        return True
    return session.profile_dir is not None and os.path.lexists(session.profile_dir)


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
